"""A market played message by message: it stays a market, and one seed always gives the same one."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.simulation import market_arrays, market_loop
from order_book_platform.simulate.market import Market
from order_book_platform_tests.simulate.small import KEY, small_profile


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
            assert int(state[market_arrays.STATE_BEST_BID + side]) == int(np.flatnonzero(occupied)[0])
        assert int(state[market_arrays.STATE_BEST_BID] + state[market_arrays.STATE_BEST_ASK]) >= ticks
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
