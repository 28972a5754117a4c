"""Rows that come a few at a time: all there, in order, and little more memory than they need."""

from __future__ import annotations

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.model.growing import GrowingRows


@given(st.integers(0, 5), st.lists(st.integers(0, 9), max_size=30))
def test_all_rows_are_there(first: int, pieces: list[int]) -> None:
    """However many came at once; and what was looked at before stays as it was."""
    wanted = np.arange(2 * (first + sum(pieces)), dtype=np.int64).reshape(-1, 2)
    kept, seen, at = GrowingRows(wanted[:first]), [], first
    for count in pieces:
        seen.append(kept.rows)
        kept.add(wanted[at : at + count])
        at += count
    assert np.array_equal(kept.rows, wanted)
    for rows in seen:
        assert np.array_equal(rows, wanted[: len(rows)])


def test_what_was_given_stays_with_its_owner() -> None:
    """Rows are copied: a view would keep alive what it is a part of."""
    first, more = np.zeros((1, 2), np.int64), np.ones((1, 2), np.int64)
    kept = GrowingRows(first)
    kept.add(more)
    first[:] = more[:] = 7
    assert kept.rows.tolist() == [[0, 0], [1, 1]]


def test_it_takes_twice_its_rows_at_most() -> None:
    """As pieces in a list they would take three times as much, and more."""
    tracemalloc.start()
    try:
        kept = GrowingRows(np.empty((0, 4), np.int64))
        for number in range(10_000):
            kept.add(np.full((2, 4), number, np.int64))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size <= 2 * kept.rows.nbytes + 10_000
