"""Looking up numbers in a column against sets, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.numbers import first_not_below, place_numbers

place = pytest.mark.parametrize(
    "place",
    [place_numbers, getattr(place_numbers, "py_func", place_numbers)],
    ids=["compiled", "interpreted"],
)


@place
@given(
    column=st.lists(st.integers(-2, 20), min_size=1, max_size=25),
    wanted=st.sets(st.integers(-3, 21)).map(sorted),
    rising=st.booleans(),
    before=st.integers(0, 5),
)
def test_numbers_are_found_whatever_the_order(
    place: Callable[..., int], column: list[int], wanted: list[int], rising: bool, before: int
) -> None:
    """Sorted or going back, with repetitions: the last run of a number begins where it is placed; other places stay."""
    numbers = sorted(column) if rising else column
    places = np.full(len(wanted), -7, np.int64)
    assert place(np.array(numbers, np.int64), np.array(wanted, np.int64), before, places) == max(column)
    begins = [at for at, number in enumerate(numbers) if at == 0 or number != numbers[at - 1]]
    for number, found in zip(wanted, places.tolist(), strict=True):
        runs = [at for at in begins if numbers[at] == number]
        assert found == (before + runs[-1] + 1 if runs else -7)


@given(numbers=st.lists(st.integers(0, 9), max_size=12).map(sorted), number=st.integers(-1, 10))
def test_the_first_that_is_not_below(numbers: list[int], number: int) -> None:
    """The place at which numpy would insert it on the left."""
    column = np.array(numbers, np.int64)
    assert first_not_below(column, number) == np.searchsorted(column, number)
