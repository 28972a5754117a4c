"""`trades`: times and prices wherever batches are cut, and prices that the encoding cannot hold."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.datasets.trades import TRADES_SCHEMA, TradeRows, read_trades
from order_book_platform.model import DecimalEncoding, FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.encoding import VERBATIM, in_precision
from order_book_platform_tests.datasets.files import write


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
