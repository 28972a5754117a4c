"""Lists spread out into rows, against Python's own lists, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.list_spreading import spread_lists


@pytest.mark.parametrize(
    "spread", [spread_lists, getattr(spread_lists, "py_func", spread_lists)], ids=["compiled", "interpreted"]
)
@given(st.data(), st.lists(st.lists(st.integers(0, 99), max_size=4), min_size=1, max_size=8))
def test_rows_are_the_chosen_lists(
    spread: Callable[..., None], data: st.DataObject, lists: list[list[int]]
) -> None:
    """Empty ones and the first among them, in any order and more than once, into every other column of an array."""
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=10))
    values = np.array([value for each in lists for value in each], np.int64)
    ends = np.cumsum([len(each) for each in lists])
    out = np.full((len(chosen), 4, 2), -9, np.int64)
    spread(values, ends, np.array(chosen, np.int64), -1, out[:, :, 1])
    assert out[:, :, 1].tolist() == [(lists[at] + [-1] * 4)[:4] for at in chosen]
    assert (out[:, :, 0] == -9).all()
