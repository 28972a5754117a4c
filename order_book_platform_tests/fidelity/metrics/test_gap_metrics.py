"""Figures of the gap report as metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from order_book_platform.errors import PartitionMissingError
from order_book_platform.fidelity.metrics.gap_metrics import gap_metrics
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.model import Severity
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import (
    KEY,
    Market,
    measure,
    publish,
    publish_gap_report,
    publish_inputs,
)
from order_book_platform_tests.oracle import OracleReplay

WHOLE = {
    "messages": 1_001,
    "seq_gap_ratio": 0.002,
    "inferred_gap_ratio": 0.0005,
    "clocks": {
        "origin_coverage": 0.995,
        "origin_valid": 1.0,
        "latency_ms": {"p1": 1.0, "p50": 4.4, "p95": 149.0, "p99": 200.0},
        "latency_negative": 0.25,
        "skew_ms": -1270.0,
        "drift_ppm": 3.5,
        "envelope": [[0, -1.0], [1, -2.0]],
    },
}


def by_name(report: dict[str, object]) -> dict[str, Metric]:
    """The metrics of a report."""
    return {metric.name: metric for metric in gap_metrics(report)}


def test_every_figure_stands_with_its_count() -> None:
    """Values as the gap report has them; n is its messages, steps between them, or points of the envelope."""
    found = by_name(WHOLE)
    assert {name: (metric.value, metric.n) for name, metric in found.items()} == {
        "seq_gap_ratio": (0.002, 1_000),
        "inferred_gap_ratio": (0.0005, 1_001),
        "origin_coverage": (0.995, 1_001),
        "origin_valid": (1.0, 1_001),
        "latency_p1": (1.0, 1_001),
        "latency_p50": (4.4, 1_001),
        "latency_p95": (149.0, 1_001),
        "latency_p99": (200.0, 1_001),
        "neg_frac": (0.25, 1_001),
        "skew_ms": (-1270.0, 1_001),
        "drift_ppm": (3.5, 2),
    }
    assert {metric.reference for metric in found.values()} == {"sequence_gap_report"}
    assert {name for name, metric in found.items() if metric.result and not metric.result.passed} == {
        "seq_gap_ratio"
    }


@pytest.mark.parametrize(
    ("name", "change", "severity"),
    [
        ("inferred_gap_ratio", {"inferred_gap_ratio": 0.001}, Severity.ERROR),
        ("origin_coverage", {"clocks": {**WHOLE["clocks"], "origin_coverage": 0.99}}, Severity.WARN),
        ("origin_valid", {"clocks": {**WHOLE["clocks"], "origin_valid": 0.999}}, Severity.ERROR),
        ("latency_p50", {"clocks": {**WHOLE["clocks"], "latency_ms": {"p50": 50.1}}}, Severity.WARN),
    ],
)
def test_each_gate_can_fail(name: str, change: dict[str, object], severity: Severity) -> None:
    """At the bar or beyond it the gate fails, alone."""
    found = by_name({**WHOLE, "seq_gap_ratio": 0.0, **change})
    failed = [metric.result for metric in found.values() if metric.result and not metric.result.passed]
    assert [(result.name, result.severity) for result in failed] == [(name, severity)]


def test_what_was_not_measured_has_no_value() -> None:
    """Without ids no exact ratio and no gate for it; figures that the report lacks are null with n = 0."""
    found = by_name({"messages": 9, "seq_gap_ratio": None, "inferred_gap_ratio": 0.0, "clocks": {}})
    assert (found["seq_gap_ratio"].value, found["seq_gap_ratio"].gate) == (None, None)
    assert "no ids" in found["seq_gap_ratio"].note
    for name in ("latency_p99", "neg_frac", "skew_ms", "drift_ppm", "origin_coverage"):
        assert (found[name].value, found[name].n) == (None, 0)
    assert not found["origin_coverage"].result.passed


def test_a_day_with_gaps_is_not_faithful(store: DataStore) -> None:
    """The gate of the gap report's figure decides the report like any other."""
    publish_gap_report(store, KEY, inferred_gap_ratio=0.02)
    failed = {gate.name for gate in measure(store).gates if not gate.passed}
    assert failed == {"inferred_gap_ratio"}


def test_without_a_gap_report_nothing_is_measured(
    tmp_path: Path, market: Market, replayed: OracleReplay
) -> None:
    """It is an input like the deltas."""
    store = DataStore(tmp_path / "bare")
    publish_inputs(store, market.deltas, market.snapshots)
    publish(
        store,
        "reconstructed_books",
        {"books-00000.parquet": replayed.rows, "used_snapshots.parquet": replayed.used},
    )
    with pytest.raises(PartitionMissingError, match="sequence_gap_report"):
        measure(store)
