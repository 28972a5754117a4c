"""Rules in words: units, thousands apart, and days that do not hold them put together."""

from __future__ import annotations

from typing import Any

from order_book_platform.assess.report.rule_text import count_of, not_held, rule_bar, rule_figure
from order_book_platform.model import Gate, GateResult, Severity


def rule(name: str, value: float | None, gate: Gate) -> dict[str, Any]:
    """As a report has it."""
    return GateResult.of(name, value, gate, n=1).to_dict()


def test_figures_have_units_and_thousands() -> None:
    """Bytes are told as GB, large counts can be read, shares keep six digits, nothing is a dash."""
    memory = rule("memory", 1_313_930_000, Gate("<", 24 * 10**9))
    assert (rule_figure(memory), rule_bar(memory)) == ("1.31 GB", "< 24 GB")
    assert rule_figure(rule("messages", 1_313_930, Gate(">", 1))) == "1,313,930"
    assert rule_figure(rule("gap_ratio", 0.000327547, Gate("<", 0.001))) == "0.000327547"
    assert rule_figure(rule("gap_ratio", None, Gate("<", 0.001))) == "-"


def test_a_rule_that_misses_its_bar_by_little_is_seen_to() -> None:
    """The text is on the side of the bar where the figure is, in bytes too."""
    assert rule_figure(rule("origin_coverage", 0.98999996, Gate(">=", 0.99))) == "0.98999996"
    assert rule_figure(rule("messages", 999_999.9, Gate("<", 1_000_000))) == "999,999.9"
    assert rule_figure(rule("memory", 24_000_100_000, Gate("<=", 24 * 10**9))) == "24.0001 GB"


def test_what_does_not_hold_is_told_from_the_least_to_the_largest() -> None:
    """Of several days once, with the bar; rules that hold and rules of the other severity are left out."""
    bar, warn = Gate(">", 0.99), Gate(">=", 0.99, Severity.WARN)
    days = [
        [rule("origin_coverage", value, bar), rule("day_coverage", value, warn)]
        for value in (0.85, 0.72, 0.995)
    ]
    assert not_held(days, "error") == ["origin_coverage 0.72 to 0.85 (> 0.99)"]
    assert not_held(days[:1], "warn") == ["day_coverage 0.85 (>= 0.99)"]
    assert not_held(days[2:], "error") == []


def test_one_day_is_no_days() -> None:
    """Singular and plural."""
    assert [count_of(number, "day") for number in (0, 1, 3_650)] == ["0 days", "1 day", "3,650 days"]
