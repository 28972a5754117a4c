"""`tickers`: the exchange's own best bid and ask stream of a symbol and day, the strongest reference for a book."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.columns import NARROW_ROWS, ReferenceRows, as_numpy, count_nulls, required
from order_book_platform.model.arrays import MISSING_PIPS, Int64Array
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.storage import ParquetRows

TICKERS_SCHEMA = pa.schema(
    [
        pa.field("origin_time", pa.int64()),
        pa.field("transaction_time", pa.int64()),
        required("received_time", pa.int64()),
        required("sequence_number", pa.int64()),
        required("bid_price_pips", pa.int64()),
        required("bid_size_pips", pa.int64()),
        required("ask_price_pips", pa.int64()),
        required("ask_size_pips", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class TickerRows(ReferenceRows):
    """Tickers as references of one level.

    Attributes:
        arrival_ns: int64[n], ns since the epoch, by the recorder's clock.
    """

    arrival_ns: Int64Array

    @classmethod
    def none(cls) -> Self:
        """Return no rows."""
        nothing, levels = np.empty(0, np.int64), np.empty((0, 2, 1), np.int64)
        return cls(nothing, nothing, levels, levels, nothing)


def read_tickers(
    file: ParquetRows, encoding: PartitionEncoding, batch_rows: int = NARROW_ROWS, clock: str | None = None
) -> Iterator[TickerRows]:
    """Read tickers as references of one level.

    Args:
        file: Rows of `tickers`.
        encoding: Encoding of the book they are compared with.
        batch_rows: Rows at a time; never changes a result.
        clock: Column that `time_ns` is; rows that lack it are left out. By default `origin_time` if no row lacks it,
            else `received_time`: spot tickers carry no exchange time.

    Raises:
        BatchError: A price cannot be encoded.
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
