"""The simulated market's loops: building blocks against plain Python, and a market that stays a market."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels import market_simulation as kernel
from order_book_platform.simulate.market import Market
from order_book_platform_tests.simulate.small import KEY, small_profile

WORDS = 4
MASK = 2**64 - 1


def splitmix(state: int) -> tuple[int, int]:
    """The generator in unbounded integers."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
    return state, mixed ^ (mixed >> 31)


@given(st.integers(0, MASK))
def test_random_numbers_are_splitmix64(seed: int) -> None:
    """The generator's wrap-around arithmetic equals the definition in unbounded integers."""
    rng, state = np.array([seed], np.uint64), seed
    for _ in range(5):
        state, expected = splitmix(state)
        with np.errstate(over="ignore"):
            assert int(kernel.next_random(rng)) == expected
    assert int(rng[0]) == state


@given(st.integers(1, MASK))
def test_lowest_bit(word: int) -> None:
    """The index of the lowest set bit is what Python says."""
    assert int(kernel.lowest_bit(np.uint64(word))) == (word & -word).bit_length() - 1


@given(st.sets(st.integers(0, 64 * WORDS - 1)), st.integers(0, 300), st.integers(0, 300), st.integers(0, 1))
def test_next_level(levels: set[int], start: int, stop: int, side: int) -> None:
    """The first occupied level in a range is the smallest of the set; other sides' levels do not matter."""
    bits = np.zeros((4, WORDS), np.uint64)
    bits[1 - side] = MASK
    for level in levels:
        bits[side, level >> 6] |= np.uint64(1) << np.uint64(level & 63)
    expected = min((level for level in levels if start <= level <= stop), default=-1)
    assert int(kernel.next_level(bits, side, start, stop)) == expected


@given(st.lists(st.integers(-(2**40), 2**40), max_size=300))
def test_sort_coordinates(values: list[int]) -> None:
    """The first values come out sorted, those behind them are left alone."""
    grid = np.full((2, len(values) + 3), -7, np.int64)
    grid[1, : len(values)] = values
    kernel.sort_coordinates(grid, 1, len(values))
    assert grid[1].tolist() == [*sorted(values), -7, -7, -7]
    assert (grid[0] == -7).all()


def test_draw_is_linear_between_knots() -> None:
    """Probability 0 gives the first quantile, a knot its own value, and halfway the floor of the mean."""
    tables = np.zeros((2, kernel.TABLE_COLUMNS), np.int64)
    tables[1, : kernel.KNOTS] = np.arange(kernel.KNOTS) ** 2
    assert int(kernel.draw(tables, 1, 0)) == 0
    assert int(kernel.draw(tables, 1, 7 << 9)) == 49
    assert int(kernel.draw(tables, 1, (7 << 9) + 256)) == (49 + 64) // 2
    assert int(kernel.draw(tables, 1, 65_535)) == 127**2 + (255 * 511 >> 9)


def test_a_market_keeps_its_book_in_order() -> None:
    """After every message bits and sizes agree, the best levels are the first ones, and the sides never meet."""
    market = Market(small_profile(), 3, KEY)
    ticks = market._sizes.shape[1]
    for _ in range(60):
        market.play(1)
        state, sizes, bits = market._state, market._sizes, market._bits
        for side in (0, 1):
            occupied = np.unpackbits(bits[side].view(np.uint8), bitorder="little").astype(np.bool_)
            assert (occupied == (sizes[side] > 0)).all()
            assert int(state[kernel.S_BEST_BID + side]) == int(np.flatnonzero(occupied)[0])
        assert int(state[kernel.S_BEST_BID] + state[kernel.S_BEST_ASK]) >= ticks
        assert not bits[2:].any()


def test_a_seed_s_market_does_not_change_unnoticed() -> None:
    """The same seed gives the same market on every machine and with the JIT on or off: its digest is written here.

    Whoever changes the market on purpose puts the new digest here, and says so in the changelog.
    """
    market = Market(small_profile(), 1, KEY)
    digest = hashlib.sha256()
    for _ in range(4):
        chunk = market.play(20)
        for part in (chunk.messages, chunk.rows, chunk.tickers, chunk.trades, chunk.books):
            digest.update(np.ascontiguousarray(part).astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "1147689e05173bff"
