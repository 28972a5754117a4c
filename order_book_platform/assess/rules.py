"""The rules that decide a day, each declared once, and the figures that all assessments make alike. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.model import Gate, GateResult, PartitionKey, Severity

MEMORY_LIMIT_BYTES = 24 * 10**9
"""Memory that the machine in the requirement leaves for the platform."""
VALIDATION_GATE = ("gap_ratio", "origin_coverage", "memory")
"""Rules that the requirement asks of a day before it is used: gaps below 0.1 %, coverage above 99 %, memory within the
limit."""


class RuleFigure(NamedTuple):
    """A figure for a rule (None: not measured), its observations, and `full`, `sample`, `statistics` or `estimate`."""

    value: float | None
    n: int
    basis: str = "full"


def message_figures(
    basis: str,
    *,
    audit: Mapping[str, Any],
    rows: int,
    trades: Mapping[str, Any],
    clocks: Mapping[str, Any],
    messages: int,
    proven_losses: int,
) -> dict[str, RuleFigure]:
    """Return the figures that come from looking at messages, be it all of them or a sample.

    The audits are of the deltas, so many `rows`, and trades that were looked at, and `clocks` is that section of the
    report. Proven losses are gaps that show a loss.
    """
    off_grid = sum(each[name] for each in (audit, trades) for name in ("off_grid_prices", "off_grid_sizes"))
    return {
        "origin_valid": RuleFigure(clocks["origin_valid"], messages, basis),
        "off_grid": RuleFigure(off_grid, rows + trades["rows"], basis),
        "proven_losses": RuleFigure(proven_losses, messages, basis),
        "duplicates": RuleFigure(audit["duplicate_rows"] / rows if rows else None, rows, basis),
        "latency_p50_ms": median_latency(clocks, messages, basis),
        "latency_negative": RuleFigure(clocks["latency_negative"], messages, basis),
    }


def median_latency(clocks: Mapping[str, Any], messages: int, basis: str = "full") -> RuleFigure:
    """Return the figure of `latency_p50_ms`: the median latency above the skew, where the skew is below 0.

    A recorder whose clock is behind makes every latency look short; the part of the skew below 0 is not the network's.
    The figure has no value where the median is below 0 and nobody knows by how much the clocks differ.
    """
    median, skew = clocks["latency_ms"].get("p50"), clocks["skew_ms"]
    if median is not None and skew is not None:
        median -= min(skew, 0.0)
    return RuleFigure(None if median is not None and median < 0 else median, messages, basis)


def forcing_decimals(precision: Mapping[str, Any]) -> int:
    """Count the values for which a day is moved to decimals; 0 if it is not, or is set to a precision."""
    beyond = precision.get("prices_beyond_pips", 0) + precision.get("sizes_beyond_pips", 0)
    return int(beyond) if precision["wanted"] == "auto" else 0


def day_coverage(key: PartitionKey, first_ns: int, last_ns: int) -> float:
    """Return the share of the partition's UTC day between two times, ns; time outside of the day does not count."""
    start = day_start_ns(key.day)
    return max(min(last_ns, start + NS_PER_DAY) - max(first_ns, start), 0) / NS_PER_DAY


class Rule(NamedTuple):
    """A rule that a day is judged by: the bar that its figure is held against, and what the figure means."""

    gate: Gate
    note: str


def _required(comparison: str, threshold: float, note: str) -> Rule:
    return Rule(Gate(comparison, threshold), note)


def _warning(comparison: str, threshold: float, note: str) -> Rule:
    return Rule(Gate(comparison, threshold, Severity.WARN), note)


