"""Rows out of order, against the rule written with lists, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.time_order import find_disorder

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
