"""Rows of books and references as arrays, and the streams of them out of Parquet.

A stream is an iterator of such rows in ascending order of sequence number, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.kernels.gather import gather_levels
from order_book_platform.model import Codes, SnapshotBatch
from order_book_platform.model.batches import BoolArray, Int64Array, deepened
from order_book_platform.model.schemas import DEPTH, MISSING_PIPS, level_columns
from order_book_platform.storage import ParquetRows

BATCH_ROWS = 8_192
"""Rows of 20 levels a side read at a time: 5 MB. Twice as many take 240 MB more in all and no less time."""
NARROW_ROWS = 262_144
"""Rows of a few columns read at a time."""
BEST_ROWS = 32_768
"""Best prices read at a time where two streams run past each other: each of six comparisons may hold some of both."""

Rows = NDArray[np.intp] | BoolArray | slice


@dataclass(frozen=True, slots=True)
class Columns:
    """Base of the row classes: every field is an array whose first axis is the row."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, rows: Rows) -> Self:
        """The chosen rows; levels chosen one by one lie row after row."""
        return type(self)(**{field.name: _taken(getattr(self, field.name), rows) for field in fields(self)})

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        """All rows of `parts`, in order."""
        filled = [part for part in parts if len(part)] or list(parts[:1])
        if len(filled) == 1:
            return filled[0]
        merged: dict[str, Any] = {
            field.name: np.concatenate([getattr(part, field.name) for part in filled])
            for field in fields(cls)
        }
        return cls(**merged)


@dataclass(frozen=True, slots=True)
class ArrayRows(Columns):
    """Rows that are numbered and timed.

    Attributes:
        sequence_number: int64[n], never falling.
        time_ns: int64[n], ns since the epoch; never falling.
    """

    sequence_number: Int64Array
    time_ns: Int64Array


def _taken(array: NDArray[Any], rows: Rows) -> NDArray[Any]:
    """Rows of an array; of levels that lie column after column int64[m, 2, K] that lies row after row."""
    if isinstance(rows, slice) or array.ndim < 3 or array.flags.c_contiguous:
        return array[rows]
    at = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    out = np.empty((len(at), *array.shape[1:]), dtype=np.int64)
    gather_levels(array, at, out)
    return out


@dataclass(frozen=True, slots=True)
class BookRows(ArrayRows):
    """Rows of `reconstructed_books`, cut to K levels.

    Attributes:
        flags: uint8[n], `BookFlag`.
        known: uint8[n, 2], known bid and ask levels.
        price_pips: int64[n, 2, K], [:, 0] bids; `MISSING_PIPS` where there is no level.
        size_pips: int64[n, 2, K]; 0 where there is no level.
    """

    flags: NDArray[np.uint8]
    known: NDArray[np.uint8]
    price_pips: Int64Array
    size_pips: Int64Array


@dataclass(frozen=True, slots=True)
class ReferenceRows(ArrayRows):
    """Rows that a book is measured against: snapshots, or tickers as snapshots of one level.

    Attributes:
        price_pips: int64[n, 2, K], [:, 0] bids; `MISSING_PIPS` where there is no level.
        size_pips: int64[n, 2, K]; 0 where there is no level.
    """

    price_pips: Int64Array
    size_pips: Int64Array

    def cut(self, levels: int) -> ReferenceRows:
        """The same rows with the first `levels` levels a side."""
        return ReferenceRows(
            self.sequence_number, self.time_ns, self.price_pips[:, :, :levels], self.size_pips[:, :, :levels]
        )


@dataclass(frozen=True, slots=True)
class TickerRows(ReferenceRows):
    """Tickers, K = 1.

    Attributes:
        arrival_ns: int64[n], ns since the epoch, by the recorder's clock.
    """

    arrival_ns: Int64Array

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        nothing, levels = np.empty(0, np.int64), np.empty((0, 2, 1), np.int64)
        return cls(nothing, nothing, levels, levels, nothing)


@dataclass(frozen=True, slots=True)
class TradeRows(Columns):
    """Trades.

    Attributes:
        time_ns: int64[n], ns since the epoch; never falling.
        price_pips: int64[n].
    """

    time_ns: Int64Array
    price_pips: Int64Array

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class BestRows(ArrayRows):
    """Rows of `reconstructed_books`, cut to the best bid and ask.

    Attributes:
        arrival_ns: int64[n], ns since the epoch, by the recorder's clock.
        known: uint8[n, 2], known bid and ask levels.
        price_pips: int64[n, 2]; `MISSING_PIPS` where there is no level.
        size_pips: int64[n, 2]; 0 where there is no level.
    """

    arrival_ns: Int64Array
    known: NDArray[np.uint8]
    price_pips: Int64Array
    size_pips: Int64Array

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        nothing, sides = np.empty(0, np.int64), np.empty((0, 2), np.int64)
        return cls(nothing, nothing, nothing, np.empty((0, 2), np.uint8), sides, sides)


@dataclass(frozen=True, slots=True)
class BookHeads(ArrayRows):
    """The narrow columns of `reconstructed_books`.

    Attributes:
        flags: uint8[n], `BookFlag`.
        best_pips: int64[n, 2], best bid and ask price; `MISSING_PIPS` where a side is empty.
    """

    flags: NDArray[np.uint8]
    best_pips: Int64Array


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
) -> Iterator[BookRows]:
    """Stream a books file, cut to its first `levels` levels a side.

    Rows that go back in sequence are left out.

    Args:
        file: with schema `books(depth)`.
        levels: K, at most the file's depth.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
        picked: shown all rows, also those that are left out.
    """
    columns = [name.removesuffix("_pips") + _ending(codes) for name in level_columns(levels)]
    head = ["origin_time", "sequence_number", "flags", "known_bid_levels", "known_ask_levels"]
    wanted = dict.fromkeys([*head, *columns, *(picked.columns if picked else ())])
    latest = np.iinfo(np.int64).min
    for batch in file.batches(batch_rows, columns=list(wanted)):
        if picked is not None:
            picked.look(batch)
        # Column after column, as they come; whoever takes rows turns only those.
        cube = np.empty((2, levels, 2, batch.num_rows), dtype=np.int64)
        for name, column in zip(columns, cube.reshape(4 * levels, -1), strict=True):
            column[:] = _numbers(
                batch, name, codes, 0 if name.endswith("size" + _ending(codes)) else MISSING_PIPS
            )
        known = np.stack([_numpy(batch, "known_bid_levels"), _numpy(batch, "known_ask_levels")], 1)
        rows = BookRows(
            _numpy(batch, "sequence_number"),
            _numpy(batch, "origin_time"),
            _numpy(batch, "flags"),
            known,
            cube[:, :, 0].transpose(2, 0, 1),
            cube[:, :, 1].transpose(2, 0, 1),
        )
        ahead = in_order(rows.sequence_number, latest)
        latest = max(latest, int(rows.sequence_number.max(initial=latest)))
        yield rows if ahead.all() else rows.take(ahead)


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


def in_order(sequence_number: Int64Array, latest: int) -> BoolArray:
    """Which rows do not go back behind an earlier one.

    Args:
        sequence_number: int64[n].
        latest: the highest number of the rows before these.

    Returns:
        bool[n].
    """
    return sequence_number >= np.maximum(np.maximum.accumulate(sequence_number), latest)


def count_nulls(file: ParquetRows, name: str) -> int:
    """How many rows of a file lack a value of a column."""
    return sum(batch.column(0).null_count for batch in file.batches(NARROW_ROWS, columns=[name]))
