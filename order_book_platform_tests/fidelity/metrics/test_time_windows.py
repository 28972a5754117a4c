"""Windows of best prices against a loop over rows, and of levels against a plain count."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.reconstructed_books.reader import BookRows
from order_book_platform.fidelity.metrics.comparison_counts import BestPrices
from order_book_platform.fidelity.metrics.time_windows import (
    MAX_WINDOWS,
    MOST_LEVEL_WINDOWS,
    WINDOWS_SCHEMA,
    LevelWindows,
    Windows,
    window_width_ns,
)
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences

S = NS_PER_SECOND


@pytest.mark.parametrize(
    ("span_s", "width_s"),
    [(0, 1), (300, 1), (301, 2), (345, 2), (3_600, 15), (86_400, 300), (86_400 * 30, 8_640)],
)
def test_windows_have_round_widths(span_s: int, width_s: int) -> None:
    """A few minutes are cut into seconds, a day into minutes, never into more than `MAX_WINDOWS`."""
    assert window_width_ns(span_s * S) == width_s * S
    assert span_s <= width_s * MAX_WINDOWS


rows = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.one_of(st.none(), st.integers(-3, 3)), st.booleans()),
    max_size=20,
)


@given(rows)
def test_windows_add_up_row_by_row(drawn: list[tuple[int, bool, int | None, bool]]) -> None:
    """Counts, shares and errors of each window are those of its rows."""
    time = np.array([row[0] for row in drawn], dtype=np.int64) * S
    exact = np.array([row[1] for row in drawn], dtype=np.bool_)
    bid = np.array([math.nan if row[2] is None else float(row[2]) for row in drawn])
    valid = np.array([row[3] for row in drawn], dtype=np.bool_)
    windows = Windows(0, 9 * S)
    best = BestPrices(exact, np.stack([bid, np.full(len(drawn), math.nan)], 1).reshape(-1, 2))
    windows.add(time, best)
    windows.add(time, best, valid)
    frame = windows.frame()
    assert dict(frame.schema) == WINDOWS_SCHEMA
    assert frame["start_ns"].to_list() == [second * S for second in range(10)]
    for second, found in enumerate(frame.iter_rows(named=True)):
        here = [row for row in drawn if row[0] == second]
        errors = [row[2] for row in here if row[2] is not None]
        late = [row for row in here if row[3]]
        late_errors = [row[2] for row in late if row[2] is not None]
        assert found["n"] == len(here)
        assert found["exact_share"] == (sum(row[1] for row in here) / len(here) if here else None)
        assert found["placebo_exact_share"] == (sum(row[1] for row in late) / len(late) if late else None)
        for name, values in (("rms_bid_ticks", errors), ("placebo_rms_ticks", late_errors)):
            rms = math.sqrt(sum(value**2 for value in values) / len(values)) if values else None
            assert found[name] == pytest.approx(rms)
        assert found["rms_ask_ticks"] is None


def test_rows_outside_the_span_go_to_its_ends() -> None:
    """A clock that differs from the book's loses no row."""
    windows = Windows(10 * S, 12 * S)
    best = BestPrices(np.array([True, True]), np.zeros((2, 2)))
    windows.add(np.array([0, 99 * S]), best)
    assert windows.frame()["n"].to_list() == [1, 0, 1]


DEPTH = 3


def pairs(random: np.random.Generator, times: list[int]) -> tuple[ShiftedReferences, BookRows]:
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
    references, books = pairs(np.random.default_rng(seed), [second * NS_PER_SECOND for second in seconds])
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
    assert 1 <= len(windows.to_dict()["start_ns"]) <= MOST_LEVEL_WINDOWS + 1


def test_rows_outside_belong_to_the_outermost_windows() -> None:
    """Times that went back or on are not lost."""
    references, books = pairs(np.random.default_rng(1), [0, 900 * NS_PER_SECOND])
    windows = LevelWindows(DEPTH, 300 * NS_PER_SECOND, 600 * NS_PER_SECOND)
    windows.add(references, books)
    counted = np.array(windows.to_dict()["known"]).sum(axis=0)
    assert counted.sum() == books.known.sum()
    assert counted[1:-1].sum() == 0
