"""From integers to columns: the tables own their data, and the sides of trades are words."""

from __future__ import annotations

import pyarrow as pa

from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.simulate.lake_files import SCHEMAS
from order_book_platform.simulate.market import Market
from order_book_platform.simulate.market_tables import chunk_tables
from order_book_platform_tests.simulate.small import KEY, small_profile


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
