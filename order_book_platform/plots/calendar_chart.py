"""A calendar of days: a band for each symbol and year, a square for each day in the colour of its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Literal

from order_book_platform.plots.svg import WIDTH_PX, Svg, pixels, text_width

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

    Attributes:
        name: Name of the verdict, as in the key above the calendar.
        colour: Colour of its squares, named as in `Theme`.
        mark: Sign inside the squares, for readers who cannot tell the colours apart; may be empty.
    """

    name: str
    colour: str
    look: Look = "filled"
    mark: str = ""


@dataclass(frozen=True, slots=True)
class CalendarDay:
    """One day of one symbol.

    Attributes:
        symbol: Name of the band.
        verdict: Name of one of the calendar's verdicts.
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

    Args:
        days: The days, in any order; nothing is drawn for days that are not among them.
        styles: How each verdict of the days looks, in the order of the key.
        title: Heading above the calendar; may be empty.

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
            _draw_day(svg, each, style_of[each.verdict], top)
    return svg


def _week_left(day: date) -> float:
    """Left edge of a day's week, px; weeks begin on Monday, and the first one of a year may be shorter."""
    new_year = date(day.year, 1, 1)
    return _LEFT + _PITCH_PX * (((day - new_year).days + new_year.weekday()) // 7)


def _month_labels(first: date, last: date) -> list[tuple[float, str]]:
    """Left edge, px, and name of each month of a year's days; a first month that is nearly over has no label."""
    starts = [max(first, date(first.year, month, 1)) for month in range(first.month, last.month + 1)]
    labels = [(_week_left(start), f"{start:%b}") for start in starts]
    if len(labels) > 1 and labels[1][0] - labels[0][0] < 2 * _PITCH_PX:
        labels.pop(0)
    return labels


def _draw_day(svg: Svg, day: CalendarDay, style: VerdictStyle, top: float) -> None:
    """Draw the square of a day, with its text under the pointer and its link."""
    text = f"{day.symbol} {day.day}: {day.verdict}" + (f" ({day.note})" if day.note else "")
    tag, href = ("a", f' href="{escape(day.link)}"') if day.link else ("g", "")
    svg.add(f"<{tag}{href}><title>{escape(text)}</title>")
    _draw_square(svg, _week_left(day.day), top + _PITCH_PX * day.day.weekday(), style, day.strength)
    svg.add(f"</{tag}>")


def _draw_square(
    svg: Svg, left: float, top: float, style: VerdictStyle, strength: float | None = 1.0
) -> None:
    """Draw a square in the style of its verdict."""
    place = 'x="{}" y="{}" width="{}" height="{}" rx="2"'.format(*pixels([left, top, _SQUARE_PX, _SQUARE_PX]))
    is_filled = style.look == "filled" and strength is not None
    if is_filled:
        opacity = _FAINTEST + (1 - _FAINTEST) * min(max(strength or 0.0, 0.0), 1.0)
        faint = f' fill-opacity="{opacity:.2g}"' if opacity < 1 else ""
        svg.add(f'<rect class="f-{style.colour}" {place}{faint}/>')
    else:
        svg.add(f'<rect class="f-ground s-{style.colour}" {place}/>')
    if style.look == "hatched":
        half = _SQUARE_PX / 2
        starts = ((left, top + half), (left, top + _SQUARE_PX), (left + half, top + _SQUARE_PX))
        lengths = (half, _SQUARE_PX, half)
        lines = (
            "M{} {}l{size:g} -{size:g}".format(*pixels(start), size=size)
            for start, size in zip(starts, lengths, strict=True)
        )
        svg.path("".join(lines), style.colour, width=0.8)
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
