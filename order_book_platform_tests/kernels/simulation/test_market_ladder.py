"""Levels of the simulated market against a set and a dict."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.simulation import market_arrays, market_ladder

WORDS = 4
MASK = 2**64 - 1


@given(st.sets(st.integers(0, 64 * WORDS - 1)), st.integers(0, 300), st.integers(0, 300), st.integers(0, 1))
def test_next_level(levels: set[int], start: int, stop: int, side: int) -> None:
    """The first occupied level in a range is the smallest of the set; other sides' levels do not matter."""
    bits = np.zeros((4, WORDS), np.uint64)
    bits[1 - side] = MASK
    for level in levels:
        bits[side, level >> 6] |= np.uint64(1) << np.uint64(level & 63)
    expected = min((level for level in levels if start <= level <= stop), default=-1)
    assert int(market_ladder.next_level(bits, side, start, stop)) == expected


@given(st.lists(st.tuples(st.integers(0, 64 * WORDS - 1), st.integers(0, 3)), max_size=60), st.integers(0, 1))
def test_levels_and_what_was_touched(changes: list[tuple[int, int]], side: int) -> None:
    """Sizes and bits equal a dict; each level is listed once, when it was first touched; the other side stays empty."""
    state = np.zeros(market_arrays.STATE_FIELDS, np.int64)
    sizes, bits = np.zeros((2, 64 * WORDS), np.int64), np.zeros((4, WORDS), np.uint64)
    touched, model = np.zeros((2, 64 * WORDS), np.int64), dict[int, int]()
    for coordinate, lots in changes:
        market_ladder.set_level(state, sizes, bits, touched, side, coordinate, lots)
        model[coordinate] = lots
    occupied = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
    assert {int(c): int(sizes[side, c]) for c in np.flatnonzero(sizes[side])} == {
        c: n for c, n in model.items() if n
    }
    assert (occupied[side] == (sizes[side] > 0)).all()
    assert set(np.flatnonzero(occupied[2 + side]).tolist()) == set(model)
    count = int(state[market_arrays.STATE_TOUCHED_BIDS + side])
    assert touched[side, :count].tolist() == list(model)
    assert not occupied[1 - side].any()
    assert not occupied[3 - side].any()
