"""Single events of the simulated market: what they write, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.kernels.simulation import market_arrays as arrays
from order_book_platform.kernels.simulation import market_events
from order_book_platform.simulate.market import Market
from order_book_platform_tests.simulate.small import KEY, small_profile


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
            market_events.record_trade(state, market._tables, market._rng, side, 99, lots, trades)
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
        market_events.start_move(market._params, market._tables, state, market._rng, ticks)
        side, goal = int(state[arrays.STATE_MOVE_SIDE]), int(state[arrays.STATE_MOVE_TO])
        steps = 0
        while state[arrays.STATE_MOVE_SIDE] >= 0 and steps < 100:
            market_events.move_step(
                *(market._params, market._tables, state, market._rng),
                *(market._sizes, market._bits, touched, tickers, trades),
            )
            steps += 1
    assert state[arrays.STATE_MOVE_SIDE] == -1
    assert state[arrays.STATE_BEST_BID + side] == goal
    assert int(state[arrays.STATE_BEST_BID] + state[arrays.STATE_BEST_ASK]) == ticks
    assert state[arrays.STATE_TICKERS] == steps + 1  # one before the market opened
