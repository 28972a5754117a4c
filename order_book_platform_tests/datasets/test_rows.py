"""Rows of books and references: chosen, joined, and which of them are in order."""

from __future__ import annotations

import numpy as np

from order_book_platform.datasets.columns import in_order
from order_book_platform.datasets.reconstructed_books.rows import BookRows
from order_book_platform.datasets.trades import TradeRows


def by_column(n: int, levels: int) -> BookRows:
    """Rows of a book as they are read: levels lie column after column."""
    rows = np.arange(n)
    cube = np.arange(2 * levels * 2 * n).reshape(2, levels, 2, n)
    prices, sizes = (cube[:, :, what].transpose(2, 0, 1) for what in (0, 1))
    return BookRows(rows, rows, rows.astype(np.uint8), np.full((n, 2), levels, np.uint8), prices, sizes)


def test_chosen_book_rows_lie_row_after_row() -> None:
    """Read as columns, taken as rows: by number or by mask the same ones, contiguous for the comparison."""
    rows = by_column(90, 20)
    chosen = np.array([3, 4, 80, 80])
    taken = rows.take(chosen)
    assert isinstance(taken, BookRows)
    assert taken.encoded_price.flags.c_contiguous
    mask = np.arange(90) % 7 == 2
    for name in BookRows.__dataclass_fields__:
        assert np.array_equal(getattr(taken, name), getattr(rows, name)[chosen]), name
        assert np.array_equal(getattr(rows.take(mask), name), getattr(rows, name)[mask]), name


def test_joined_rows_are_in_the_order_of_their_parts() -> None:
    """Empty parts change nothing; nothing but empty ones is an empty one."""
    trades = TradeRows(np.arange(4), np.arange(4) + 10)
    parts = [TradeRows.none(), trades.take(slice(0, 3)), TradeRows.none(), trades.take(slice(3, None))]
    whole = TradeRows.concat(parts)
    assert whole.time_ns.tolist() == trades.time_ns.tolist()
    assert whole.encoded_price.tolist() == trades.encoded_price.tolist()
    assert len(TradeRows.concat([TradeRows.none(), TradeRows.none()])) == 0


def test_in_order_compares_with_all_earlier_rows() -> None:
    """Equal numbers are in order, lower ones are not, also against rows of a batch before."""
    assert in_order(np.array([5, 4, 5, 6]), 0).tolist() == [True, False, True, True]
    assert in_order(np.array([5, 7, 6]), 6).tolist() == [False, True, False]
    assert in_order(np.zeros(0, np.int64), 6).tolist() == []
