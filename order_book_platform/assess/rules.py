"""The rules that decide a day: figure, threshold, meaning; the verdict, and the seed's validation gate. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.model import Gate, GateResult, PartitionKey, Severity

MEMORY_LIMIT_BYTES = 24 * 10**9
"""What the machine in the requirement leaves for the platform."""

RULES: dict[str, tuple[Gate, str]] = {
    "deltas": (Gate(">", 0), "rows in book_delta_v2"),
    "impossible": (
        Gate("==", 0),
        "kinds of values for which no day is ingested (nulls, out of range, another day)",
    ),
    "messages": (Gate(">", 1), "messages, that is, distinct sequence numbers in a row"),
    "seed": (
        Gate(">", 0),
        "snapshots that a book can start from (only a warning where the source has none)",
    ),
    "gap_ratio": (Gate("<", 0.001), "gaps per message"),
    "origin_coverage": (Gate(">", 0.99), "share of the span in which messages came without a longer pause"),
    "origin_valid": (Gate(">", 0.999), "messages whose origin time is there and does not go back"),
    "off_grid": (Gate("==", 0), "floats of deltas and trades that are no decimal with the chosen places"),
    "decimals": (
        Gate("==", 0, Severity.WARN),
        "prices and sizes that int64 pips cannot hold, for which the day is kept as decimals",
    ),
    "increments": (Gate("==", 0), "configured increments (tick, lot) that the data contradict"),
    "tick_changes": (Gate("==", 0, Severity.WARN), "changes of the tick during the day"),
    "memory": (Gate("<", MEMORY_LIMIT_BYTES), "estimated peak memory, bytes"),
    "day_coverage": (
        Gate(">=", 0.99, Severity.WARN),
        "share of the UTC day between the first and the last origin time",
    ),
    "proven_losses": (Gate("==", 0, Severity.WARN), "gaps that show a loss, not only suggest one"),
    "snapshots_sound": (
        Gate(">=", 0.99, Severity.WARN),
        "share of snapshots that pass the quality gate of a seed",
    ),
    "book_crossed": (
        Gate("<=", 0.01, Severity.WARN),
        "share of snapshots whose best bid is not below the best ask",
    ),
    "duplicates": (
        Gate("<=", 0.001, Severity.WARN),
        "share of rows equal to an earlier one of their message",
    ),
    "unsorted": (Gate("==", 0, Severity.WARN), "rows out of order in the files"),
    "latency_p50_ms": (
        Gate("<=", 50, Severity.WARN),
        "median of arrival − origin time, ms; above the skew, where that is below 0",
    ),
    "latency_negative": (
        Gate("<=", 0.001, Severity.WARN),
        "share of messages that arrive before they were sent",
    ),
}
"""Every rule that decides, in the order in which it is reported."""


VALIDATION_GATE = ("gap_ratio", "origin_coverage", "memory")
"""What the requirement asks of a day before it is used: gaps below 0.1 %, coverage above 99 %, memory in the limit."""


class RuleFigure(NamedTuple):
    """A figure for a rule.

    Attributes:
        value: None where nothing could be measured.
        n: observations behind it.
        basis: `full`, `sample`, `statistics` or `estimate`.
    """

    value: float | None
    n: int
    basis: str = "full"


def held_against(
    rules: Mapping[str, tuple[Gate, str]], figures: Mapping[str, RuleFigure]
) -> tuple[GateResult, ...]:
    """One result per figure, in the order of the rules."""
    return tuple(
        GateResult.of(name, figures[name].value, gate, n=figures[name].n, note=note)
        for name, (gate, note) in rules.items()
        if name in figures
    )


def rules_report(gates: Sequence[GateResult], figures: Mapping[str, RuleFigure]) -> dict[str, Any]:
    """`rules`, each with its basis, `unmeasured` rules, and `validation_gate`, as a report has them."""
    asked = [gate for gate in gates if gate.name in VALIDATION_GATE]
    return {
        "rules": [{**gate.to_dict(), "basis": figures[gate.name].basis} for gate in gates],
        "unmeasured": [name for name in RULES if name not in figures],
        "validation_gate": {
            "rules": list(VALIDATION_GATE),
            "passed": len(asked) == len(VALIDATION_GATE) and all(gate.passed for gate in asked),
        },
    }


def median_latency(clocks: Mapping[str, Any], messages: int, basis: str = "full") -> RuleFigure:
    """The figure of `latency_p50_ms`; without a value where the clocks differ and nobody knows by how much.

    A recorder whose clock is behind makes every latency look short: what the skew is below 0 is not the network's.

    Args:
        clocks: as a report has them.
        messages: how many there are.
        basis: of the figure.
    """
    median, skew = clocks["latency_ms"].get("p50"), clocks["skew_ms"]
    if median is not None and skew is not None:
        median -= min(skew, 0.0)
    return RuleFigure(None if median is not None and median < 0 else median, messages, basis)


def verdict_of(gates: Sequence[GateResult], by_action: Mapping[str, int]) -> tuple[str, str]:
    """What to do with the day, and why.

    Args:
        gates: rules held against the day.
        by_action: gaps by what will be done about them.
    """
    no_go = [gate.name for gate in gates if not gate.passed and gate.severity is Severity.ERROR]
    if no_go:
        return "no-go", "required rules do not hold: " + ", ".join(no_go)
    recovers = sum(count for action, count in by_action.items() if action != "flag")
    if recovers:
        return "go with repair", f"{recovers} gap(s) have to be recovered from snapshots"
    return "go", "every required rule holds"


def day_coverage(key: PartitionKey, first_ns: int, last_ns: int) -> float:
    """Share of the partition's UTC day between two times; what lies outside of it does not count."""
    start = day_start_ns(key.day)
    return max(min(last_ns, start + NS_PER_DAY) - max(first_ns, start), 0) / NS_PER_DAY
