"""A ladder's arrays: made, grown and filled from a saved side, always with the same levels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.book import ladder
from order_book_platform.kernels.book.ladder_arrays import (
    BLOCK_LEVELS,
    LADDER,
    NO_KEY,
    NOTHING_KNOWN,
    Ladder,
    LiveLevels,
)
from order_book_platform_tests.kernels.book.test_ladder import BLOCKS, SIDE, SLOTS, check

levels = st.dictionaries(
    st.one_of(st.integers(-100, 100), st.integers(-50_000, 50_000)), st.integers(1, 5), max_size=200
)


def filled(model: dict[int, int], blocks: int = BLOCKS) -> Ladder:
    """A ladder whose side holds the levels of a dict, each set by the message of its place in it."""
    book = Ladder.empty(SLOTS, blocks)
    for number, (key, size) in enumerate(model.items()):
        ladder.set_level(book, SIDE, key, size, number)
    ladder.settle(book, SIDE)
    return book


def read(book: Ladder) -> LiveLevels:
    """All levels of the side."""
    found = np.empty((3, book.occupied(SIDE)), np.int64)
    ladder.read_levels(book, SIDE, found)
    return LiveLevels(*found)


def test_an_empty_ladder_knows_nothing() -> None:
    """There is no best level, nothing has changed, and no price range is known; numba's type has every array."""
    book = Ladder.empty(SLOTS, 3)
    assert (book.best == NO_KEY).all()
    assert (book.changed_from == NO_KEY).all()
    assert (book.known_until == NOTHING_KNOWN).all()
    assert book.occupied(0) == book.occupied(1) == 0
    assert len(LADDER) == len(Ladder._fields)
    for array, kind in zip(book, LADDER, strict=True):
        assert (array.ndim, str(array.dtype)) == (kind.ndim, str(kind.dtype))


@given(levels)
def test_levels_come_back_sorted(model: dict[int, int]) -> None:
    """Every level is read by ascending key, with its size and the message that set it."""
    found, number = read(filled(model)), {key: n for n, key in enumerate(model)}
    assert found.keys.tolist() == sorted(model)
    assert found.sizes.tolist() == [model[key] for key in sorted(model)]
    assert found.seen.tolist() == [number[key] for key in sorted(model)]


@given(levels)
def test_a_saved_side_fills_another_ladder(model: dict[int, int]) -> None:
    """A ladder filled with what was read of another one has the same levels, and keeps all invariants."""
    saved, other = read(filled(model)), Ladder.empty(SLOTS, BLOCKS)
    ladder.fill_side(other, SIDE, *saved)
    if model:
        check(other, model)
    assert int(other.best[SIDE]) == min(model, default=NO_KEY)
    assert all((mine == theirs).all() for mine, theirs in zip(read(other), saved, strict=True))


@given(levels, st.integers(0, 40))
def test_more_blocks_keep_the_levels(model: dict[int, int], more: int) -> None:
    """A ladder with more blocks has the same levels, shares the window's arrays and lists every block once."""
    book = filled(model)
    grown = book.with_blocks(BLOCKS + more)
    assert grown.overflow_keys.shape == (2, BLOCKS + more, BLOCK_LEVELS)
    assert grown.cells is book.cells
    if model:
        check(grown, model)
    assert all((mine == theirs).all() for mine, theirs in zip(read(grown), read(book), strict=True))
