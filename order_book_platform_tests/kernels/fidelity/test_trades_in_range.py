"""Prices in the range of best prices, against a loop over everything, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.trades_in_range import count_in_range
from order_book_platform.model.arrays import MISSING_PIPS

best = st.one_of(st.just(MISSING_PIPS), st.integers(1, 9))
rows = st.lists(st.tuples(st.integers(0, 30), best, best), min_size=1, max_size=12).map(sorted)
trades = st.lists(st.tuples(st.integers(0, 30), best), max_size=12).map(
    lambda drawn: sorted(drawn, key=lambda trade: trade[0])
)
SHIFTS = (4, 15)


def naive(
    drawn: list[tuple[int, int]],
    begin: int,
    books: list[tuple[int, int, int]],
    window: int,
    next_too: bool,
    sampled: range,
) -> list[tuple[int, int]]:
    """Counted and inside, of the trade and its placebos: every trade against every row."""
    found = [[0, 0] for _ in (0, *SHIFTS)]
    for number, (time, price) in enumerate(drawn[begin:], start=begin):
        first = max(at for at, row in enumerate(books) if row[0] <= time - window)
        chosen = [row for at, row in enumerate(books) if at >= first and row[0] <= time + window]
        if next_too and chosen[-1][0] < time + window:
            chosen += [row for row in books if row[0] > time + window][:1]
        bids = [row[1] for row in chosen if row[1] != MISSING_PIPS]
        asks = [row[2] for row in chosen if row[2] != MISSING_PIPS]
        for place, shift in enumerate((0, *SHIFTS)):
            if shift and number not in sampled:
                continue
            later = [price] if not shift else [other for at, other in drawn if at >= time + shift]
            if bids and asks and later and later[0] != MISSING_PIPS:
                found[place][0] += 1
                found[place][1] += min(bids) <= later[0] <= max(asks)
    return [tuple(pair) for pair in found]


@pytest.mark.parametrize(
    "count",
    [count_in_range, getattr(count_in_range, "py_func", count_in_range)],
    ids=["compiled", "interpreted"],
)
@given(
    books=rows,
    drawn=trades,
    window=st.integers(0, 6),
    next_too=st.booleans(),
    late=st.integers(0, 3),
    step=st.integers(1, 4),
)
def test_counts_equal_those_of_a_loop_over_everything(
    count: Callable[..., None],
    books: list[tuple[int, int, int]],
    drawn: list[tuple[int, int]],
    window: int,
    next_too: bool,
    late: int,
    step: int,
) -> None:
    """Of trades that have a row before their window; ties in time and sides without a price included."""
    begin = sum(time < books[0][0] + window for time, _ in drawn)
    time = np.array([trade[0] for trade in drawn], dtype=np.int64)
    price = np.array([trade[1] for trade in drawn], dtype=np.int64)
    row_time = np.array([row[0] for row in books])
    bests = np.array([row[1:] for row in books])
    counted, inside = np.zeros(3, np.int64), np.zeros(3, np.int64)
    count(
        time,
        price,
        begin,
        len(drawn),
        row_time,
        bests,
        window,
        next_too,
        np.array(SHIFTS),
        begin + late,
        step,
        counted,
        inside,
    )
    sampled = range(begin + late, len(drawn), step)
    expected = naive(drawn, begin, books, window, next_too, sampled)
    assert list(zip(counted.tolist(), inside.tolist(), strict=True)) == expected
