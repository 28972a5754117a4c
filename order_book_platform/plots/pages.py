"""HTML pages from Jinja2 templates: text is escaped, and a value that the template lacks is an error.

`templates/page.html.j2` is the document that all pages extend, and `templates/page.css` is its style. A component keeps
its own templates in a folder `templates` beside its module.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from order_book_platform.model import on_its_side
from order_book_platform.plots.calendar_chart import CalendarDay, VerdictStyle, calendar_chart
from order_book_platform.plots.svg import STYLE

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
        title: Title of the page.
        lines: Paragraphs below the calendar.
        verdicts: Verdicts that are counted, in the order of their columns.
        reasons: Why each day is listed; empty for a day that is not.
        worst: Verdicts of the days that stay in the list if there are too many.
    """
    counts: dict[str, Counter[str]] = {}
    for day in days:
        counts.setdefault(day.symbol, Counter())[day.verdict] += 1
    listed = [(day, reason) for day, reason in zip(days, reasons, strict=True) if reason]
    shown = listed
    if len(listed) > LISTED:
        chosen = sorted(range(len(listed)), key=lambda index: listed[index][0].verdict not in worst)[:LISTED]
        shown = [listed[index] for index in sorted(chosen)]
    return render_page(
        _SHARED,
        "calendar_page.html.j2",
        title=title,
        calendar=calendar_chart(days, styles).inline(),
        verdicts=verdicts,
        counts=counts,
        lines=lines,
        listed=shown,
        more=len(listed) - len(shown),
    )
