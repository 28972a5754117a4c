"""A running market: streams of its own, chunks in exchange units, the full book at any message."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from order_book_platform.clock import day_start_ns
from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.model import PartitionKey
from order_book_platform.simulate import profile
from order_book_platform.simulate.lake_files import SCHEMAS
from order_book_platform.simulate.simulated_market import (
    IDS_PER_DAY,
    OPENING_MS,
    Market,
    chunk_tables,
    seeded_state,
)
from order_book_platform_tests.simulate.small import KEY, small_profile


def test_every_purpose_has_its_own_stream() -> None:
    """Purpose, seed, symbol, day and detail each change the random numbers; the same arguments give the same."""
    other_symbol = PartitionKey.parse("SIMULATED:ETH-USDT", "2024-08-08")
    next_day = PartitionKey(KEY.instrument, date(2024, 8, 9))
    streams = [
        seeded_state("market", 1, KEY, "a"),
        seeded_state("fault", 1, KEY, "a"),
        seeded_state("market", 2, KEY, "a"),
        seeded_state("market", 1, other_symbol, "a"),
        seeded_state("market", 1, next_day, "a"),
        seeded_state("market", 1, KEY, "b"),
    ]
    assert len({int(each[0]) for each in streams}) == len(streams)
    assert seeded_state("market", 1, KEY, "a") == streams[0]


def test_the_market_opens_at_its_start_price() -> None:
    """The first ticker stands before the first message: a spread of one tick at the profile's start."""
    market = Market(small_profile(), 1, KEY)
    ticker = market.opening_ticker()[:, 0]
    first = market.play(1).messages[:, 0]
    assert (
        ticker[market_arrays.TICKER_ASK_TICK]
        == small_profile().start_ticks
        == ticker[market_arrays.TICKER_BID_TICK] + 1
    )
    assert (
        ticker[market_arrays.TICKER_ID]
        == first[market_arrays.MESSAGE_PREV_ID]
        == day_start_ns(KEY.day) // (86_400 * 10**9) * IDS_PER_DAY
    )
    assert ticker[market_arrays.TICKER_TIME_MS] * 1_000_000 == day_start_ns(KEY.day) + OPENING_MS * 1_000_000
    assert first[market_arrays.MESSAGE_TIME_MS] > ticker[market_arrays.TICKER_TIME_MS]


def test_the_full_book_holds_what_the_book_row_shows() -> None:
    """Bids come first and descend, asks ascend, and their first twenty levels are the last book row."""
    market = Market(profile("coinm"), 2, KEY)
    chunk = market.play(200)
    row = market.play(1).books
    while not len(row):
        row = market.play(1).books
    is_bid, tick, lots = market.full_book()
    bids, asks = int(is_bid.sum()), int((~is_bid).sum())
    assert is_bid[:bids].all()
    assert (np.diff(tick[:bids]) < 0).all()
    assert (np.diff(tick[bids:]) > 0).all()
    assert (lots > 0).all()
    levels = np.stack([tick, lots], axis=1)
    shown = row[0, 1:].reshape(2, market_arrays.BOOK_LEVELS, 2)
    assert (shown[0] == levels[:20]).all()
    assert (shown[1] == levels[bids : bids + 20]).all()
    assert min(bids, asks) > 2_000
    assert chunk.messages.shape[1] == 200


def test_the_price_stays_on_the_ladder() -> None:
    """Over a long time the price roams, but never so far that the farthest change would leave the ladder."""
    market = Market(small_profile(), 5, KEY)
    seen = []
    for _ in range(40):
        chunk = market.play(2_000)
        seen.append(chunk.tickers[market_arrays.TICKER_ASK_TICK].copy())
    away = np.concatenate(seen) - small_profile().start_ticks
    assert np.abs(away).max() < 300
    assert away.std() > 10


def test_tables_outlive_their_chunk() -> None:
    """Playing on overwrites a chunk's buffers, not the tables made of it."""
    market = Market(small_profile(), 1, KEY)
    tables = chunk_tables(market.play(50), small_profile())
    copies = {
        name: pa.Table.from_pydict(table.to_pydict(), schema=SCHEMAS[name]) for name, table in tables.items()
    }
    market.play(50)
    assert all(tables[name].equals(copies[name]) for name in tables)


def test_columns_are_the_chunk_s_numbers() -> None:
    """Prices are ticks over 10², sizes lots over 10³, times ns; a buyer takes asks."""
    market = Market(small_profile(), 1, KEY)
    chunk = market.play(80)
    tables = chunk_tables(chunk, small_profile())
    deltas, trades = tables["book_delta_v2"], tables["trades"]
    assert deltas.column("price").to_pylist() == [
        tick / 100 for tick in chunk.rows[market_arrays.ROW_TICK].tolist()
    ]
    assert deltas.column("size").to_pylist() == [
        lots / 1000 for lots in chunk.rows[market_arrays.ROW_LOTS].tolist()
    ]
    assert (
        deltas.column("timestamp")[0].as_py()
        == int(chunk.messages[market_arrays.MESSAGE_TIME_MS, 0]) * 1_000_000
    )
    assert deltas.num_rows == chunk.messages[market_arrays.MESSAGE_ROW_STOP, -1]
    assert trades.num_rows > 10
    assert trades.column("side").to_pylist() == [
        "buy" if side else "sell" for side in chunk.trades[market_arrays.TRADE_IS_BUY].tolist()
    ]
