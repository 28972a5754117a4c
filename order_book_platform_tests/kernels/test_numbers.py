"""Looking up numbers in a column against sets, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.numbers import first_not_below, mark_numbers

mark = pytest.mark.parametrize(
    "mark", [mark_numbers, getattr(mark_numbers, "py_func", mark_numbers)], ids=["compiled", "interpreted"]
)


@mark
@given(
    column=st.lists(st.integers(-2, 20), min_size=1, max_size=25),
    wanted=st.sets(st.integers(-3, 21)).map(sorted),
    rising=st.booleans(),
)
def test_numbers_are_found_whatever_the_order(
    mark: Callable[..., int], column: list[int], wanted: list[int], rising: bool
) -> None:
    """Sorted or going back, with repetitions: what is marked is what a set has; marks from before stay."""
    numbers = np.array(sorted(column) if rising else column, np.int64)
    found = np.arange(len(wanted)) % 3 == 0
    assert mark(numbers, np.array(wanted, np.int64), found) == max(column)
    assert found.tolist() == [at % 3 == 0 or number in column for at, number in enumerate(wanted)]


@given(numbers=st.lists(st.integers(0, 9), max_size=12).map(sorted), number=st.integers(-1, 10))
def test_the_first_that_is_not_below(numbers: list[int], number: int) -> None:
    """The place at which numpy would insert it on the left."""
    column = np.array(numbers, np.int64)
    assert first_not_below(column, number) == np.searchsorted(column, number)
