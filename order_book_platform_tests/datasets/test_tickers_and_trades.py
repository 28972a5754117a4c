"""`tickers`: one clock for all rows, and rows without it left out."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.datasets.columns import count_nulls
from order_book_platform.datasets.tickers_and_trades import (
    TICKERS_SCHEMA,
    TRADES_SCHEMA,
    TickerRows,
    TradeRows,
    read_tickers,
    read_trades,
)
from order_book_platform.model import DecimalEncoding, FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.pip_encoding import VERBATIM, in_precision
from order_book_platform_tests.datasets.files import write


@pytest.mark.parametrize("lacking", [False, True])
def test_tickers_without_exchange_time_are_timed_by_arrival(tmp_path: Path, lacking: bool) -> None:
    """One missing origin_time sends all rows to received_time: two clocks must not be mixed."""
    columns = {
        "origin_time": [10, None if lacking else 20],
        "transaction_time": [None, None],
        "received_time": [15, 25],
        "sequence_number": [1, 2],
        "bid_price_pips": [50, 51],
        "bid_size_pips": [1, 2],
        "ask_price_pips": [60, 61],
        "ask_size_pips": [3, 4],
    }
    file = write(tmp_path, pa.table(columns, schema=TICKERS_SCHEMA), 1)
    parts = list(read_tickers(file, VERBATIM))
    whole = type(parts[0]).concat(parts)
    assert whole.time_ns.tolist() == ([15, 25] if lacking else [10, 20])
    assert whole.encoded_price.tolist() == [[[50], [60]], [[51], [61]]]
    assert whole.encoded_size.tolist() == [[[1], [3]], [[2], [4]]]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_tickers_without_the_wanted_clock_are_left_out(tmp_path: Path, batch_rows: int) -> None:
    """A clock that is asked for is never filled in, also where a whole batch lacks it."""
    columns = {
        "origin_time": [10, 20, 30],
        "transaction_time": [9, None, 29],
        "received_time": [15, 25, 35],
        "sequence_number": [1, 2, 3],
        **{name: [5, 6, 7] for name in TICKERS_SCHEMA.names if name.endswith("_pips")},
    }
    table = pa.table({name: columns[name] for name in TICKERS_SCHEMA.names}, schema=TICKERS_SCHEMA)
    file = write(tmp_path, table)
    whole = TickerRows.concat(list(read_tickers(file, VERBATIM, batch_rows, clock="transaction_time")))
    assert (whole.sequence_number.tolist(), whole.time_ns.tolist()) == ([1, 3], [9, 29])
    assert whole.time_ns.dtype == np.int64
    assert count_nulls(file, "transaction_time") == 1


def test_joined_rows_are_in_the_order_of_their_parts() -> None:
    """Empty parts change nothing; nothing but empty ones is an empty one."""
    trades = TradeRows(np.arange(4), np.arange(4) + 10)
    parts = [TradeRows.none(), trades.take(slice(0, 3)), TradeRows.none(), trades.take(slice(3, None))]
    whole = TradeRows.concat(parts)
    assert whole.time_ns.tolist() == trades.time_ns.tolist()
    assert whole.encoded_price.tolist() == trades.encoded_price.tolist()
    assert len(TradeRows.concat([TradeRows.none(), TradeRows.none()])) == 0


def trades(prices: list[object], decimal: bool) -> pa.Table:
    """One trade a price, one every 10 ns."""
    n = len(prices)
    columns = [
        range(0, 10 * n, 10),
        range(n),
        range(n),
        [True] * n,
        prices,
        [Decimal(1) if decimal else 1] * n,
    ]
    schema = in_precision(TRADES_SCHEMA, "decimal128") if decimal else TRADES_SCHEMA
    return pa.table(
        [pa.array(list(each), kind) for each, kind in zip(columns, schema.types, strict=True)], schema
    )


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_times_and_prices_are_read(tmp_path: Path, batch_rows: int) -> None:
    """The exchange's time and the price of every trade, in their order."""
    file = write(tmp_path, trades([70, 60, 80], decimal=False), 2)
    whole = TradeRows.concat(list(read_trades(file, VERBATIM, batch_rows)))
    assert (whole.time_ns.tolist(), whole.encoded_price.tolist()) == ([0, 10, 20], [70, 60, 80])


def test_a_price_that_the_encoding_cannot_hold_is_missing(tmp_path: Path) -> None:
    """A trade between two units of the book's prices is kept with its time and without a price."""
    file = write(tmp_path, trades([Decimal("1.5"), Decimal("1.6")], decimal=True))
    (rows,) = read_trades(file, DecimalEncoding(5 * 10**17, FixedPoint(18, 18, 5 * 10**17)))
    assert rows.encoded_price.tolist() == [3, MISSING_PIPS]
    assert rows.time_ns.tolist() == [0, 10]
