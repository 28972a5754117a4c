"""Days of a range as tables on the terminal: one a symbol, as wide as the reader's window, reasons below if need be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import PurePath
from typing import Any

from order_book_platform.assess import DaySummary
from order_book_platform.assess.report.rule_text import not_held
from order_book_platform.assess.rules import RULES
from order_book_platform.cli.display.assessment_tables import WIDE, styled
from order_book_platform.cli.display.output import stdout, table

SINGLE_ROWS = 62
"""Up to so many days each has a line; of more, days in a row that are alike share one."""
REASONS_WIDE = 140
"""In fewer columns the reasons stand below the table."""
ERRORS_SHOWN = 20
"""Of so many damaged days the whole error is told."""
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
    """Days of one symbol that share a line."""
    if single:
        yield from ([each] for each in summaries)
        return

    def alike(each: DaySummary) -> tuple[Any, ...]:
        there = tuple(rows is not None for rows in each.rows.values())
        failed = tuple(rule["name"] for rule in each.rules if not rule["passed"])
        # Where rules decided, the figures differ from day to day, and the line tells from where to where.
        decided = each.verdict == "go with repair" or _by_rules(each)
        return each.verdict, "" if decided else each.why, failed, there, each.warnings

    for _, group in groupby(summaries, alike):
        yield list(group)


def _row(group: Sequence[DaySummary]) -> tuple[object, ...]:
    covered = [each.coverage for each in group if each.coverage is not None]
    least = f"{min(covered):.1%}" if covered else "-"
    return (
        _days(group),
        styled(group[0].verdict),
        least if len(group) == 1 or not covered else f"≥ {least}",
        f"{sum(each.holes for each in group):,}" if covered else "-",
        *(_rows(group, table) for table in ("book_delta_v2", "book", "trades")),
    )


def _days(group: Sequence[DaySummary]) -> str:
    first, last = group[0].day, group[-1].day
    return str(first) if len(group) == 1 else f"{first} to {last} ({len(group)})"


def why_of(group: Sequence[DaySummary]) -> str:
    """What decided, with figure and bar, and what warns; empty of a day against which nothing speaks."""
    first = group[0]
    if first.error:
        return f"{first.error['class']}: {PurePath(first.error['where']).name}"
    rules = [each.rules for each in group]
    refused, warned = not_held(rules, "error"), not_held(rules, "warn")
    # What no row may hold is told in the day's words, which say more than how many kinds of it there are.
    refused = [text for text in refused if not text.startswith("impossible ")]
    others = [warning for warning in first.warnings if warning not in RULES]
    said = [] if first.verdict == "go" or _by_rules(first) else [first.why]
    if len(group) > 1 and first.verdict == "go with repair":
        said = ["gaps have to be recovered from snapshots"]
    return ", ".join([*said, *refused, *others, *warned])


def _by_rules(day: DaySummary) -> bool:
    """Whether what decided is said by the rules and their figures."""
    return "rules do not hold" in day.why


def _rows(group: Sequence[DaySummary], name: str) -> str:
    there = [count for count in (each.rows[name] for each in group) if count is not None]
    return f"{sum(there):,}" if there else "-"
