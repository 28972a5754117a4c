"""Rows of books: chosen rows, and the rows from the first seeded one on."""

from __future__ import annotations

import numpy as np

from order_book_platform.datasets.reconstructed_books.rows import BookHeads, BookRows, from_seed


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


def test_rows_begin_at_the_first_seeded_one() -> None:
    """Rows before are left out, whole parts too; later rows come even if they are not seeded."""
    parts = []
    for numbers, flags in (([1, 2], [0, 0]), ([3, 4, 5], [0, 1, 0]), ([6], [0])):
        n = np.array(numbers, np.int64)
        parts.append(BookHeads(n, n, np.array(flags, np.uint8), np.stack([n, n], 1)))
    found = list(from_seed(iter(parts)))
    assert [part.sequence_number.tolist() for part in found] == [[4, 5], [6]]
