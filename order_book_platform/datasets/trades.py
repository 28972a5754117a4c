"""`trades`: every trade of a symbol and day with the side of its aggressor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.columns import NARROW_ROWS, Columns, as_numpy, required
from order_book_platform.model.arrays import MISSING_PIPS, Int64Array
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.storage import ParquetRows

TRADES_SCHEMA = pa.schema(
    [
        required("origin_time", pa.int64()),
        required("received_time", pa.int64()),
        required("trade_id", pa.int64()),
        required("is_buy", pa.bool_()),
        required("price_pips", pa.int64()),
        required("size_pips", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class TradeRows(Columns):
    """Times and prices of trades.

    Attributes:
        time_ns: int64[n], ns since the epoch, by the exchange's clock; never falling.
        encoded_price: int64[n]; `MISSING_PIPS` for a price that the encoding cannot hold.
    """

    time_ns: Int64Array
    encoded_price: Int64Array

    @classmethod
    def none(cls) -> Self:
        """Return no rows."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


def read_trades(
    file: ParquetRows, encoding: PartitionEncoding, batch_rows: int = NARROW_ROWS
) -> Iterator[TradeRows]:
    """Read times and prices of trades.

    Args:
        file: Rows of `trades`.
        encoding: Encoding of the book they are compared with.
        batch_rows: Rows at a time; never changes a result.
    """
    price = f"price{encoding.ending}"
    for batch in file.batches(batch_rows, columns=["origin_time", price]):
        prices, exact = encoding.encode_prices(batch.column(price))
        if not exact.all():
            prices = np.where(exact, prices, MISSING_PIPS)
        yield TradeRows(as_numpy(batch, "origin_time"), prices)
