"""A calendar of days as a page of its own, with counts by verdict and the days that somebody should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from order_book_platform.plots.calendar_chart import CalendarDay, VerdictStyle, calendar_chart
from order_book_platform.plots.pages.page import render_page

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
    """Render the page, which refers to nothing outside itself.

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
        __package__,
        "calendar_page.html.j2",
        title=title,
        calendar=calendar_chart(days, styles).inline(),
        verdicts=verdicts,
        counts=counts,
        lines=lines,
        listed=shown,
        more=len(listed) - len(shown),
    )
