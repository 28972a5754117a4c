"""Counts of intervals against a loop over lists, with the compiler and without."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.message_intervals import INTERVAL_BINS, count_intervals

EDGES_MS = [*range(64), *(m << d for d in range(1, 31) for m in range(32, 64))]
MS = 1_000_000
steps = st.one_of(st.integers(-3, 80 * MS), st.integers(0, 1 << 57))


@pytest.mark.parametrize(
    "count",
    [count_intervals, getattr(count_intervals, "py_func", count_intervals)],
    ids=["compiled", "interpreted"],
)
@given(drawn=st.lists(st.tuples(steps, steps), max_size=8), cut=st.integers(0, 8))
def test_intervals_are_counted_by_both_clocks(
    count: Callable[..., None], drawn: list[tuple[int, int]], cut: int
) -> None:
    """Whole milliseconds, nothing below 0, in blocks of the exchange's time, however the messages are cut."""
    origin, received = (np.cumsum([0, *(pair[clock] for pair in drawn)]) for clock in range(2))
    width, first = 10 * MS, -1
    excess, totals = np.zeros((3, INTERVAL_BINS + 1), np.int64), np.zeros(3, np.int64)
    last = np.array([origin[0], received[0]])
    for part in (slice(1, 1 + cut), slice(1 + cut, None)):
        count(origin[part], received[part], last, first, width, excess, totals)
    wanted, counted = np.zeros_like(excess), np.zeros_like(totals)
    for at in range(1, len(origin)):
        block = min(max(int(origin[at]) // width - first, 0), 2)
        counted[block] += 1
        for clock, sign in ((received, 1), (origin, -1)):
            gap = max(int(clock[at] - clock[at - 1]), 0) // MS
            wanted[block, min(bisect_right(EDGES_MS, gap) - 1, INTERVAL_BINS - 1)] += sign
    assert np.array_equal(excess, wanted)
    assert np.array_equal(totals, counted)
