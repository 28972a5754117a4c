"""Sums by age against a loop over lists, with the compiler and without."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity import error_drift
from order_book_platform.kernels.fidelity.error_drift import add_by_age
from order_book_platform.kernels.fidelity.level_comparison import ROW_COUNTS

TIME_EDGES, MESSAGE_EDGES = [0, 5, 20], [0, 2, 3, 9]
numbers = st.sets(st.integers(0, 30), max_size=8).map(sorted)
rows = st.dictionaries(
    st.integers(0, 30), st.tuples(st.integers(0, 60), st.booleans(), st.booleans(), st.booleans()), max_size=9
).map(lambda drawn: sorted(drawn.items()))


@pytest.mark.parametrize(
    "add", [add_by_age, getattr(add_by_age, "py_func", add_by_age)], ids=["compiled", "interpreted"]
)
@given(drawn=rows, used=numbers, cut=st.integers(0, 9))
def test_rows_are_added_up_by_their_ages(
    add: Callable[..., None], drawn: list[tuple], used: list[int], cut: int
) -> None:
    """The age is that of the last used snapshot at or before the row; without one the row is left out."""
    snapshots = sorted({number for number, _ in drawn} | set(used))
    places = [number // 2 for number in snapshots]
    number = np.array([at for at, _ in drawn], np.int64)
    time = np.array([values[0] for _, values in drawn], np.int64)
    exact = np.array([values[1] for _, values in drawn], np.bool_)
    counts = np.zeros((len(drawn), ROW_COUNTS), np.int64)
    for row, (at, (_, _, equal, known)) in enumerate(drawn):
        counts[row] = (equal, known, 20 + at, at % 3, 30 + at, at % 5)
    by_time, by_messages = (
        np.zeros((len(edges), error_drift.AGE_COLUMNS), np.int64) for edges in (TIME_EDGES, MESSAGE_EDGES)
    )
    cursors, moments = np.zeros(error_drift.CURSORS, np.int64), np.zeros(5)
    for part in (slice(0, cut), slice(cut, None)):
        add(
            *(number[part], time[part], exact[part], counts[part]),
            *(np.array(snapshots, np.int64), np.array(places, np.int64)),
            *(np.array(used, np.int64), np.array(used, np.int64), np.array(used, np.int64) // 2),
            *(cursors, np.array(TIME_EDGES), np.array(MESSAGE_EDGES), by_time, by_messages, moments),
        )
    wanted_time, wanted_messages, wanted_moments = by_time * 0, by_messages * 0, [0.0] * 5
    for at, (when, right, equal, known) in drawn:
        last = max((each for each in used if each <= at), default=None)
        if last is None:
            continue
        values = (1, right, known, known and equal, at % 3, at % 5)
        age, messages = max(0, when - last), at // 2 - last // 2
        wanted_time[bisect_right(TIME_EDGES, age) - 1] += values
        wanted_messages[bisect_right(MESSAGE_EDGES, messages) - 1] += values
        if known:
            seconds = age / 1e9
            for place, value in enumerate((1, seconds, seconds**2, equal, seconds * equal)):
                wanted_moments[place] += value
    assert np.array_equal(by_time, wanted_time)
    assert np.array_equal(by_messages, wanted_messages)
    assert moments.tolist() == pytest.approx(wanted_moments)
