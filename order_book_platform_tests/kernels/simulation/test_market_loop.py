"""Random numbers of the simulated market against their definitions in plain Python."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.simulation import market_arrays as arrays
from order_book_platform.kernels.simulation import market_loop
from order_book_platform.simulate.simulated_market import Market
from order_book_platform_tests.simulate.small import KEY, small_profile

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
            assert int(market_loop.next_random(rng)) == expected
    assert int(rng[0]) == state


def test_draw_is_linear_between_knots() -> None:
    """Probability 0 gives the first quantile, a knot its own value, and halfway the floor of the mean."""
    tables = np.zeros((2, arrays.TABLE_COLUMNS), np.int64)
    tables[1, : arrays.KNOTS] = np.arange(arrays.KNOTS) ** 2
    assert int(market_loop.draw(tables, 1, 0)) == 0
    assert int(market_loop.draw(tables, 1, 7 << 9)) == 49
    assert int(market_loop.draw(tables, 1, (7 << 9) + 256)) == (49 + 64) // 2
    assert int(market_loop.draw(tables, 1, 65_535)) == 127**2 + (255 * 511 >> 9)


@given(st.integers(0, MASK))
def test_four_numbers_of_sixteen_bits(word: int) -> None:
    """The four parts of a random number are its bits from the lowest to the highest, and none overlaps another."""
    shifts = market_loop.SHIFT_0, market_loop.SHIFT_16, market_loop.SHIFT_32, market_loop.SHIFT_48
    parts = [int(market_loop.bits16(np.uint64(word), shift)) for shift in shifts]
    assert sum(part << 16 * n for n, part in enumerate(parts)) == word


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
    assert int(market_loop.next_level(bits, side, start, stop)) == expected


@given(st.lists(st.tuples(st.integers(0, 64 * WORDS - 1), st.integers(0, 3)), max_size=60), st.integers(0, 1))
def test_levels_and_what_was_touched(changes: list[tuple[int, int]], side: int) -> None:
    """Sizes and bits equal a dict; each level is listed once, when it was first touched; the other side stays empty."""
    state = np.zeros(arrays.STATE_FIELDS, np.int64)
    sizes, bits = np.zeros((2, 64 * WORDS), np.int64), np.zeros((4, WORDS), np.uint64)
    touched, model = np.zeros((2, 64 * WORDS), np.int64), dict[int, int]()
    for coordinate, lots in changes:
        market_loop.set_level(state, sizes, bits, touched, side, coordinate, lots)
        model[coordinate] = lots
    occupied = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")
    assert {int(c): int(sizes[side, c]) for c in np.flatnonzero(sizes[side])} == {
        c: n for c, n in model.items() if n
    }
    assert (occupied[side] == (sizes[side] > 0)).all()
    assert set(np.flatnonzero(occupied[2 + side]).tolist()) == set(model)
    count = int(state[arrays.STATE_TOUCHED_BIDS + side])
    assert touched[side, :count].tolist() == list(model)
    assert not occupied[1 - side].any()
    assert not occupied[3 - side].any()


def test_the_first_book_has_a_spread_of_one_tick() -> None:
    """The best levels of both sides face each other, and every occupied level has its bit and a size above 0."""
    market = Market(small_profile(), 1, KEY)
    sizes, bits, state = market._sizes, market._bits, market._state
    assert int(state[arrays.STATE_BEST_BID] + state[arrays.STATE_BEST_ASK]) == sizes.shape[1]
    for side in (0, 1):
        occupied = np.unpackbits(bits[side].view(np.uint8), bitorder="little").astype(np.bool_)
        assert (occupied == (sizes[side] > 0)).all()
        assert int(np.flatnonzero(occupied)[0]) == int(state[arrays.STATE_BEST_BID + side])


@pytest.mark.parametrize("side", [0, 1])
def test_a_trade_is_written_down(side: int) -> None:
    """A trade against asks is a buy; ids go up by one, and no trade arrives before an earlier one."""
    market = Market(small_profile(), 1, KEY)
    state, trades = market._state, np.zeros((arrays.TRADE_COLUMNS, 2), np.int64)
    first_id = int(state[arrays.STATE_TRADE_ID]) + 1
    with np.errstate(over="ignore"):
        for lots in (5, 7):
            market_loop.record_trade(state, market._tables, market._rng, side, 99, lots, trades)
    assert trades[arrays.TRADE_IS_BUY].tolist() == [side, side]
    assert trades[arrays.TRADE_TICK].tolist() == [99, 99]
    assert trades[arrays.TRADE_LOTS].tolist() == [5, 7]
    assert trades[arrays.TRADE_ID].tolist() == [first_id, first_id + 1]
    assert trades[arrays.TRADE_RECEIPT_NS, 0] < trades[arrays.TRADE_RECEIPT_NS, 1]
    assert state[arrays.STATE_TRADES] == 2


def test_a_move_ends_at_its_goal() -> None:
    """Steps of a move take the attacked side to its goal and let the other side follow to one tick from it."""
    market = Market(small_profile(), 1, KEY)
    state, ticks = market._state, market._sizes.shape[1]
    touched = np.zeros((2, ticks), np.int64)
    trades = np.zeros((arrays.TRADE_COLUMNS, 1_000), np.int64)
    tickers = np.zeros((arrays.TICKER_COLUMNS, 1_000), np.int64)
    with np.errstate(over="ignore"):
        market_loop.start_move(market._params, market._tables, state, market._rng, ticks)
        side, goal = int(state[arrays.STATE_MOVE_SIDE]), int(state[arrays.STATE_MOVE_TO])
        steps = 0
        while state[arrays.STATE_MOVE_SIDE] >= 0 and steps < 100:
            market_loop.move_step(
                *(market._params, market._tables, state, market._rng),
                *(market._sizes, market._bits, touched, tickers, trades),
            )
            steps += 1
    assert state[arrays.STATE_MOVE_SIDE] == -1
    assert state[arrays.STATE_BEST_BID + side] == goal
    assert int(state[arrays.STATE_BEST_BID] + state[arrays.STATE_BEST_ASK]) == ticks
    assert state[arrays.STATE_TICKERS] == steps + 1  # one before the market opened


@given(st.lists(st.integers(-(2**40), 2**40), max_size=300))
def test_sort_coordinates(values: list[int]) -> None:
    """The first values come out sorted, those behind them are left alone."""
    grid = np.full((2, len(values) + 3), -7, np.int64)
    grid[1, : len(values)] = values
    market_loop.sort_coordinates(grid, 1, len(values))
    assert grid[1].tolist() == [*sorted(values), -7, -7, -7]
    assert (grid[0] == -7).all()


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
            assert int(state[arrays.STATE_BEST_BID + side]) == int(np.flatnonzero(occupied)[0])
        assert int(state[arrays.STATE_BEST_BID] + state[arrays.STATE_BEST_ASK]) >= ticks
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
