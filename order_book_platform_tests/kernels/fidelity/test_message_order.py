"""Looking up numbers in a column against sets, with the compiler and without."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.message_order import (
    HIGHEST,
    MESSAGES,
    STATE_SIZE,
    find_disorder,
    place_messages,
)

place = pytest.mark.parametrize(
    "place",
    [place_messages, getattr(place_messages, "py_func", place_messages)],
    ids=["compiled", "interpreted"],
)


@place
@given(
    column=st.lists(st.integers(-2, 20), min_size=1, max_size=25),
    wanted=st.sets(st.integers(-3, 21)).map(sorted),
    rising=st.booleans(),
    cut=st.integers(0, 25),
)
def test_messages_are_found_whatever_the_order(
    place: Callable[..., None], column: list[int], wanted: list[int], rising: bool, cut: int
) -> None:
    """Sorted or going back, with repetitions and in two parts: the last run of a number counts; other places stay."""
    numbers = sorted(column) if rising else column
    places, state = np.full(len(wanted), -7, np.int64), np.zeros(STATE_SIZE, np.int64)
    for part in (numbers[:cut], numbers[cut:]):
        place(np.array(part, np.int64), np.array(wanted, np.int64), state, places)
    messages = [number for number, _ in itertools.groupby(numbers)]
    assert (state[HIGHEST], state[MESSAGES]) == (max(column), len(messages))
    for number, found in zip(wanted, places.tolist(), strict=True):
        runs = [at for at, other in enumerate(messages, start=1) if other == number]
        assert found == (runs[-1] if runs else -7)


TOLERANCE = 2
rows = st.lists(st.tuples(st.integers(-1, 8), st.integers(-9, 9), st.integers(0, 5)), max_size=12)


def naive(drawn: list[tuple[int, int, int]]) -> list[bool]:
    """Which rows are out of order: each looks at those kept before it and at the next one."""
    kept: list[tuple[int, int, int]] = []
    found = []
    for at, row in enumerate(drawn):
        highest = [max((one[column] for one in kept), default=-99) for column in range(3)]
        following = drawn[at + 1] if at + 1 < len(drawn) else None
        bad = row[0] < highest[0]
        if following is not None and not bad:
            back = [row[column] - following[column] for column in range(3)]
            sound = [following[column] >= highest[column] for column in range(3)]
            bad = (sound[0] and back[0] > 0) or any(sound[c] and back[c] > TOLERANCE for c in (1, 2))
        found.append(bad)
        if not bad:
            kept.append(row)
    return found


@pytest.mark.parametrize(
    "find",
    [find_disorder, getattr(find_disorder, "py_func", find_disorder)],
    ids=["compiled", "interpreted"],
)
@given(drawn=rows, cut=st.integers(0, 12))
def test_disorder_is_that_of_the_rule(
    find: Callable[..., None], drawn: list[tuple[int, int, int]], cut: int
) -> None:
    """In one go or in two, the second beginning with the row that the first only looked at."""
    columns = np.array(drawn, dtype=np.int64).reshape(-1, 3)
    latest = np.full(3, np.iinfo(np.int64).min)
    unfit = np.zeros(len(drawn), dtype=np.bool_)
    first = min(cut, len(drawn))
    judged = max(first - 1, 0)
    find(columns[:first, 0], columns[:first, 1:], TOLERANCE, False, latest, unfit[:first])
    find(columns[judged:, 0], columns[judged:, 1:], TOLERANCE, True, latest, unfit[judged:])
    assert unfit.tolist() == naive(drawn)
