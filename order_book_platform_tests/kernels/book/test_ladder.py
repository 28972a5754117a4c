"""The ladder's own invariants, after every operation on a single side, near and far."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.book import ladder
from order_book_platform.kernels.book.ladder_arrays import BLOCK_LEVELS, NO_KEY, Ladder

SLOTS = 4096
"""The smallest window, so that keys leave it all the time."""
SIDE = 1
BLOCKS = 2 * SLOTS // BLOCK_LEVELS + 300
"""Overflow blocks for all that a test sets."""


def window_levels(book: Ladder) -> dict[int, int]:
    """Key to size of the window's levels."""
    base = int(book.base[SIDE])
    sizes = book.cells[2 * SIDE * SLOTS :: 2]
    return {base + (int(slot) - base) % SLOTS: int(sizes[slot]) for slot in np.flatnonzero(sizes)}


def overflow_levels_of(book: Ladder) -> dict[int, int]:
    """Key to size of the overflow levels, in the order in which they are kept."""
    levels = {}
    for block in book.overflow_order[SIDE, : book.overflow_blocks[SIDE]]:
        fill = book.overflow_fill[SIDE, block]
        assert 0 < fill <= BLOCK_LEVELS
        keys, sizes = book.overflow_keys[SIDE, block, :fill], book.overflow_sizes[SIDE, block, :fill]
        levels.update(zip(keys.tolist(), sizes.tolist(), strict=True))
    return levels


def check(book: Ladder, model: dict[int, int]) -> None:
    """Every invariant of the two modules' docstrings, and equality with a dict."""
    base = int(book.base[SIDE])
    assert base % 64 == 0
    occupied = np.unpackbits(book.words.view(np.uint8), bitorder="little")
    np.testing.assert_array_equal(occupied.nonzero()[0], book.cells[::2].nonzero()[0])
    groups = np.unpackbits(book.summary.view(np.uint8), bitorder="little")
    assert groups[book.words.nonzero()[0]].all()
    near, away = window_levels(book), overflow_levels_of(book)
    assert list(away) == sorted(away)
    assert min(away, default=base + SLOTS) >= base + SLOTS
    assert {**near, **away} == model
    order = book.overflow_order[SIDE]
    assert sorted(order.tolist()) == list(range(len(order)))
    assert book.overflow_blocks[SIDE] <= 8 * len(away) // BLOCK_LEVELS + 2
    walked, key = [], -NO_KEY
    while (key := int(ladder.next_key(book, SIDE, key))) != NO_KEY:
        walked.append(key)
        key += 1
    assert walked == sorted(model)


def fewest_blocks(book: Ladder, levels: int) -> int:
    """How many overflow blocks are said to be enough for so many more levels."""
    return next(
        blocks
        for blocks in range(1, book.overflow_fill.shape[1] + 1)
        if ladder.has_room(book._replace(overflow_fill=np.zeros((2, blocks), np.int64)), levels)
    )


keys = st.one_of(st.integers(-70, 70), st.integers(-5_000, 5_000), st.integers(-50_000, 50_000))


@given(st.lists(st.tuples(keys, st.sampled_from([0, 0, 1, 2]), st.booleans()), max_size=80))
def test_levels_and_invariants_hold_after_every_operation(operations: list[tuple[int, int, bool]]) -> None:
    """Any order of settings and removals, settled or not, leaves a ladder equal to a dict, and each level its age."""
    book, model, named = Ladder.empty(SLOTS, BLOCKS), dict[int, int](), dict[int, int]()
    for number, (key, size, settled) in enumerate(operations):
        assert ladder.has_room(book, 1)
        changed = model.get(key, 0) != size
        assert bool(ladder.set_level(book, SIDE, key, size, number)) == changed
        model[key] = size
        if not size:
            del model[key]
        assert not changed or book.changed_from[SIDE] <= key
        if settled:
            ladder.settle(book, SIDE)
            assert book.best[SIDE] == min(model, default=NO_KEY)
            book.changed_from[SIDE] = NO_KEY
        check(book, model)
        assert int(ladder.level_at(book, SIDE, key)[0]) == size
        named[key] = number
    for key, size in model.items():
        assert tuple(int(value) for value in ladder.level_at(book, SIDE, key)) == (size, named[key])


