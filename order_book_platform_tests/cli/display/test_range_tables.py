"""Days of a range in words: what decided, and what warns."""

from __future__ import annotations

from datetime import date
from typing import Any

from order_book_platform.assess import DaySummary
from order_book_platform.cli.display.range_tables import why_of
from order_book_platform.model import Gate, GateResult, Severity


def day(verdict: str, why: str, *rules: dict[str, Any], warnings: tuple[str, ...] = ()) -> DaySummary:
    """A day of deltas alone."""
    rows: dict[str, int | None] = {"book_delta_v2": 5, "book": None, "trades": None}
    return DaySummary("A:B", date(2024, 1, 2), verdict, why, rows, warnings=warnings, rules=rules)


def rule(name: str, value: float, gate: Gate) -> dict[str, Any]:
    """As a report has it."""
    return GateResult.of(name, value, gate, n=1).to_dict()


def test_what_no_row_may_hold_is_told_in_words() -> None:
    """Which values they are, not how many kinds of them; other rules that do not hold follow."""
    impossible, coverage = rule("impossible", 1, Gate("==", 0)), rule("origin_coverage", 0.5, Gate(">", 0.99))
    refused = day("no-go", "prices down to -5", impossible, coverage)
    assert why_of([refused]) == "prices down to -5, origin_coverage 0.5 (> 0.99)"


def test_every_warning_is_told_once() -> None:
    """Those of rules with figure and bar, and those of none: absent tables and thin row groups."""
    covered = rule("day_coverage", 0.5, Gate(">=", 0.99, Severity.WARN))
    warnings = ("no book", "day_coverage", "thin row groups")
    found = day("go", "every required rule holds", covered, warnings=warnings)
    assert why_of([found]) == "no book, thin row groups, day_coverage 0.5 (>= 0.99)"
