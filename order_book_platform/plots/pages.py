"""HTML pages from Jinja2 templates, and calendars of days: a band for each symbol and year, a square for each day.

In pages, text is escaped, and a value that the template lacks is an error.
`templates/page.html.j2` is the document that all pages extend, and `templates/page.css` is its style. A component keeps
its own templates in a folder `templates` beside its module.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any, Literal

from order_book_platform.model import on_its_side
from order_book_platform.plots.svg import STYLE, WIDTH_PX, Svg, pixels, text_width

if TYPE_CHECKING:
    from jinja2 import Environment

_SHARED = "order_book_platform.plots"
"""The package whose templates every page can extend and include."""


def render_page(package: str, template: str, **values: Any) -> str:
    """Render a template; equal values give equal text.

    Besides the values, a template has the filter `number` (`number_text`), the filter `count` (a whole number with
    thousands separators), and `plot_style`, the style of the figures. It lies in the folder `templates` of the package.

    Raises:
        jinja2.TemplateNotFound: There is no such template.
        jinja2.UndefinedError: The template uses a value that has not been given.
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> Environment:
    """Return the templates of a package, and those that all pages share."""
    # Importing Jinja2 takes 60 ms of CPU time, which a process that renders no page does not spend.
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_SHARED)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = number_text
    environment.filters["count"] = "{:,}".format
    environment.globals["plot_style"] = STYLE
    return environment


def number_text(value: float | None, digits: int = 6, bar: str = "") -> str:
    """Write a figure for people: whole numbers in full, others to `digits` significant digits.

    Args:
        value: The figure; None is written as `not measured`, NaN and infinity as such.
        digits: Significant digits; more are written where the rounded figure would be on the other side of the bar.
        bar: What the figure is held against, such as `>= 0.999`; empty if there is no such thing.
    """
    if value is None:
        return "not measured"
    if not math.isfinite(value):
        return f"{value}"

    def write(digits: int) -> str:
        is_whole = value == round(value) or abs(value) >= 10.0**digits
        return f"{value:,.0f}" if is_whole else f"{value:.{digits}g}"

    return on_its_side(value, bar, write, digits)


Look = Literal["filled", "outlined", "hatched"]

_LEFT, _RIGHT, _HEAD_PX = 150, 14, 34
_PITCH_PX, _SQUARE_PX = 17, 14
_MONTHS_PX = 16
_BAND_PX = _MONTHS_PX + 7 * _PITCH_PX + 10
_FAINTEST = 0.2
"""Opacity of a filled square of strength 0; strength 1 has opacity 1."""


@dataclass(frozen=True, slots=True)
class VerdictStyle:
    """How days of one verdict look.

    The colour is named as in `svg.COLOURS`. The mark is a sign inside the squares, for readers who cannot tell the
    colours apart; it may be empty.
    """

    name: str
    colour: str
    look: Look = "filled"
    mark: str = ""


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """One day of one symbol.

    Attributes:
        strength: Strength of the colour of a filled square, from 0 to 1; None draws an outline instead.
        note: What is told under the pointer after symbol, day and verdict; may be empty.
        link: URL that the square leads to; may be empty.
    """

    symbol: str
    day: date
    verdict: str
    strength: float | None = 1.0
    note: str = ""
    link: str = ""


def calendar_chart(days: Sequence[CalendarDay], styles: Sequence[VerdictStyle], *, title: str = "") -> Svg:
    """Draw days with weeks from left to right and Monday at the top, in a band for each symbol and year.

    The days may be in any order, and nothing is drawn for days that are not among them; the key explains the styles in
    their order, below a heading that may be empty.

    Raises:
        KeyError: A day has a verdict that is not among `styles`.
    """
    style_of = {style.name: style for style in styles}
    bands: dict[tuple[str, int], list[CalendarDay]] = {}
    for each in sorted(days, key=lambda each: (each.symbol, each.day)):
        bands.setdefault((each.symbol, each.day.year), []).append(each)
    has_years = len({year for _, year in bands}) > 1
    svg = Svg(_HEAD_PX + _BAND_PX * len(bands), title or "Calendar of days by verdict")
    if title:
        svg.text(10, 20, title, kind="h")
    _draw_key(svg, styles)
    for index, ((symbol, year), band) in enumerate(bands.items()):
        top = _HEAD_PX + _BAND_PX * index + _MONTHS_PX
        lines = [*symbol.split(":"), *([str(year)] if has_years else [])]
        for row, words in enumerate(lines):
            y = top + 3.5 * _PITCH_PX + 4 + 13 * (row - (len(lines) - 1) / 2)
            svg.text(_LEFT - 10, y, words, kind="k", anchor="end")
        for left, name in _month_labels(band[0].day, band[-1].day):
            svg.text(left, top - 5, name)
        for each in band:
            note = f" ({each.note})" if each.note else ""
            text = f"{each.symbol} {each.day}: {each.verdict}{note}"
            tag, href = ("a", f' href="{escape(each.link)}"') if each.link else ("g", "")
            svg.add(f"<{tag}{href}><title>{escape(text)}</title>")
            square_top = top + _PITCH_PX * each.day.weekday()
            _draw_square(svg, _week_left(each.day), square_top, style_of[each.verdict], each.strength)
            svg.add(f"</{tag}>")
    return svg


