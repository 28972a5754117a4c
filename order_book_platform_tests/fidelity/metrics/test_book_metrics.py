"""Metrics of the book itself: counts, shares of time, and the hash."""

from __future__ import annotations

from order_book_platform.fidelity.metrics.book_metrics import bad_references, book_metrics, replay_hash
from order_book_platform.fidelity.metrics.book_summary import BookSummary
from order_book_platform.fidelity.references.held_out import ReferenceCounts


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
