"""Looking up numbers in a column against sets, with the compiler and without."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.sequence_lookup import (
    HIGHEST,
    MESSAGES,
    STATE_SIZE,
    first_not_below,
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


@given(numbers=st.lists(st.integers(0, 9), max_size=12).map(sorted), number=st.integers(-1, 10))
def test_the_first_that_is_not_below(numbers: list[int], number: int) -> None:
    """The place at which numpy would insert it on the left."""
    column = np.array(numbers, np.int64)
    assert first_not_below(column, number) == np.searchsorted(column, number)