def _week_left(day: date) -> float:
    """Return the left edge of a day's week, px; weeks begin on Monday, and the first one of a year may be shorter."""
    new_year = date(day.year, 1, 1)
    return _LEFT + _PITCH_PX * (((day - new_year).days + new_year.weekday()) // 7)


def _month_labels(first: date, last: date) -> list[tuple[float, str]]:
    """Return left edge, px, and name of each month of a year's days; a first month that is nearly over has no label."""
    starts = [max(first, date(first.year, month, 1)) for month in range(first.month, last.month + 1)]
    labels = [(_week_left(start), f"{start:%b}") for start in starts]
    if len(labels) > 1 and labels[1][0] - labels[0][0] < 2 * _PITCH_PX:
        labels.pop(0)
    return labels


def _draw_square(
    svg: Svg, left: float, top: float, style: VerdictStyle, strength: float | None = 1.0
) -> None:
    """Draw a square in the style of its verdict."""
    is_filled = style.look == "filled" and strength is not None
    opacity = _FAINTEST + (1 - _FAINTEST) * min(max(strength or 0.0, 0.0), 1.0)
    faint = f' fill-opacity="{opacity:.2g}"' if is_filled and opacity < 1 else ""
    colours = f"f-{style.colour}" if is_filled else f"f-ground s-{style.colour}"
    svg.rect(colours, left, top, _SQUARE_PX, _SQUARE_PX, faint)
    if style.look == "hatched":
        half = _SQUARE_PX / 2
        lines = ((0, half, half), (0, _SQUARE_PX, _SQUARE_PX), (half, _SQUARE_PX, half))
        data = (
            "M{} {}l{size:g} -{size:g}".format(*pixels([left + x, top + y]), size=size)
            for x, y, size in lines
        )
        svg.path("".join(data), style.colour, width=0.8)
    if style.mark:
        middle, base = left + _SQUARE_PX / 2, top + _SQUARE_PX - 3
        svg.text(middle, base, style.mark, kind="m" if is_filled else "k", anchor="middle")


def _draw_key(svg: Svg, styles: Sequence[VerdictStyle]) -> None:
    """Explain the verdicts in one row that ends at the right."""
    right: float = WIDTH_PX - _RIGHT
    for style in reversed(styles):
        svg.text(right, 20, style.name, kind="k", anchor="end")
        left = right - text_width(style.name) - _SQUARE_PX - 6
        _draw_square(svg, left, 9, style)
        right = left - 14


LISTED = 200
"""Most days that a page lists with their reasons."""


def render_calendar(
    days: Sequence[CalendarDay],
    styles: Sequence[VerdictStyle],
    *,
    title: str,
    lines: Sequence[str],
    verdicts: Sequence[str],
    reasons: Sequence[str],
    worst: Collection[str],
) -> str:
    """Render a calendar of days as a page that refers to nothing outside itself, with counts by verdict.

    Args:
        days: The days, symbol by symbol; at least one.
        styles: How each verdict looks.
        title: Heading of the page.
        lines: Paragraphs below the calendar.
        verdicts: Verdicts that are counted, in the order of their columns.
        reasons: Why each day is listed; empty for a day that is not.
        worst: Verdicts of the days that stay in the list if there are too many.
    """
    counts: dict[str, Counter[str]] = {}
    for day in days:
        counts.setdefault(day.symbol, Counter())[day.verdict] += 1
    listed = [(day, reason) for day, reason in zip(days, reasons, strict=True) if reason]
    chosen = sorted(range(len(listed)), key=lambda index: listed[index][0].verdict not in worst)[:LISTED]
    return render_page(
        _SHARED,
        "calendar_page.html.j2",
        title=title,
        calendar=calendar_chart(days, styles).inline(),
        verdicts=verdicts,
        counts=counts,
        lines=lines,
        listed=[listed[index] for index in sorted(chosen)],
        more=len(listed) - len(chosen),
    )
