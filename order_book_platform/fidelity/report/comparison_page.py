"""The comparison as a page: a calendar of verdicts, the gates that fail, and the worst days first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby

from order_book_platform.fidelity.report.comparison import (
    VERDICTS,
    Compared,
    count_gates,
    worst_first,
)
from order_book_platform.plots.calendar_chart import CalendarDay, VerdictStyle, calendar_chart
from order_book_platform.plots.pages import render_page

LISTED = 300
"""Most days that the page lists with their failures; the calendar shows all days, and `--json` has everything."""
_NAMED_GATES = 4
"""Most failed gates of a day that the pointer names in the calendar."""
_NO_BOOKS = "no books"
_STYLES = (
    VerdictStyle("not faithful", "bad", mark="✕"),
    VerdictStyle("unreadable", "ask", mark="!"),
    VerdictStyle("no report", "muted", "outlined", mark="?"),
    VerdictStyle("outdated", "muted", "outlined", mark="↻"),
    VerdictStyle("warned", "doubt", mark="△"),
    VerdictStyle("faithful", "bid"),
    VerdictStyle(_NO_BOOKS, "muted", "hatched"),
)


def render_comparison(compared: Sequence[Compared]) -> str:
    """Render the page, which refers to nothing outside itself but the reports.

    Args:
        compared: Partitions by symbol and day, as `compare_reports` returns them.
    """
    days = [each.key.day for each in compared]
    span = f", {min(days)} to {max(days)}" if days else ""
    symbols = [
        (symbol, Counter(each.verdict for each in partitions))
        for symbol, partitions in groupby(compared, key=lambda each: each.key.instrument.key)
    ]
    verdict_class, verdict = _verdict(compared)
    worst = [each for each in worst_first(compared) if each.verdict != "faithful"]
    return render_page(
        "order_book_platform.fidelity.report",
        "comparison_page.html.j2",
        title=f"Fidelity of {len(symbols)} symbols{span}",
        verdict=verdict,
        verdict_class=verdict_class,
        verdicts=VERDICTS,
        symbols=symbols,
        calendar=_calendar(compared) if compared else None,
        gates=count_gates(compared),
        worst=worst[:LISTED],
        more=len(worst[LISTED:]),
    )


def _verdict(compared: Sequence[Compared]) -> tuple[str, str]:
    """CSS class and text of the verdict on all days."""
    counts = Counter(each.verdict for each in compared)
    bad = counts["not faithful"] + counts["unreadable"]
    unmeasured = counts["no report"] + counts["outdated"]
    if not compared:
        return "warn", "Nothing to compare."
    if bad:
        return "fail", f"{bad:,} of {len(compared):,} days are not faithful or cannot be read."
    warned = f"; {counts['warned']:,} of them with warnings" if counts["warned"] else ""
    if unmeasured:
        return "warn", f"{unmeasured:,} of {len(compared):,} days have not been measured{warned}."
    return "pass", f"All {len(compared):,} days are faithful{warned}."


def _calendar(compared: Sequence[Compared]) -> str:
    """The calendar as markup; each day leads to its report, and days without books are hatched."""
    days = list(_calendar_days(compared))
    present = {day.verdict for day in days} | {_NO_BOOKS}
    return calendar_chart(days, [style for style in _STYLES if style.name in present]).inline()


def _calendar_days(compared: Sequence[Compared]) -> Iterator[CalendarDay]:
    """Every day from the first to the last one, of each symbol."""
    first, last = min(each.key.day for each in compared), max(each.key.day for each in compared)
    for symbol, partitions in groupby(compared, key=lambda each: each.key.instrument.key):
        of_day = {each.key.day: each for each in partitions}
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            each = of_day.get(day)
            if each is None:
                yield CalendarDay(symbol, day, _NO_BOOKS)
                continue
            gates = [failure.gate for failure in each.failures]
            failed = ", ".join(gates[:_NAMED_GATES]) + (" …" if len(gates) > _NAMED_GATES else "")
            yield CalendarDay(symbol, day, each.verdict, note=failed or each.said, link=each.report)
