"""Metrics of the book itself, the summary of its rows, and the figures of its gap report."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.reconstructed_books.reader import BookHeads
from order_book_platform.errors import PartitionMissingError
from order_book_platform.fidelity.measurement import bad_references
from order_book_platform.fidelity.metrics.book_metrics import (
    BookSummarizer,
    BookSummary,
    book_metrics,
    gap_metrics,
    replay_hash,
)
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.model import BookFlag, Severity
from order_book_platform.model.arrays import MISSING_PIPS
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


def test_every_figure_stands_with_its_count() -> None:
    """Shares of rows or of time, counts as they are, each with the observations behind it."""
    summary = BookSummary(
        rows=200,
        flagged=50,
        out_of_order=1,
        seeded_rows=150,
        crossed_ns=2,
        locked_ns=3,
        span_ns=10,
        mistimed=4,
    )
    found = {
        metric.name: metric for metric in book_metrics(summary, ["seeded", "repaired", "repaired"], 20, 5)
    }
    assert {name: (metric.value, metric.n) for name, metric in found.items()} == {
        "crossed_tw": (0.2, 150),
        "locked_tw": (0.3, 150),
        "flagged_share": (0.25, 200),
        "mistimed_rows": (4.0, 200),
        "resyncs": (2.0, 3),
        "unseen_references": (5.0, 20),
        "out_of_order_rows": (1.0, 200),
    }
    failed = {
        name for name, metric in found.items() if metric.result is not None and not metric.result.passed
    }
    assert failed == {"crossed_tw", "resyncs", "unseen_references", "out_of_order_rows"}


def test_an_empty_book_has_no_counts() -> None:
    """Where there was nothing to count the value is null, and the gate fails."""
    for metric in book_metrics(BookSummary(), [], 0, 0):
        if metric.result is not None:
            assert metric.value is None
            assert not metric.result.passed


def test_references_that_are_unfit_are_counted_by_dataset() -> None:
    """Out of order, of another day, far off, or with a defect; snapshots and tickers each have a row."""
    bad = ReferenceCounts(rows=10, out_of_order=1, other_day=2, far_off=3, held_out=4)
    metrics = bad_references({"snapshots": bad, "tickers": ReferenceCounts(rows=5, held_out=5)})
    assert [(metric.reference, metric.value, metric.n) for metric in metrics] == [
        ("snapshots", 6.0, 10),
        ("tickers", 0.0, 5),
    ]


def test_the_hash_stands_in_the_table() -> None:
    """As text; there is nothing to hold it against here."""
    metric = replay_hash({"replay_hash": "ab" * 32}, 17)
    assert (metric.value, metric.n, metric.gate) == (None, 17, None)
    assert "ab" * 32 in metric.note
    assert replay_hash({}, 17).n == 0


heads = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.integers(0, 50),
        st.sampled_from([0, 1, 3, 64, 65]),
        st.integers(1, 3),
        st.one_of(st.integers(1, 3), st.just(MISSING_PIPS)),
    ),
    max_size=25,
)


def gathered(parts: list[BookHeads], *plausible_ns: tuple[int, int]) -> BookSummary:
    """Summary of a book that comes in parts."""
    summarizer = BookSummarizer(*plausible_ns)
    for part in parts:
        summarizer.add(part)
    return summarizer.summary


@given(heads, st.lists(st.integers(0, 25), max_size=3))
def test_summary_equal_those_of_a_loop(rows: list[tuple[int, int, int, int, int]], cuts: list[int]) -> None:
    """Crossed and locked time, flags, order and seed equal a loop over rows, however the file is cut."""
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 5)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = (columns[start:stop] for start, stop in itertools.pairwise(edges))
    summary = gathered([BookHeads(p[:, 0], p[:, 1], p[:, 2].astype(np.uint8), p[:, 3:]) for p in parts])
    assert summary.rows == len(rows)
    assert summary.flagged == sum(bool(row[2] & (BookFlag.GAP | BookFlag.HINDSIGHT)) for row in rows)
    assert summary.out_of_order == sum(
        row[0] < max([r[0] for r in rows[:at]], default=0) for at, row in enumerate(rows)
    )
    judged = next((rows[at:] for at, row in enumerate(rows) if row[2] & BookFlag.SEEDED), [])
    assert summary.first_seed == (judged[0][0] if judged else None)
    assert summary.seeded_rows == len(judged)
    crossed = locked = span = 0
    latest = list(itertools.accumulate((row[1] for row in judged), max))
    for at, row in enumerate(judged[:-1]):
        held = latest[at + 1] - latest[at]
        span += held
        crossed += held * (row[4] != MISSING_PIPS and row[3] > row[4])
        locked += held * (row[3] == row[4])
    assert (summary.crossed_ns, summary.locked_ns, summary.span_ns) == (crossed, locked, span)


@pytest.mark.parametrize("where", [0, 1, 2, 4])
@pytest.mark.parametrize("wrong", [0, -5, 10**18])
def test_a_time_that_cannot_be_weighs_nothing(where: int, wrong: int) -> None:
    """The row stands where the one before it does; first and last times are of the others."""
    times = [100, 110, 120, 130, 150]
    times[where] = wrong
    crossed = np.array([[2, 1]] * 5)
    flags = np.array([0, BookFlag.SEEDED, 0, 0, 0], dtype=np.uint8)
    rows = BookHeads(np.arange(5), np.array(times), flags, crossed)
    for cut in range(6):
        summary = gathered([rows.take(slice(0, cut)), rows.take(slice(cut, 5))], (50, 200))
        known = [time for time in times if time != wrong]
        judged = [time for time in times[1:] if time != wrong]
        assert (summary.mistimed, summary.rows, summary.seeded_rows) == (1, 5, 4)
        assert (summary.first_time_ns, summary.last_time_ns) == (known[0], known[-1])
        assert summary.span_ns == summary.crossed_ns == judged[-1] - judged[0]


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


def test_every_figure_of_the_gap_report_stands_with_its_count() -> None:
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
