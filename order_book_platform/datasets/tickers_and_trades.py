"""Tickers and trades of a symbol and day: the exchange's own best bid and ask, and every trade with its aggressor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.columns import (
    NARROW_ROWS,
    Columns,
    ReferenceRows,
    as_numpy,
    count_nulls,
    required,
)
from order_book_platform.model.arrays import MISSING_PIPS, Int64Array
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.storage import ParquetRows

TICKERS_SCHEMA = pa.schema(
    [
        pa.field("origin_time", pa.int64()),
        pa.field("transaction_time", pa.int64()),
        *required(pa.int64(), "received_time", "sequence_number"),
        *required(pa.int64(), "bid_price_pips", "bid_size_pips", "ask_price_pips", "ask_size_pips"),
    ]
)


@dataclass(frozen=True, slots=True)
class TickerRows(ReferenceRows):
    """Tickers as references of one level; `arrival_ns`, int64[n], is by the recorder's clock."""

    arrival_ns: Int64Array

    @classmethod
    def none(cls) -> Self:
        """Return no rows."""
        nothing, levels = np.empty(0, np.int64), np.empty((0, 2, 1), np.int64)
        return cls(nothing, nothing, levels, levels, nothing)


def read_tickers(
    file: ParquetRows, encoding: PartitionEncoding, batch_rows: int = NARROW_ROWS, clock: str | None = None
) -> Iterator[TickerRows]:
    """Read tickers as references of one level, in the encoding of the book they are compared with.

    `time_ns` is the column `clock`; rows that lack it are left out. By default it is `origin_time` if no row lacks it,
    else `received_time`: spot tickers carry no exchange time. A price that cannot be encoded is a `BatchError`.
    """
    if clock is None:
        clock = "received_time" if count_nulls(file, "origin_time") else "origin_time"
    levels = [f"{side}_{what}" for what in ("price", "size") for side in ("bid", "ask")]
    wanted = dict.fromkeys(
        [clock, "received_time", "sequence_number", *(name + encoding.ending for name in levels)]
    )
    for read in file.batches(batch_rows, columns=list(wanted)):
        lacking = read.column(clock).null_count
        batch = read.filter(read.column(clock).is_valid()) if lacking else read
        prices = [encoding.read_prices(batch, name) for name in levels[:2]]
        sizes = [encoding.read_sizes(batch, name, MISSING_PIPS) for name in levels[2:]]
        yield TickerRows(
            as_numpy(batch, "sequence_number"),
            as_numpy(batch, clock),
            np.stack(prices, 1)[:, :, None],
            np.stack(sizes, 1)[:, :, None],
            as_numpy(batch, "received_time"),
        )


TRADES_SCHEMA = pa.schema(
    [
        *required(pa.int64(), "origin_time", "received_time", "trade_id"),
        *required(pa.bool_(), "is_buy"),
        *required(pa.int64(), "price_pips", "size_pips"),
    ]
)


@dataclass(frozen=True, slots=True)
class TradeRows(Columns):
    """Times, ns by the exchange's clock and never falling, and prices, `MISSING_PIPS` if it cannot be encoded."""

    time_ns: Int64Array
    encoded_price: Int64Array

    @classmethod
    def none(cls) -> Self:
        """Return no rows."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


def read_trades(
    file: ParquetRows, encoding: PartitionEncoding, batch_rows: int = NARROW_ROWS
) -> Iterator[TradeRows]:
    """Read times and prices of trades, in the encoding of the book they are compared with."""
    price = f"price{encoding.ending}"
    for batch in file.batches(batch_rows, columns=["origin_time", price]):
        prices, exact = encoding.encode_prices(batch.column(price))
        if not exact.all():
            prices = np.where(exact, prices, MISSING_PIPS)
        yield TradeRows(as_numpy(batch, "origin_time"), prices)
