"""The comparison of book rows with references: two rows that can be counted by hand."""

from __future__ import annotations

import numpy as np

from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.reconstructed_books.reader import BookRows
from order_book_platform.fidelity.metrics.reference_comparison import (
    LEVELS_SCHEMA,
    BestPriceComparison,
    LevelComparison,
    level_metrics,
)
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences, with_placebos

S = 1_000_000_000
PRICE = np.array([[[100, 90], [110, 120]]] * 3)
SIZE = np.array([[[5, 6], [7, 8]], [[6, 6], [7, 9]], [[7, 8], [9, 9]]])


def shifted() -> ShiftedReferences:
    """Three references, a second and ten seconds apart, with their placebos."""
    times = np.array([0, S, 11 * S])
    return next(with_placebos(iter([ReferenceRows(np.arange(3), times, PRICE, SIZE)])))


def book(known: int = 2) -> BookRows:
    """The same three rows of a book; the second bid price of the last row is a tick too high."""
    price = PRICE.copy()
    price[2, 0, 1] += 10
    numbers = np.arange(3)
    flags, claims = np.zeros(3, np.uint8), np.full((3, 2), known, np.uint8)
    return BookRows(numbers, numbers * S, flags, claims, price, SIZE)


def compared(known: int = 2) -> LevelComparison:
    """The comparison of both."""
    comparison = LevelComparison(2, 10, 3, (0, 11 * S))
    comparison.add(shifted(), book(known))
    comparison.close()
    return comparison


def test_levels_are_counted_row_by_row() -> None:
    """One of three rows is wrong in one of four levels; its price is a ghost, and one is missing."""
    comparison = compared()
    found = {metric.name: metric for metric in comparison.metrics(4, "sequence")}
    assert comparison.rows == 3
    assert (found["bbo_exact_seq"].value, found["bbo_rms_seq_bid"].value) == (1.0, 0.0)
    assert (found["topk_exact"].value, found["topk_exact"].n) == (2 / 3, 3)
    assert (found["topk_ghost"].value, found["topk_known_share"].value) == (1 / 12, 1.0)
    assert {metric.unmatched for metric in found.values()} == {4}
    assert {metric.alignment for metric in found.values()} == {"sequence"}
    assert found["topk_known_share"].placebos == ()
    # A second later the first reference has been replaced, the second still holds, and for the third there is none.
    assert found["bbo_exact_seq"].placebos[0] == 0.5


def test_what_is_not_claimed_is_not_counted() -> None:
    """A book that claims one level a side has none of its rows judged in full."""
    found = {metric.name: metric for metric in compared(known=1).metrics(0, "sequence")}
    assert (found["topk_exact"].value, found["topk_known_share"].value) == (None, 0.0)
    assert found["topk_exact_all"].value == 2 / 3


def test_each_level_has_its_row_and_its_metrics() -> None:
    """Bids before asks, levels from 1; the table and the metrics have the same figures."""
    table = compared().level_frame()
    assert dict(table.schema) == dict(LEVELS_SCHEMA)
    assert table.select("side", "level").rows() == [("bid", 1), ("bid", 2), ("ask", 1), ("ask", 2)]
    assert table["exact_share"].to_list() == [1.0, 2 / 3, 1.0, 1.0]
    metrics = {metric.name: metric for metric in level_metrics(table, 0, "sequence")}
    assert metrics["level_exact_bid_2"].value == 2 / 3
    assert len(metrics) == 4 * 6


def test_best_prices_alone_are_compared_with_tickers() -> None:
    """The gates carry the reference's name, and the windows hold the rows."""
    comparison = BestPriceComparison(10, (0, 11 * S), "tickers")
    exact = comparison.add(book().time_ns, book(), shifted())
    assert exact.tolist() == [True, True, True]
    found = comparison.metrics(1, "sequence")
    assert found[0].gate_name == "bbo_exact_seq_tickers"
    assert comparison.windows.frame()["n"].sum() == 3
