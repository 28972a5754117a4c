"""Levels by window, against a plain count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.reconstructed_books.rows import BookRows
from order_book_platform.fidelity.metrics.level_windows import MOST_WINDOWS, LevelWindows
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences

DEPTH = 3


def rows(random: np.random.Generator, times: list[int]) -> tuple[ShiftedReferences, BookRows]:
    """Books and references of few prices and sizes, so that many levels agree."""
    count = len(times)
    shape = (count, 2, DEPTH)
    numbers, time_ns = np.arange(count), np.array(times, dtype=np.int64)
    known = random.integers(0, DEPTH + 1, (count, 2)).astype(np.uint8)
    flags = np.zeros(count, dtype=np.uint8)
    book = BookRows(
        numbers, time_ns, flags, known, random.integers(1, 3, shape), random.integers(1, 3, shape)
    )
    price, size = random.integers(1, 3, shape), random.integers(1, 3, shape)
    pool = ReferenceRows(numbers, time_ns, price, size)
    later, valid = np.zeros((count, 2), dtype=np.int64), np.zeros((count, 2), dtype=np.bool_)
    return ShiftedReferences(numbers, time_ns, price, size, later, valid, pool), book


@given(
    st.lists(st.integers(0, 500), min_size=1, max_size=40).map(sorted), st.integers(0, 9), st.integers(0, 99)
)
def test_counts_are_those_of_a_plain_loop(seconds: list[int], cut: int, seed: int) -> None:
    """Window by window and level by level, whatever the batches."""
    references, books = rows(np.random.default_rng(seed), [second * NS_PER_SECOND for second in seconds])
    windows = LevelWindows(DEPTH, int(references.time_ns[0]), int(references.time_ns[-1]))
    for part in (slice(0, cut), slice(cut, None)):
        windows.add(references.take(part), books.take(part))
    found = windows.to_dict()
    known = dict.fromkeys(np.ndindex(2 * DEPTH, len(found["start_ns"])), 0)
    exact = dict(known)
    for row in range(len(books)):
        window = next(
            at
            for at, start in enumerate(found["start_ns"])
            if start <= references.time_ns[row] < start + found["width_ns"]
        )
        for side in range(2):
            for level in range(int(books.known[row, side])):
                place = (row, side, level)
                equal = (
                    books.encoded_price[place] == references.encoded_price[place]
                    and books.encoded_size[place] == references.encoded_size[place]
                )
                known[side * DEPTH + level, window] += 1
                exact[side * DEPTH + level, window] += int(equal)
    for name, counts in (("known", known), ("exact", exact)):
        assert {key: found[name][key[0]][key[1]] for key in counts} == counts


@pytest.mark.parametrize("hours", [0, 1, 24])
def test_a_day_has_no_more_windows_than_a_picture_can_show(hours: int) -> None:
    """From one second to a day, whole round widths."""
    windows = LevelWindows(20, 0, hours * 3_600 * NS_PER_SECOND)
    assert 1 <= len(windows.to_dict()["start_ns"]) <= MOST_WINDOWS + 1


def test_rows_outside_belong_to_the_outermost_windows() -> None:
    """Times that went back or on are not lost."""
    references, books = rows(np.random.default_rng(1), [0, 900 * NS_PER_SECOND])
    windows = LevelWindows(DEPTH, 300 * NS_PER_SECOND, 600 * NS_PER_SECOND)
    windows.add(references, books)
    counted = np.array(windows.to_dict()["known"]).sum(axis=0)
    assert counted.sum() == books.known.sum()
    assert counted[1:-1].sum() == 0
