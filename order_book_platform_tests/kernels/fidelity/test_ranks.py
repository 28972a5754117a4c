"""Ranks against counting, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.ranks import DIGIT_VALUES, DIGITS, average_ranks

LIMITS = np.iinfo(np.int64)

keys = st.lists(
    st.one_of(
        st.integers(0, 6),
        st.integers(-3, 3).map(lambda n: n << 40),
        st.integers(int(LIMITS.min), int(LIMITS.max)),
        st.sampled_from([int(LIMITS.min), int(LIMITS.max), -1, 2047, 2048, 1 << 55, -(1 << 55)]),
    ),
    max_size=20,
)


@pytest.mark.parametrize(
    "rank",
    [average_ranks, getattr(average_ranks, "py_func", average_ranks)],
    ids=["compiled", "interpreted"],
)
@given(drawn=keys)
def test_ranks_equal_the_definition(rank: Callable[..., None], drawn: list[int]) -> None:
    """Every key's rank is the average of the places that it and its equals have among the sorted keys."""
    n = len(drawn)
    ranks = np.full(n, np.nan)
    rank(
        np.array(drawn, np.int64),
        np.full((2, 2, n), 7, np.int64),
        np.full((DIGITS, DIGIT_VALUES), 7, np.int64),
        ranks,
    )
    for key, found in zip(drawn, ranks.tolist(), strict=True):
        places = [place for place, other in enumerate(sorted(drawn), start=1) if other == key]
        assert found == sum(places) / len(places)
