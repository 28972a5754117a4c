"""Streams of references, and of the narrow columns of books, out of Parquet.

A stream is an iterator of rows in ascending order of sequence number, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.batches import SideLists
from order_book_platform.datasets.rows import (
    BestRows,
    BookHeads,
    ReferenceRows,
    TickerRows,
    TradeRows,
    in_order,
)
from order_book_platform.kernels.fidelity.list_spreading import spread_lists
from order_book_platform.model import DecimalEncoding
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.levels import DEPTH, MISSING_PIPS
from order_book_platform.storage import ParquetRows

SNAPSHOT_ROWS = 8_192
"""Snapshots of 20 levels a side at a time: 5 MB. Twice as many take 40 MB more in all and no less time."""
NARROW_ROWS = 262_144
"""Rows of a few columns read at a time."""
BEST_ROWS = 32_768
"""Best prices read at a time where two streams run past each other: each of six comparisons may hold some of both."""


def as_numpy(batch: pa.RecordBatch, name: str, null: int | None = None) -> Any:
    """A column, without a copy where arrow can; `null` in the place of nulls, if given."""
    column = batch.column(name)
    if column.null_count and null is not None:
        column = column.fill_null(null)
    return column.to_numpy(zero_copy_only=False)


def as_numbers(batch: pa.RecordBatch, name: str, codes: DecimalEncoding | None, null: int) -> Int64Array:
    """A column of pips, or the codes of a column of decimals; `null` where there is no level."""
    if codes is None:
        values: Int64Array = as_numpy(batch, name, null)
        return values
    column = batch.column(name)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    filled = column.fill_null(0) if missing.any() else column
    found = codes.size_codes(filled) if name.endswith("size") else codes.known_prices(filled, name)
    return np.where(missing, null, found)


def ending(codes: DecimalEncoding | None) -> str:
    """What names of prices and sizes end with."""
    return "_pips" if codes is None else ""


def read_heads(
    file: ParquetRows, batch_rows: int = NARROW_ROWS, codes: DecimalEncoding | None = None
) -> Iterator[BookHeads]:
    """Stream the narrow columns of a books file.

    Args:
        file: with schema `books(depth)`.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
    """
    prices = [f"{side}_0_price{ending(codes)}" for side in ("bid", "ask")]
    for batch in file.batches(batch_rows, columns=["origin_time", "sequence_number", "flags", *prices]):
        best = [as_numbers(batch, name, codes, MISSING_PIPS) for name in prices]
        yield BookHeads(
            as_numpy(batch, "sequence_number"),
            as_numpy(batch, "origin_time"),
            as_numpy(batch, "flags"),
            np.stack(best, 1),
        )


def read_best(
    file: ParquetRows, first: int | None, batch_rows: int = BEST_ROWS, codes: DecimalEncoding | None = None
) -> Iterator[BestRows]:
    """Stream the best bid and ask of a books file, `time_ns` by `origin_time`.

    Rows that go back in sequence are left out.

    Args:
        file: with schema `books(depth)`.
        first: sequence number of the first row; nothing comes where it is None.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
    """
    if first is None:
        return
    heads = ["origin_time", "received_time", "sequence_number", "known_bid_levels", "known_ask_levels"]
    levels = [f"{side}_0_{what}{ending(codes)}" for what in ("price", "size") for side in ("bid", "ask")]
    nulls = (MISSING_PIPS, MISSING_PIPS, 0, 0)
    latest = first
    for batch in file.batches(batch_rows, columns=[*heads, *levels]):
        values = [as_numbers(batch, name, codes, null) for name, null in zip(levels, nulls, strict=True)]
        rows = BestRows(
            as_numpy(batch, "sequence_number"),
            as_numpy(batch, "origin_time"),
            as_numpy(batch, "received_time"),
            np.stack([as_numpy(batch, "known_bid_levels"), as_numpy(batch, "known_ask_levels")], 1),
            np.stack(values[:2], 1),
            np.stack(values[2:], 1),
        )
        ahead = in_order(rows.sequence_number, latest)
        latest = max(latest, int(rows.sequence_number.max(initial=latest)))
        if ahead.any():
            yield rows if ahead.all() else rows.take(ahead)


def read_snapshots(
    file: ParquetRows,
    levels: int,
    batch_rows: int = SNAPSHOT_ROWS,
    codes: DecimalEncoding | None = None,
    admit: Callable[[Int64Array], BoolArray] | None = None,
) -> Iterator[ReferenceRows]:
    """Stream a snapshots file, filled up to K levels a side, or to the longest list of a batch.

    Args:
        file: with schema `SNAPSHOTS`.
        levels: K.
        batch_rows: rows at a time, if they have up to 20 levels, fewer if more; never changes a result.
        codes: what decimals are read as; a snapshot with a price that has none keeps no level.
        admit: told sequence numbers, int64[n], says of which the rows shall come; by default of all.
    """
    prices, sizes = ([name for name in file.schema.names if what in name] for what in ("price", "size"))
    for batch in file.batches(batch_rows, columns=["sequence_number", "origin_time", *prices, *sizes]):
        longest = max(_longest(batch.column(name)) for name in prices)
        step = max(1, batch_rows * DEPTH // max(longest, DEPTH))
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, step)
            numbers = as_numpy(piece, "sequence_number")
            rows = np.arange(len(numbers)) if admit is None else np.flatnonzero(admit(numbers))
            price, size = _spread(piece, rows, levels, codes)
            yield ReferenceRows(numbers[rows], as_numpy(piece, "origin_time")[rows], price, size)


def _spread(
    batch: pa.RecordBatch, rows: NDArray[np.intp], levels: int, codes: DecimalEncoding | None
) -> tuple[Int64Array, Int64Array]:
    """Prices and sizes of some rows, int64[n, 2, K], K at least `levels`."""
    sides = [SideLists.of(batch, side, codes) for side in ("bid", "ask")]
    depth = max(levels, *(side.longest for side in sides))
    price, size = np.empty((2, len(rows), 2, depth), dtype=np.int64)
    for index, side in enumerate(sides):
        ends = np.cumsum(side.lengths)
        spread_lists(side.prices, ends, rows, MISSING_PIPS, price[:, index])
        spread_lists(side.sizes, ends, rows, 0, size[:, index])
    unreadable = (sides[0].unreadable | sides[1].unreadable)[rows]
    price[unreadable], size[unreadable] = MISSING_PIPS, 0
    return price, size


def read_tickers(
    file: ParquetRows,
    batch_rows: int = NARROW_ROWS,
    codes: DecimalEncoding | None = None,
    clock: str | None = None,
) -> Iterator[TickerRows]:
    """Stream a tickers file as references of one level.

    Args:
        file: with schema `TICKERS`.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
        clock: column that `time_ns` is; rows that lack it are left out. By default `origin_time` if no row lacks it,
            else `received_time`: spot tickers carry no exchange time.
    """
    if clock is None:
        clock = "received_time" if count_nulls(file, "origin_time") else "origin_time"
    levels = [f"{side}_{what}{ending(codes)}" for what in ("price", "size") for side in ("bid", "ask")]
    wanted = dict.fromkeys([clock, "received_time", "sequence_number", *levels])
    for read in file.batches(batch_rows, columns=list(wanted)):
        lacking = read.column(clock).null_count
        batch = read.filter(read.column(clock).is_valid()) if lacking else read
        values = [as_numbers(batch, name, codes, MISSING_PIPS) for name in levels]
        yield TickerRows(
            as_numpy(batch, "sequence_number"),
            as_numpy(batch, clock),
            np.stack(values[:2], 1)[:, :, None],
            np.stack(values[2:], 1)[:, :, None],
            as_numpy(batch, "received_time"),
        )


def read_trades(
    file: ParquetRows, batch_rows: int = NARROW_ROWS, codes: DecimalEncoding | None = None
) -> Iterator[TradeRows]:
    """Stream times and prices of a trades file; `MISSING_PIPS` for a price that no code of the book's can hold.

    Args:
        file: with schema `TRADES`.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
    """
    price = f"price{ending(codes)}"
    for batch in file.batches(batch_rows, columns=["origin_time", price]):
        if codes is None:
            prices = as_numpy(batch, price)
        else:
            found, whole = codes.price_codes(batch.column(price))
            prices = np.where(whole, found, MISSING_PIPS)
        yield TradeRows(as_numpy(batch, "origin_time"), prices)


def longest_list(file: ParquetRows, batch_rows: int = SNAPSHOT_ROWS, enough: int | None = None) -> int:
    """The largest number of levels on a side of any row of a snapshots file; 0 where there are none.

    Args:
        file: with schema `SNAPSHOTS`.
        batch_rows: rows at a time; never changes a result.
        enough: read no further than to a list of so many.
    """
    longest = 0
    for side in ("bid", "ask"):
        name = next(name for name in file.schema.names if name.startswith(f"{side}_price"))
        for batch in file.batches(batch_rows, columns=[name]):
            longest = max(longest, _longest(batch.column(0)))
            if enough is not None and longest >= enough:
                return longest
    return longest


def _longest(lists: pa.ListArray) -> int:
    return int(np.diff(lists.offsets.to_numpy()).max(initial=0))


def count_nulls(file: ParquetRows, name: str) -> int:
    """How many rows of a file lack a value of a column."""
    return sum(batch.column(0).null_count for batch in file.batches(NARROW_ROWS, columns=[name]))
