"""Ranks against counting, with the compiler and without."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity import size_correlation
from order_book_platform.kernels.fidelity.size_correlation import (
    DIGIT_VALUES,
    DIGITS,
    RESULTS,
    WORKSPACE_ROWS,
    average_ranks,
    compare_sizes,
    rank_floats,
)
from order_book_platform_tests.fidelity.metrics.test_size_correlation import plain_pearson, plain_ranks

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


def both_ways(name: str) -> pytest.MarkDecorator:
    """The loop as it is compiled, and as Python runs it."""
    loop = getattr(size_correlation, name)
    return pytest.mark.parametrize(
        "loop", [loop, getattr(loop, "py_func", loop)], ids=["compiled", "interpreted"]
    )


@both_ways("rank_floats")
@given(
    st.lists(st.sampled_from([-2.5, -0.0, 0.0, 0.5, 1e-300, 3e18, float("inf"), float("-inf")]), max_size=12)
)
def test_floats_are_ranked_as_they_compare(loop: Callable[..., None], numbers: list[float]) -> None:
    """Below 0, 0 of either sign, and beyond the exact integers; equal values share the average."""
    n = len(numbers)
    found = np.empty(n)
    workspace = np.empty((2, 2, n + 3), np.int64), np.empty((DIGITS, DIGIT_VALUES), np.int64)
    loop(np.array(numbers, np.float64), np.empty(n, np.int64), *workspace, found)
    assert found.tolist() == plain_ranks(numbers)


def test_ranks_are_of_floats() -> None:
    """What `rank_floats` takes for a key keeps the order of neighbouring floats."""
    values = np.nextafter(1e18, np.array([0.0, 2e18]))
    found = np.empty(2)
    workspace = np.empty((2, 2, 2), np.int64), np.empty((DIGITS, DIGIT_VALUES), np.int64)
    rank_floats(values, np.empty(2, np.int64), *workspace, found)
    assert found.tolist() == [1.0, 2.0]


rows = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), max_size=25)


@both_ways("compare_sizes")
@given(rows, st.booleans())
def test_figures_equal_their_definitions(
    loop: Callable[..., None], drawn: list[tuple[int, int, bool]], same: bool
) -> None:
    """Of the marked rows, and of the differences between two marked neighbours; a side that never changes has none."""
    ours, theirs = ([row[of] for row in drawn] for of in (0, 0 if same else 1))
    marked = [row[2] for row in drawn]
    pairs = [(a, b) for a, b, there in zip(ours, theirs, marked, strict=True) if there]
    steps = [at for at in range(len(drawn) - 1) if marked[at] and marked[at + 1]]
    figures, numbers = compare(loop, ours, theirs, marked)
    assert numbers == [len(pairs), len(steps)]
    whole = sum(b for _, b in pairs)
    logs = [[math.log1p(value) for value in column] for column in (ours, theirs)]
    expected = [
        sum(abs(a - b) for a, b in pairs) / whole if whole else None,
        plain_pearson(*([math.log1p(pair[of]) for pair in pairs] for of in range(2))),
        plain_pearson(*(plain_ranks([pair[of] for pair in pairs]) for of in range(2))),
        plain_pearson(*([column[at + 1] - column[at] for at in steps] for column in logs)),
        plain_pearson(
            *(plain_ranks([column[at + 1] - column[at] for at in steps]) for column in (ours, theirs))
        ),
    ]
    for found, wanted in zip(figures, expected, strict=True):
        assert found == pytest.approx(math.nan if wanted is None else wanted, nan_ok=True)


def test_a_series_with_itself_is_exactly_one() -> None:
    """Without being worked out; not so a series that never changes."""
    figures, _ = compare(compare_sizes, [3, 1, 4, 1, 5], [3, 1, 4, 1, 5], [True] * 5)
    assert figures == [0.0, 1.0, 1.0, 1.0, 1.0]
    figures, _ = compare(compare_sizes, [3, 3, 3], [3, 3, 3], [True] * 3)
    assert figures[0] == 0.0
    assert all(math.isnan(value) for value in figures[1:])


def compare(
    loop: Callable[..., None], ours: Sequence[int], theirs: Sequence[int], marked: Sequence[bool]
) -> tuple[list[float], list[int]]:
    """Figures and numbers."""
    n = len(marked)
    sizes = [np.array(column, np.float64) for column in (ours, theirs)]
    figures, numbers = np.full(RESULTS, 9.0), np.full(2, 9, np.int64)
    loop(
        *(*sizes, *(np.log1p(column) for column in sizes), np.array(marked, np.bool_)),
        *(np.empty((WORKSPACE_ROWS, n)), np.empty(n, np.int64), np.empty((2, 2, n), np.int64)),
        *(np.empty((DIGITS, DIGIT_VALUES), np.int64), figures, numbers),
    )
    return figures.tolist(), numbers.tolist()