RULES: dict[str, Rule] = {
    "deltas": _required(">", 0, "rows in book_delta_v2"),
    "impossible": _required(
        "==", 0, "kinds of values for which no day is ingested (nulls, out of range, another day)"
    ),
    "messages": _required(">", 1, "messages, that is, distinct sequence numbers in a row"),
    "seed": _required(
        ">", 0, "snapshots that a book can start from (only a warning where the source has none)"
    ),
    "gap_ratio": _required("<", 0.001, "gaps per message"),
    "origin_coverage": _required(
        ">", 0.99, "share of the span in which messages came without a longer pause"
    ),
    "origin_valid": _required(">", 0.999, "messages whose origin time is there and does not go back"),
    "off_grid": _required("==", 0, "floats of deltas and trades that are no decimal with the chosen places"),
    "decimals": _warning(
        "==", 0, "prices and sizes that int64 pips cannot hold, for which the day is kept as decimals"
    ),
    "increments": _required("==", 0, "configured increments (tick, lot) that the data contradict"),
    "tick_changes": _warning("==", 0, "changes of the tick during the day"),
    "memory": _required("<", MEMORY_LIMIT_BYTES, "estimated peak memory, bytes"),
    "day_coverage": _warning(">=", 0.99, "share of the UTC day between the first and the last origin time"),
    "proven_losses": _warning("==", 0, "gaps that show a loss, not only suggest one"),
    "snapshots_sound": _warning(">=", 0.99, "share of snapshots that pass the quality gate of a seed"),
    "book_crossed": _warning("<=", 0.01, "share of snapshots whose best bid is not below the best ask"),
    "duplicates": _warning("<=", 0.001, "share of rows equal to an earlier one of their message"),
    "unsorted": _warning("==", 0, "rows out of order in the files"),
    "latency_p50_ms": _warning(
        "<=", 50, "median of arrival − origin time, ms; above the skew, where that is below 0"
    ),
    "latency_negative": _warning("<=", 0.001, "share of messages that arrive before they were sent"),
}
"""Every rule that decides, in the order in which rules are reported."""


class Judgement(NamedTuple):
    """A day held against the rules.

    Attributes:
        gates: One result for each figure, in the order of the rules.
        verdict: What to do with the day: `go`, `go with repair` or `no-go`.
        why: Reason of the verdict.
        report: What a report says of its rules: `rules`, each with the basis of its figure; `unmeasured`, names of the
            rules without a figure; and `validation_gate`, its rules and whether all of them hold.
    """

    gates: tuple[GateResult, ...]
    verdict: str
    why: str
    report: dict[str, Any]


def judge(
    figures: Mapping[str, RuleFigure],
    by_action: Mapping[str, int],
    notes: Mapping[str, str],
    *,
    has_book: bool = True,
) -> Judgement:
    """Hold the figures of a day, of those rules that could be measured, against the rules.

    Gaps are counted `by_action`: what will be done about them; `notes` are added to those of some rules. Without the
    table `book` no seed is to be expected, and `seed` only warns.
    """
    rules = dict(RULES)
    if not has_book:
        rules["seed"] = _warning(
            rules["seed"].gate.comparison, rules["seed"].gate.threshold, rules["seed"].note
        )
    gates = tuple(
        GateResult.of(name, figures[name].value, gate, n=figures[name].n, note=note + notes.get(name, ""))
        for name, (gate, note) in rules.items()
        if name in figures
    )
    required = [gate for gate in gates if gate.name in VALIDATION_GATE]
    report = {
        "rules": [{**gate.to_dict(), "basis": figures[gate.name].basis} for gate in gates],
        "unmeasured": [name for name in RULES if name not in figures],
        "validation_gate": {
            "rules": list(VALIDATION_GATE),
            "passed": len(required) == len(VALIDATION_GATE) and all(gate.passed for gate in required),
        },
    }
    no_go = [gate.name for gate in gates if not gate.passed and gate.severity is Severity.ERROR]
    recovers = sum(count for action, count in by_action.items() if action != "flag")
    if no_go:
        verdict, why = "no-go", "required rules do not hold: " + ", ".join(no_go)
    elif recovers:
        verdict, why = "go with repair", f"{recovers} gap(s) have to be recovered from snapshots"
    else:
        verdict, why = "go", "every required rule holds"
    return Judgement(gates, verdict, why, report)
