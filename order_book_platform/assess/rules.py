"""The rules that decide a day, each declared once: figure, bar, severity and meaning. No I/O.

Every assessment, of published datasets, of a sample and of footers, holds its figures (`rule_figures`) against these
rules, and derives verdict and validation gate from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from order_book_platform.assess.rule_figures import RuleFigure
from order_book_platform.model import Gate, GateResult, Severity

MEMORY_LIMIT_BYTES = 24 * 10**9
"""Memory that the machine in the requirement leaves for the platform."""


class Rule(NamedTuple):
    """A rule that a day is judged by.

    Attributes:
        gate: Bar that the figure is held against, and how much a failure matters.
        note: Meaning of the figure, for people.
    """

    gate: Gate
    note: str


RULES: dict[str, Rule] = {
    "deltas": Rule(Gate(">", 0), "rows in book_delta_v2"),
    "impossible": Rule(
        Gate("==", 0),
        "kinds of values for which no day is ingested (nulls, out of range, another day)",
    ),
    "messages": Rule(Gate(">", 1), "messages, that is, distinct sequence numbers in a row"),
    "seed": Rule(
        Gate(">", 0),
        "snapshots that a book can start from (only a warning where the source has none)",
    ),
    "gap_ratio": Rule(Gate("<", 0.001), "gaps per message"),
    "origin_coverage": Rule(
        Gate(">", 0.99), "share of the span in which messages came without a longer pause"
    ),
    "origin_valid": Rule(Gate(">", 0.999), "messages whose origin time is there and does not go back"),
    "off_grid": Rule(Gate("==", 0), "floats of deltas and trades that are no decimal with the chosen places"),
    "decimals": Rule(
        Gate("==", 0, Severity.WARN),
        "prices and sizes that int64 pips cannot hold, for which the day is kept as decimals",
    ),
    "increments": Rule(Gate("==", 0), "configured increments (tick, lot) that the data contradict"),
    "tick_changes": Rule(Gate("==", 0, Severity.WARN), "changes of the tick during the day"),
    "memory": Rule(Gate("<", MEMORY_LIMIT_BYTES), "estimated peak memory, bytes"),
    "day_coverage": Rule(
        Gate(">=", 0.99, Severity.WARN),
        "share of the UTC day between the first and the last origin time",
    ),
    "proven_losses": Rule(Gate("==", 0, Severity.WARN), "gaps that show a loss, not only suggest one"),
    "snapshots_sound": Rule(
        Gate(">=", 0.99, Severity.WARN),
        "share of snapshots that pass the quality gate of a seed",
    ),
    "book_crossed": Rule(
        Gate("<=", 0.01, Severity.WARN),
        "share of snapshots whose best bid is not below the best ask",
    ),
    "duplicates": Rule(
        Gate("<=", 0.001, Severity.WARN),
        "share of rows equal to an earlier one of their message",
    ),
    "unsorted": Rule(Gate("==", 0, Severity.WARN), "rows out of order in the files"),
    "latency_p50_ms": Rule(
        Gate("<=", 50, Severity.WARN),
        "median of arrival − origin time, ms; above the skew, where that is below 0",
    ),
    "latency_negative": Rule(
        Gate("<=", 0.001, Severity.WARN),
        "share of messages that arrive before they were sent",
    ),
}
"""Every rule that decides, in the order in which rules are reported."""


VALIDATION_GATE = ("gap_ratio", "origin_coverage", "memory")
"""Rules that the requirement asks of a day before it is used: gaps below 0.1 %, coverage above 99 %, memory within the
limit."""


def rules_for_day(notes: Mapping[str, str], *, has_book: bool = True) -> dict[str, Rule]:
    """Return the rules with what is particular to one day.

    Args:
        notes: Text to add to the notes of some rules.
        has_book: Whether the source has the table `book`; without it no seed is to be expected, and `seed` only warns.
    """
    rules = {name: rule._replace(note=rule.note + notes.get(name, "")) for name, rule in RULES.items()}
    if not has_book:
        gate = rules["seed"].gate
        rules["seed"] = rules["seed"]._replace(gate=Gate(gate.comparison, gate.threshold, Severity.WARN))
    return rules


def held_against(rules: Mapping[str, Rule], figures: Mapping[str, RuleFigure]) -> tuple[GateResult, ...]:
    """Hold the figures against the rules; one result for each figure, in the order of the rules."""
    return tuple(
        GateResult.of(name, figures[name].value, rule.gate, n=figures[name].n, note=rule.note)
        for name, rule in rules.items()
        if name in figures
    )


def rules_report(gates: Sequence[GateResult], figures: Mapping[str, RuleFigure]) -> dict[str, Any]:
    """Return what a report says of its rules.

    Returns:
        `rules`, each with the basis of its figure; `unmeasured`, names of the rules without a figure; and
        `validation_gate`, its rules and whether all of them hold.
    """
    required = [gate for gate in gates if gate.name in VALIDATION_GATE]
    return {
        "rules": [{**gate.to_dict(), "basis": figures[gate.name].basis} for gate in gates],
        "unmeasured": [name for name in RULES if name not in figures],
        "validation_gate": {
            "rules": list(VALIDATION_GATE),
            "passed": len(required) == len(VALIDATION_GATE) and all(gate.passed for gate in required),
        },
    }


def verdict_of(gates: Sequence[GateResult], by_action: Mapping[str, int]) -> tuple[str, str]:
    """Return what to do with the day (`go`, `go with repair` or `no-go`), and why.

    Args:
        gates: Rules held against the day.
        by_action: Number of gaps by what will be done about them.
    """
    no_go = [gate.name for gate in gates if not gate.passed and gate.severity is Severity.ERROR]
    if no_go:
        return "no-go", "required rules do not hold: " + ", ".join(no_go)
    recovers = sum(count for action, count in by_action.items() if action != "flag")
    if recovers:
        return "go with repair", f"{recovers} gap(s) have to be recovered from snapshots"
    return "go", "every required rule holds"
