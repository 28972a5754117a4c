"""Streams of rows of books and references out of Parquet.

A stream is an iterator of rows in ascending order of sequence number, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.fidelity.rows import (
    BestRows,
    BookHeads,
    BookRows,
    ReferenceRows,
    TickerRows,
    TradeRows,
    in_order,
)
from order_book_platform.model import Codes, SnapshotBatch
from order_book_platform.model.batches import Int64Array, deepened
from order_book_platform.model.schemas import DEPTH, MISSING_PIPS, level_columns
from order_book_platform.storage import ParquetRows

BATCH_ROWS = 16_384
"""Rows of 20 levels a side at a time: 10 MB. Half as many take a tenth more time: each batch is some 400 calls."""
GROUP_ROWS = 1 << 20
"""Books are decoded a row group at a time, which is bounded by its bytes: in pieces it takes a fifth more."""
NARROW_ROWS = 262_144
"""Rows of a few columns read at a time."""
BEST_ROWS = 32_768
"""Best prices read at a time where two streams run past each other: each of six comparisons may hold some of both."""


def _numpy(batch: pa.RecordBatch, name: str, null: int | None = None) -> Any:
    column = batch.column(name)
    if column.null_count and null is not None:
        column = column.fill_null(null)
    return column.to_numpy(zero_copy_only=False)


def _numbers(batch: pa.RecordBatch, name: str, codes: Codes | None, null: int) -> Int64Array:
    """A column of pips, or the codes of a column of decimals; `null` where there is no level."""
    if codes is None:
        values: Int64Array = _numpy(batch, name, null)
        return values
    column = batch.column(name)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    filled = column.fill_null(0) if missing.any() else column
    found = codes.size_codes(filled) if name.endswith("size") else codes.known_prices(filled, name)
    return np.where(missing, null, found)


def _ending(codes: Codes | None) -> str:
    """What names of prices and sizes end with."""
    return "_pips" if codes is None else ""


def read_heads(
    file: ParquetRows, batch_rows: int = NARROW_ROWS, codes: Codes | None = None
) -> Iterator[BookHeads]:
    """Stream the narrow columns of a books file.

    Args:
        file: with schema `books(depth)`.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
    """
    prices = [f"{side}_0_price{_ending(codes)}" for side in ("bid", "ask")]
    for batch in file.batches(batch_rows, columns=["origin_time", "sequence_number", "flags", *prices]):
        best = [_numbers(batch, name, codes, MISSING_PIPS) for name in prices]
        yield BookHeads(
            _numpy(batch, "sequence_number"),
            _numpy(batch, "origin_time"),
            _numpy(batch, "flags"),
            np.stack(best, 1),
        )


def read_best(
    file: ParquetRows, first: int | None, batch_rows: int = BEST_ROWS, codes: Codes | None = None
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
    levels = [f"{side}_0_{what}{_ending(codes)}" for what in ("price", "size") for side in ("bid", "ask")]
    nulls = (MISSING_PIPS, MISSING_PIPS, 0, 0)
    latest = first
    for batch in file.batches(batch_rows, columns=[*heads, *levels]):
        values = [_numbers(batch, name, codes, null) for name, null in zip(levels, nulls, strict=True)]
        rows = BestRows(
            _numpy(batch, "sequence_number"),
            _numpy(batch, "origin_time"),
            _numpy(batch, "received_time"),
            np.stack([_numpy(batch, "known_bid_levels"), _numpy(batch, "known_ask_levels")], 1),
            np.stack(values[:2], 1),
            np.stack(values[2:], 1),
        )
        ahead = in_order(rows.sequence_number, latest)
        latest = max(latest, int(rows.sequence_number.max(initial=latest)))
        if ahead.any():
            yield rows if ahead.all() else rows.take(ahead)


class PickedRows:
    """Takes rows of a file out of its stream, as they were read.

    Args:
        rows: int64[m], their numbers in the file, ascending, each once.
        columns: by name, those that they are wanted with.
    """

    def __init__(self, rows: Int64Array, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._rows = rows
        self._parts: list[pa.RecordBatch] = []
        self._passed = 0

    def look(self, batch: pa.RecordBatch) -> None:
        """Take what is wanted of the next rows."""
        first, last = np.searchsorted(self._rows, (self._passed, self._passed + batch.num_rows))
        if first < last:
            self._parts.append(
                batch.select(self.columns).take(pa.array(self._rows[first:last] - self._passed))
            )
        self._passed += batch.num_rows

    def table(self, schema: pa.Schema) -> pa.Table:
        """The rows that came.

        Args:
            schema: of the file.
        """
        if not self._parts:
            return pa.schema([schema.field(name) for name in self.columns]).empty_table()
        return pa.Table.from_batches(self._parts).combine_chunks()


def read_books(
    file: ParquetRows,
    levels: int,
    batch_rows: int = BATCH_ROWS,
    codes: Codes | None = None,
    picked: PickedRows | None = None,
    at: Int64Array | None = None,
) -> Iterator[BookRows]:
    """Stream a books file, cut to its first `levels` levels a side.

    Rows that go back in sequence are left out.

    Args:
        file: with schema `books(depth)`.
        levels: K, at most the file's depth.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
        picked: shown all rows, also those that are left out.
        at: int64[m], ascending sequence numbers. Of all rows come those that are the last up to one of them, and maybe
            others; by default all.
    """
    columns = [name.removesuffix("_pips") + _ending(codes) for name in level_columns(levels)]
    head = ["origin_time", "sequence_number", "flags", "known_bid_levels", "known_ask_levels"]
    wanted = dict.fromkeys([*head, *columns, *(picked.columns if picked else ())])
    latest = np.iinfo(np.int64).min
    for batch in _cut(file.batches(GROUP_ROWS, columns=list(wanted)), batch_rows, picked):
        numbers = _numpy(batch, "sequence_number")
        ahead = in_order(numbers, latest)
        latest = max(latest, int(numbers.max(initial=latest)))
        rows = slice(None) if ahead.all() else np.flatnonzero(ahead)
        if at is not None:
            lasts = _lasts(numbers[rows], at)
            rows = lasts if isinstance(rows, slice) else rows[lasts]
        known = np.stack([_numpy(batch, "known_bid_levels"), _numpy(batch, "known_ask_levels")], 1)
        number = numbers[rows]
        price, size = np.empty((2, len(number), 2, levels), dtype=np.int64)
        for place, name in enumerate(columns):
            side, level = divmod(place // 2, levels)
            into, null = (size, 0) if place % 2 else (price, MISSING_PIPS)
            into[:, side, level] = _numbers(batch, name, codes, null)[rows]
        yield BookRows(
            number, _numpy(batch, "origin_time")[rows], _numpy(batch, "flags")[rows], known[rows], price, size
        )


def _lasts(numbers: Int64Array, at: Int64Array) -> NDArray[np.intp]:
    """Which rows are the last up to one of the ascending numbers `at`, as far as these rows can tell: the last may be.

    Args:
        numbers: int64[n], never falling.
        at: int64[m].
    """
    if not len(numbers):
        return np.zeros(0, dtype=np.intp)
    between = at[slice(*np.searchsorted(at, (numbers[0], numbers[-1])))]
    last = np.zeros(len(numbers), dtype=np.bool_)
    last[np.searchsorted(numbers, between, side="right") - 1] = True
    last[-1] = True
    return np.flatnonzero(last)


def _cut(
    groups: Iterator[pa.RecordBatch], batch_rows: int, picked: PickedRows | None
) -> Iterator[pa.RecordBatch]:
    """Row groups in smaller pieces, after they have been shown as a whole."""
    for group in groups:
        if picked is not None:
            picked.look(group)
        for first in range(0, group.num_rows, batch_rows):
            yield group.slice(first, batch_rows)


def read_snapshots(
    file: ParquetRows, levels: int, batch_rows: int = BATCH_ROWS, codes: Codes | None = None
) -> Iterator[ReferenceRows]:
    """Stream a snapshots file, filled up to K levels a side, or to the longest list of a batch.

    Args:
        file: with schema `SNAPSHOTS`.
        levels: K.
        batch_rows: rows at a time, if they have up to 20 levels, fewer if more; never changes a result.
        codes: what decimals are read as.
    """
    for batch in file.batches(batch_rows):
        prices = [name for name in batch.schema.names if "price" in name]
        longest = max(_longest(batch.column(name)) for name in prices)
        step = max(1, batch_rows * DEPTH // max(longest, DEPTH))
        for start in range(0, batch.num_rows, step):
            table = pa.Table.from_batches([batch.slice(start, step)])
            snapshots = SnapshotBatch.from_arrow(table, codes)
            depth = max(levels, snapshots.depth)
            yield ReferenceRows(
                snapshots.sequence_number,
                snapshots.origin_time,
                deepened(snapshots.price_pips, depth, MISSING_PIPS),
                deepened(snapshots.size_pips, depth, 0),
            )


def read_tickers(
    file: ParquetRows, batch_rows: int = NARROW_ROWS, codes: Codes | None = None, clock: str | None = None
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
    levels = [f"{side}_{what}{_ending(codes)}" for what in ("price", "size") for side in ("bid", "ask")]
    wanted = dict.fromkeys([clock, "received_time", "sequence_number", *levels])
    for read in file.batches(batch_rows, columns=list(wanted)):
        lacking = read.column(clock).null_count
        batch = read.filter(read.column(clock).is_valid()) if lacking else read
        values = [_numbers(batch, name, codes, MISSING_PIPS) for name in levels]
        yield TickerRows(
            _numpy(batch, "sequence_number"),
            _numpy(batch, clock),
            np.stack(values[:2], 1)[:, :, None],
            np.stack(values[2:], 1)[:, :, None],
            _numpy(batch, "received_time"),
        )


def read_trades(
    file: ParquetRows, batch_rows: int = NARROW_ROWS, codes: Codes | None = None
) -> Iterator[TradeRows]:
    """Stream times and prices of a trades file; `MISSING_PIPS` for a price that no code of the book's can hold.

    Args:
        file: with schema `TRADES`.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
    """
    price = f"price{_ending(codes)}"
    for batch in file.batches(batch_rows, columns=["origin_time", price]):
        if codes is None:
            prices = _numpy(batch, price)
        else:
            found, whole = codes.price_codes(batch.column(price))
            prices = np.where(whole, found, MISSING_PIPS)
        yield TradeRows(_numpy(batch, "origin_time"), prices)


def longest_list(file: ParquetRows, batch_rows: int = BATCH_ROWS, enough: int | None = None) -> int:
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
