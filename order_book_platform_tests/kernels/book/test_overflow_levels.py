"""Levels beyond the window against a dict: as they come, as they go, and in runs that fill and empty blocks."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import config

from order_book_platform.kernels.book.ladder_arrays import BLOCK_LEVELS, NO_KEY, Ladder
from order_book_platform.kernels.book.overflow_levels import (
    next_overflow_key,
    overflow_level,
    set_overflow_level,
)
from order_book_platform_tests.kernels.book.test_ladder import BLOCKS, SIDE, SLOTS, check


def test_thousands_of_levels_split_and_join_blocks() -> None:
    """Overflow levels come in any order and go in any other: always equal to a dict, and in few blocks."""
    rng = np.random.default_rng(3)
    count = 600 if config.DISABLE_JIT else 6_000
    book, model = Ladder.empty(SLOTS, BLOCKS), dict[int, int]()
    book.base[SIDE] = -SLOTS * 4
    keys = rng.choice(10**9, count, replace=False).tolist()
    for number, key in enumerate(keys):
        set_overflow_level(book, SIDE, key, number + 1, number)
        model[key] = number + 1
    check(book, model)
    assert book.overflow_blocks[SIDE] > count // BLOCK_LEVELS
    for key in rng.permutation(keys)[: count * 9 // 10].tolist():
        assert set_overflow_level(book, SIDE, key, 0, 0)
        del model[key]
    check(book, model)
    for key in list(model):
        assert tuple(int(value) for value in overflow_level(book, SIDE, key)) == (
            model[key],
            model[key] - 1,
        )
        assert set_overflow_level(book, SIDE, key, 0, 0)
    assert book.overflow_blocks[SIDE] == 0
    assert not set_overflow_level(book, SIDE, 5, 0, 0)


@given(st.lists(st.integers(0, 3_000), min_size=1, max_size=40), st.integers(2, 50))
def test_levels_in_runs(starts: list[int], length: int) -> None:
    """Ascending and descending runs, which fill and empty blocks at their ends, keep every invariant."""
    book, model = Ladder.empty(SLOTS, BLOCKS), dict[int, int]()
    book.base[SIDE] = -SLOTS * 4
    for turn, start in enumerate(starts):
        for key in range(start, start + length)[:: 1 if turn % 2 else -1]:
            size = 0 if turn % 3 == 2 else turn + 1
            assert bool(set_overflow_level(book, SIDE, key, size, 0)) == (model.get(key, 0) != size)
            model[key] = size
            if not size:
                del model[key]
    check(book, model)


@given(st.sets(st.integers(10_000, 12_000), max_size=300), st.integers(9_000, 13_000))
def test_the_next_key(keys: set[int], key: int) -> None:
    """The next overflow key is the smallest of a set that is not below the one asked for."""
    book = Ladder.empty(SLOTS, BLOCKS)
    for each in keys:
        set_overflow_level(book, SIDE, each, 1, 0)
    found = int(next_overflow_key(book, SIDE, key))
    assert found == min((each for each in keys if each >= key), default=NO_KEY)
    assert int(overflow_level(book, SIDE, key)[0]) == int(key in keys)
