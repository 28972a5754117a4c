"""Shows the days of a range as one table a symbol, as wide as the window; reasons stand below if they do not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import PurePath
from typing import Any

from order_book_platform.assess import DaySummary
from order_book_platform.assess.report.rule_text import not_held
from order_book_platform.assess.rules import RULES
from order_book_platform.cli.display.assessment_tables import WIDE
from order_book_platform.cli.display.output import stdout, styled_verdict, table

SINGLE_ROWS = 62
"""Number of days up to which each has a line; of more, consecutive days that are alike share one."""
REASONS_WIDE = 140
"""Columns from which on the table has the reasons; else they stand below it."""
ERRORS_SHOWN = 20
"""Number of damaged days whose whole error is printed."""
COLUMNS = ("days", "verdict", "covered", "holes", "deltas")
COUNTS = ("deltas", "book", "trades")


def show_days(summaries: Sequence[DaySummary]) -> None:
    """Print a table for each symbol, the reasons, and the errors of damaged days."""
    console = stdout()
    columns = (*COLUMNS, *COUNTS[1:]) if console.width >= WIDE else COLUMNS
    beside = console.width >= REASONS_WIDE
    single = len(summaries) <= SINGLE_ROWS
    console.print("Days, by the footers of their files\n")
    for symbol, of_symbol in groupby(summaries, lambda each: each.symbol):
        groups = list(_groups(list(of_symbol), single))
        rows = [(*_row(group)[: len(columns)], *([why_of(group)] if beside else [])) for group in groups]
        console.print(
            table(
                symbol,
                (*columns, "why") if beside else columns,
                rows,
                right=("covered", "holes", *COUNTS),
                whole=columns,
            )
        )
        console.print()
        reasons = [(_days(group), why_of(group)) for group in groups if why_of(group)]
        if reasons and not beside:
            console.print(table("Why", ("days", "why"), reasons, whole=("days",)))
            console.print()
    damaged = [each for each in summaries if each.error]
    for each in damaged[:ERRORS_SHOWN]:
        console.print(f"{each.symbol} {each.day}: {each.why}", markup=False)
    if len(damaged) > ERRORS_SHOWN:
        console.print(f"{len(damaged) - ERRORS_SHOWN:,} more damaged days; --json has them all.")
    if damaged:
        console.print()


def _groups(summaries: Sequence[DaySummary], single: bool) -> Iterator[list[DaySummary]]:
    """Group the days of one symbol that share a line."""
    if single:
        yield from ([each] for each in summaries)
        return

    def likeness(each: DaySummary) -> tuple[Any, ...]:
        """Give the properties that days have to have in common to share a line."""
        present = tuple(rows is not None for rows in each.rows.values())
        failed = tuple(rule["name"] for rule in each.rules if not rule["passed"])
        # Where rules decided, the figures differ from day to day, and the line gives their range.
        decided = each.verdict == "go with repair" or _by_rules(each)
        return each.verdict, "" if decided else each.why, failed, present, each.warnings

    for _, group in groupby(summaries, likeness):
        yield list(group)


def _row(group: Sequence[DaySummary]) -> tuple[object, ...]:
    """Cells of a line: days, verdict, the least coverage, holes, and rows of each table."""
    covered = [each.coverage for each in group if each.coverage is not None]
    least = f"{min(covered):.1%}" if covered else "-"
    return (
        _days(group),
        styled_verdict(group[0].verdict),
        least if len(group) == 1 or not covered else f"≥ {least}",
        f"{sum(each.holes for each in group):,}" if covered else "-",
        *(_rows(group, table) for table in ("book_delta_v2", "book", "trades")),
    )


def _days(group: Sequence[DaySummary]) -> str:
    """The day, or first and last day of the group with their number."""
    first, last = group[0].day, group[-1].day
    return str(first) if len(group) == 1 else f"{first} to {last} ({len(group)})"


def why_of(group: Sequence[DaySummary]) -> str:
    """Say what decided about days that are alike, with figures and bars, and what warns.

    Args:
        group: Days of one symbol that share a line.

    Returns:
        Reasons joined by commas; empty for days without any objection.
    """
    first = group[0]
    if first.error:
        return f"{first.error['class']}: {PurePath(first.error['where']).name}"
    rules = [each.rules for each in group]
    refused, warned = not_held(rules, "error"), not_held(rules, "warn")
    # Values that no row may hold are named in the day's own words; the rule only counts their kinds.
    refused = [text for text in refused if not text.startswith("impossible ")]
    others = [warning for warning in first.warnings if warning not in RULES]
    decided = [] if first.verdict == "go" or _by_rules(first) else [first.why]
    if len(group) > 1 and first.verdict == "go with repair":
        decided = ["gaps have to be recovered from snapshots"]
    return ", ".join([*decided, *refused, *others, *warned])


def _by_rules(day: DaySummary) -> bool:
    """Whether the rules and their figures say what decided."""
    return "rules do not hold" in day.why


def _rows(group: Sequence[DaySummary], name: str) -> str:
    """Number of rows of a table over the days that have it; a dash where none has it."""
    counts = [count for count in (each.rows[name] for each in group) if count is not None]
    return f"{sum(counts):,}" if counts else "-"
