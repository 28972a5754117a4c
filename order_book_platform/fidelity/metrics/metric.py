"""A measured figure with everything that has to be printed beside it, and the gates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from order_book_platform.datasets.fidelity_report import METRICS_SCHEMA
from order_book_platform.model import Gate, GateResult, Severity

SNAPSHOTS, TICKERS, TRADES, GOLDEN = "snapshots", "tickers", "trades", "golden"
SIDES = ("bid", "ask")
LATER = ("1s", "10s")
"""Placebos: the reference as it was that much later."""
WITHOUT_BEST = ("no_bid", "no_ask")
"""Placebos: the reference with its best bid, or its best ask, left out."""

GATES: dict[str, Gate] = {
    "bbo_exact_seq": Gate(">=", 0.999),
    "bbo_rms_seq_bid": Gate("<=", 0.1),
    "bbo_rms_seq_ask": Gate("<=", 0.1),
    "bbo_known_share": Gate(">=", 0.95, Severity.WARN),
    "topk_exact": Gate(">=", 0.995),
    "topk_missing": Gate("<=", 0.001),
    "topk_ghost": Gate("<=", 0.001),
    "topk_known_share": Gate(">=", 0.90),
    "topk_exact_all": Gate(">=", 0.975, Severity.WARN),
    "depth_corr_pearson": Gate(">=", 0.99),
    "depth_corr_spearman": Gate(">=", 0.99),
    "depth_corr_pearson_detrended": Gate(">=", 0.99),
    "depth_corr_spearman_detrended": Gate(">=", 0.99),
    "depth_l1": Gate("<=", 0.005),
    "inferred_gap_ratio": Gate("<", 0.001),
    "origin_coverage": Gate(">", 0.99, Severity.WARN),
    "origin_valid": Gate(">", 0.999),
    "latency_p50": Gate("<=", 50.0, Severity.WARN),
    "ks_spread": Gate("<=", 0.02),
    "ks_log_q_bid": Gate("<=", 0.02),
    "ks_log_q_ask": Gate("<=", 0.02),
    "ks_qi_1": Gate("<=", 0.02),
    "ks_qi_5": Gate("<=", 0.02),
    "crossed_tw": Gate("<", 1e-4),
    "resyncs": Gate("==", 0),
    "unseen_references": Gate("==", 0),
    "out_of_order_rows": Gate("==", 0),
    "placebo_fails": Gate("==", 1),
}
"""Metric to gate. facts/features_and_metrics.md; the last four tolerate nothing. Warnings are about how much is
known (docs/adr/0009), and about lateness."""

GAP_GATES: dict[str, Gate] = {"seq_gap_ratio": Gate("<", 0.001)}
"""Gates of metrics that exist only where the source keeps ids."""

TICKER_GATES: dict[str, Gate] = {
    "bbo_exact_time": Gate(">=", 0.995),
    "bbo_rms_time_bid": Gate("<=", 2.0),
    "bbo_rms_time_ask": Gate("<=", 2.0),
    "trade_in_range": Gate(">=", 0.99),
}
"""Gates of metrics that exist only where there are tickers; warnings where these lack T (docs/adr/0016)."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of metrics.parquet.

    Attributes:
        name: of the metric.
        value: the figure; None where it cannot be measured.
        n: observations behind it.
        gate: the bar, None for figures that are only reported.
        unmatched: references (or, for tickers, book rows) that have no partner to be compared with.
        alignment: how book and reference were matched: `sequence`, `sequence_equal`, `transaction_time`,
            `origin_time`, `received_time`, `time_weighted` or `none`.
        reference: the dataset it was measured against.
        placebos: the same figure against two spoiled references, None where it cannot be measured or where what is
            spoiled plays no part in it; empty for a figure in which the reference's values play no part.
        note: one sentence for people.
        spoiled: which references these are, `LATER` or `WITHOUT_BEST`.
        interval: 95 % confidence interval of the value; None where there is none.
    """

    name: str
    value: float | None
    n: int
    gate: Gate | None = None
    unmatched: int = 0
    alignment: str = "none"
    reference: str = SNAPSHOTS
    placebos: tuple[float | None, ...] = ()
    note: str = ""
    spoiled: tuple[str, str] = LATER
    interval: tuple[float, float] | None = None

    @property
    def gate_name(self) -> str:
        """Name of the gate: that of the metric, with the reference where it is not the usual one."""
        return f"{self.name}_{self.reference}" if self.reference in (TICKERS, GOLDEN) else self.name

    @property
    def result(self) -> GateResult | None:
        """The figure held against its gate; None without one."""
        if self.gate is None:
            return None
        return GateResult.of(self.gate_name, self.value, self.gate, n=self.n, note=self.note)

    @property
    def placebo_fails(self) -> bool | None:
        """Whether some placebo could be measured and none passes the gate; None where there is none."""
        if self.gate is None or not self.placebos:
            return None
        measured = [value for value in self.placebos if value is not None]
        return bool(measured) and not any(self.gate.holds(value) for value in measured)

    def to_dict(self) -> dict[str, object]:
        """One row of schema `METRICS_SCHEMA`; every column."""
        result = self.result
        placebos = dict(zip(self.spoiled, self.placebos, strict=False))
        low, high = self.interval or (None, None)
        return {
            "name": self.name,
            "value": self.value,
            "low": low,
            "high": high,
            "gate": None if self.gate is None else str(self.gate),
            "pass": None if result is None else result.passed,
            "n": self.n,
            "unmatched": self.unmatched,
            "alignment": self.alignment,
            "reference": self.reference,
            **{f"placebo_{name}": placebos.get(name) for name in (*LATER, *WITHOUT_BEST)},
            "placebo_fails": self.placebo_fails,
        }


def failed_gates(gates: Iterable[GateResult], severity: Severity) -> tuple[GateResult, ...]:
    """The gates of this severity that do not hold."""
    return tuple(gate for gate in gates if not gate.passed and gate.severity == severity)


def verdict_line(gates: Iterable[GateResult]) -> str:
    """The answer in one line: `faithful`, or not, and the gates that do not hold.

    Args:
        gates: of a report.
    """
    gates = tuple(gates)
    errors, warnings = (
        ", ".join(gate.name for gate in failed_gates(gates, severity))
        for severity in (Severity.ERROR, Severity.WARN)
    )
    said = f"not faithful: {errors}" if errors else "faithful"
    return said + (f"{'; ' if errors else ', '}warned: {warnings}" if warnings else "")


def judge_placebos(metrics: Iterable[Metric]) -> Metric:
    """The share of gated, measured metrics whose placebos fail: 1, or the metrics show nothing.

    A metric that was measured but whose placebos were not (the data are shorter than the shift) counts as one
    that does not fail.
    """
    judged = [metric for metric in metrics if metric.placebo_fails is not None and metric.n]
    passing = [metric.gate_name for metric in judged if not metric.placebo_fails]
    if not judged:
        note = "No metric could be measured, so no placebo either."
    elif passing:
        note = f"A spoiled reference passes (or is lacking): {', '.join(passing)}."
    else:
        note = f"Spoiled references fail all {len(judged)} gates that they are held against."
    value = 1 - len(passing) / len(judged) if judged else None
    return Metric("placebo_fails", value, len(judged), GATES["placebo_fails"], reference="placebo", note=note)


def metrics_table(metrics: Iterable[Metric]) -> pa.Table:
    """Arrow table with schema `METRICS_SCHEMA`, rows in the given order."""
    return pa.Table.from_pylist([metric.to_dict() for metric in metrics], schema=METRICS_SCHEMA)
