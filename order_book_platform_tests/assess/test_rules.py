"""Rules: what is measured is judged, what is not is named, and the requirement's gate is all of its rules."""

from __future__ import annotations

import pytest

from order_book_platform.assess.rule_figures import RuleFigure
from order_book_platform.assess.rules import (
    RULES,
    VALIDATION_GATE,
    held_against,
    rules_for_day,
    rules_report,
    verdict_of,
)
from order_book_platform.model import Severity

SOUND = {
    "gap_ratio": RuleFigure(0.0, 1_000),
    "origin_coverage": RuleFigure(1.0, 1_000, "sample"),
    "memory": RuleFigure(10**9, 1, "estimate"),
}


def report(**changed: RuleFigure) -> dict[str, object]:
    """Of the validation gate's rules, some of them with other figures."""
    figures = {**SOUND, **changed}
    return rules_report(held_against(RULES, figures), figures)


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
    assert not rules_report(held_against(RULES, figures), figures)["validation_gate"]["passed"]


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
    assert verdict_of(held_against(RULES, figures), by_action)[0] == verdict


def test_rules_of_a_day_add_to_the_notes_and_soften_the_seed() -> None:
    """What is particular to a day stands behind the note; without `book` a missing seed only warns."""
    rules = rules_for_day({"decimals": "; the first: row 5"}, has_book=False)
    assert rules["decimals"].note == RULES["decimals"].note + "; the first: row 5"
    assert (RULES["seed"].gate.severity, rules["seed"].gate.severity) == (Severity.ERROR, Severity.WARN)
    changed = {name for name in RULES if rules[name] != RULES[name]}
    assert changed == {"decimals", "seed"}
    assert rules_for_day({}) == RULES