def test_a_window_left_behind_finds_the_room_that_was_kept_for_it() -> None:
    """A full window that the price leaves turns into overflow blocks, and comes back when the price does."""
    blocks = 2 * (SLOTS + 1) // BLOCK_LEVELS + 5
    book = Ladder.empty(SLOTS, blocks)
    model = dict.fromkeys(range(64, 64 + SLOTS - SLOTS // 4), 7)
    for key, size in model.items():
        ladder.set_level(book, SIDE, key, size, 1)
    ladder.settle(book, SIDE)
    assert ladder.has_room(book, 1)
    room = fewest_blocks(book, 1)
    ladder.set_level(book, SIDE, -(10**6), 3, 2)
    model[-(10**6)] = 3
    check(book, model)
    assert book.overflow_blocks[SIDE] <= room
    assert len(overflow_levels_of(book)) == len(model) - 1
    assert not ladder.has_room(book, 1)
    ladder.set_level(book, SIDE, -(10**6), 0, 3)
    del model[-(10**6)]
    ladder.settle(book, SIDE)
    check(book, model)
    assert not overflow_levels_of(book)
    assert ladder.has_room(book, 1)


edges = st.tuples(
    st.sampled_from([0, SLOTS]),
    st.one_of(st.sampled_from([-1, 0, 1, 63, 64]), st.integers(-200, 200)),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
)


@given(st.lists(edges, min_size=1, max_size=40))
def test_the_two_ends_of_the_window(operations: list[tuple[int, int, int, bool]]) -> None:
    """The first and the last slot, and the keys just outside, wherever the window has moved meanwhile."""
    book, model = Ladder.empty(SLOTS, BLOCKS), dict[int, int]()
    for end, offset, size, settled in operations:
        key = int(book.base[SIDE]) + end + offset
        ladder.set_level(book, SIDE, key, size, 0)
        model[key] = size
        if not size:
            del model[key]
        if settled:
            ladder.settle(book, SIDE)
        check(book, model)
        for beside in (key - 1, key, key + 1):
            assert int(ladder.level_at(book, SIDE, beside)[0]) == model.get(beside, 0)


@pytest.mark.parametrize("offset", [-65, -64, -1, 0, 1, 63, 64])
@pytest.mark.parametrize("best", [100_003, -2_043])
def test_the_window_moves_to_where_a_level_stands_at_its_end(best: int, offset: int) -> None:
    """It follows the best price up or down, and what stands just inside or outside its new end is in its place."""
    book = Ladder.empty(SLOTS, BLOCKS)
    base = (best - SLOTS // 4) & -64
    model = {base + SLOTS + offset: 1, best: 2}
    for key, size in model.items():
        ladder.set_level(book, SIDE, key, size, 0)
    ladder.settle(book, SIDE)
    assert book.base[SIDE] == base
    check(book, model)


def test_there_is_room_for_every_block_to_split() -> None:
    """Where all overflow blocks are full and each new level lands in another one, there is room for twice as many."""
    blocks = 300
    book = Ladder.empty(SLOTS, 3 * blocks)
    book.overflow_keys[SIDE, :blocks] = SLOTS + 2 * np.arange(blocks * BLOCK_LEVELS).reshape(blocks, -1)
    book.overflow_sizes[SIDE, :blocks] = 1
    book.overflow_seen[SIDE, :blocks] = 0
    book.overflow_fill[SIDE, :blocks] = BLOCK_LEVELS
    book.overflow_blocks[SIDE] = blocks
    room = fewest_blocks(book, blocks)
    for key in book.overflow_keys[SIDE, :blocks, BLOCK_LEVELS // 2].tolist():
        ladder.set_level(book, SIDE, key + 1, 2, 1)
    assert book.overflow_blocks[SIDE] == 2 * blocks <= room
    model = {SLOTS + 2 * i: 1 for i in range(blocks * BLOCK_LEVELS)}
    check(book, model | {SLOTS + 2 * (i * BLOCK_LEVELS + BLOCK_LEVELS // 2) + 1: 2 for i in range(blocks)})


def test_more_blocks_hold_the_same_levels() -> None:
    """Growing keeps every level, near and far, and its age."""
    book, model = Ladder.empty(SLOTS, 64), {3: 1, 10_000: 2, 20_000: 3}
    for key, size in model.items():
        ladder.set_level(book, SIDE, key, size, size + 7)
    grown = book.with_blocks(128)
    assert grown.overflow_fill.shape == (2, 128)
    check(grown, model)
    for key, size in model.items():
        assert tuple(int(value) for value in ladder.level_at(grown, SIDE, key)) == (size, size + 7)


@given(
    st.sets(st.integers(0, SLOTS - 1), max_size=20), st.integers(0, SLOTS + 70), st.sets(st.integers(0, 63))
)
def test_next_slot(slots: set[int], start: int, stale: set[int]) -> None:
    """The lowest occupied slot at or after any start; summary bits of words that are empty mislead no one."""
    book = Ladder.empty(SLOTS, 1)
    for slot in slots:
        ladder.set_slot(book.cells, book.words, book.summary, np.uint64(slot), 1, 0)
    for group in stale:
        book.summary[0] |= np.uint64(1) << np.uint64(group)
    wanted = min((slot for slot in slots if slot >= start), default=-1)
    assert int(ladder.next_slot(book, start, SLOTS)) == wanted


@pytest.mark.parametrize("slots", [4096, 8192])
def test_the_other_side_is_left_alone(slots: int) -> None:
    """The two sides share arrays and nothing else."""
    book = Ladder.empty(slots, 4 * BLOCKS)
    for key in range(-300, 300):
        ladder.set_level(book, 0, key * 97, 5, 0)
    before = Ladder(*(array.copy() for array in book))
    for key in range(-300, 300):
        ladder.set_level(book, 1, key * 89, 5, 0)
        ladder.settle(book, 1)
    assert (book.cells[: 2 * slots] == before.cells[: 2 * slots]).all()
    assert (book.base[0], book.best[0], book.changed_from[0]) == (
        before.base[0],
        before.best[0],
        before.changed_from[0],
    )
    blocks = book.overflow_blocks[0]
    assert blocks == before.overflow_blocks[0]
    assert (book.overflow_keys[0, :blocks] == before.overflow_keys[0, :blocks]).all()


if os.environ.get("NUMBA_BOUNDSCHECK") == "1":

    def test_indices_are_checked() -> None:
        """A slot beyond the window is an error, so that the other tests show that no loop ever leaves its arrays."""
        with pytest.raises(IndexError):
            ladder.next_slot(Ladder.empty(SLOTS, 1), 5 * SLOTS, 6 * SLOTS)
