"""Rules: what is measured is judged, what is not is named, and the requirement's gate is all of its rules."""

from __future__ import annotations

from typing import Any

import pytest

from order_book_platform.assess.rules import (
    RULES,
    VALIDATION_GATE,
    RuleFigure,
    day_coverage,
    judge,
    median_latency,
    message_figures,
)
from order_book_platform.model import Severity
from order_book_platform_tests.lake import KEY, START_NS

DAY = 86_400 * 10**9


@pytest.mark.parametrize(
    ("first", "last", "share"), [(0, DAY, 1), (-DAY, 2 * DAY, 1), (DAY // 2, DAY, 0.5), (2 * DAY, 3 * DAY, 0)]
)
def test_coverage_of_the_day(first: int, last: int, share: float) -> None:
    """What lies outside the UTC day does not count."""
    assert day_coverage(KEY, START_NS + first, START_NS + last) == share


@pytest.mark.parametrize(
    ("median", "skew", "value"),
    [(4.0, 3.0, 4.0), (4.0, None, 4.0), (-1_200.0, -1_270.0, 70.0), (60.0, -1.0, 61.0), (-3.0, None, None)],
)
def test_a_clock_that_is_behind_hides_no_latency(
    median: float, skew: float | None, value: float | None
) -> None:
    """What the skew is below 0 is added; a median below 0 without a known skew says nothing, and holds nothing."""
    clocks = {"latency_ms": {"p50": median}, "skew_ms": skew}
    assert median_latency(clocks, 10, "sample") == RuleFigure(value, 10, "sample")


def test_no_messages_have_no_latency() -> None:
    """There is no value, which fails."""
    assert median_latency({"latency_ms": {}, "skew_ms": None}, 0) == RuleFigure(None, 0)


@pytest.mark.parametrize("basis", ["full", "sample"])
def test_figures_of_messages_have_the_observations_that_they_are_of(basis: str) -> None:
    """Off-grid values are those of deltas and trades; rows and messages are not mixed up; no rows have no share."""
    audit = {"off_grid_prices": 1, "off_grid_sizes": 2, "duplicate_rows": 5}
    trades = {"off_grid_prices": 10, "off_grid_sizes": 20, "rows": 7}
    clocks = {"origin_valid": 0.75, "latency_ms": {"p50": 3.0}, "skew_ms": 1.0, "latency_negative": 0.25}

    def figures(rows: int) -> dict[str, RuleFigure]:
        return message_figures(
            basis, audit=audit, rows=rows, trades=trades, clocks=clocks, messages=40, proven_losses=2
        )

    assert figures(100) == {
        "origin_valid": RuleFigure(0.75, 40, basis),
        "off_grid": RuleFigure(33, 107, basis),
        "proven_losses": RuleFigure(2, 40, basis),
        "duplicates": RuleFigure(0.05, 100, basis),
        "latency_p50_ms": RuleFigure(3.0, 40, basis),
        "latency_negative": RuleFigure(0.25, 40, basis),
    }
    assert figures(0)["duplicates"] == RuleFigure(None, 0, basis)


SOUND = {
    "gap_ratio": RuleFigure(0.0, 1_000),
    "origin_coverage": RuleFigure(1.0, 1_000, "sample"),
    "memory": RuleFigure(10**9, 1, "estimate"),
}


def report(**changed: RuleFigure) -> dict[str, Any]:
    """Of the validation gate's rules, some of them with other figures."""
    return judge({**SOUND, **changed}, {}, {}).report


def test_a_figure_brings_its_basis() -> None:
    """Each rule says what it is from; rules without a figure are named, in order."""
    found = report()
    assert [(rule["name"], rule["basis"]) for rule in found["rules"]] == [
        ("gap_ratio", "full"),
        ("origin_coverage", "sample"),
        ("memory", "estimate"),
    ]
    assert found["unmeasured"] == [name for name in RULES if name not in SOUND]


@pytest.mark.parametrize(
    ("name", "value", "passed"),
    [
        ("gap_ratio", 0.00099, True),
        ("gap_ratio", 0.001, False),
        ("origin_coverage", 0.9901, True),
        ("origin_coverage", 0.99, False),
        ("memory", 24 * 10**9 - 1, True),
        ("memory", 24 * 10**9, False),
        ("memory", None, False),
    ],
)
def test_the_validation_gate_is_the_requirement(name: str, value: float | None, passed: bool) -> None:
    """Gaps below 0.1 %, coverage above 99 %, memory within 24 GB: each at its threshold."""
    assert report(**{name: RuleFigure(value, 1_000)})["validation_gate"]["passed"] is passed


def test_a_gate_that_was_not_measured_does_not_hold() -> None:
    """Two of three rules are no proof."""
    figures = {name: SOUND[name] for name in VALIDATION_GATE[:2]}
    assert not judge(figures, {}, {}).report["validation_gate"]["passed"]


@pytest.mark.parametrize(
    ("ratio", "by_action", "verdict"),
    [
        (0.5, {}, "no-go"),
        (0, {"flag": 3}, "go"),
        (0, {"recover": 1}, "go with repair"),
        (0, {"corrupt": 1}, "go with repair"),
    ],
)
def test_verdicts(ratio: float, by_action: dict[str, int], verdict: str) -> None:
    """A failed rule forbids, a gap that is more than flagged asks for repair."""
    figures = {**SOUND, "gap_ratio": RuleFigure(ratio, 10)}
    assert judge(figures, by_action, {}).verdict == verdict


def test_rules_of_a_day_add_to_the_notes_and_soften_the_seed() -> None:
    """What is particular to a day stands behind the note; without `book` a missing seed only warns."""
    figures = {name: RuleFigure(0, 1) for name in RULES}
    plain = {gate.name: gate for gate in judge(figures, {}, {}).gates}
    gates = {gate.name: gate for gate in judge(figures, {}, {"decimals": "; row 5"}, has_book=False).gates}
    assert list(plain) == list(RULES)
    assert gates["decimals"].note == RULES["decimals"].note + "; row 5"
    assert (plain["seed"].severity, gates["seed"].severity) == (Severity.ERROR, Severity.WARN)
    assert {name for name in RULES if gates[name] != plain[name]} == {"decimals", "seed"}
