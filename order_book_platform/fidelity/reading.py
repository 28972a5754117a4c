"""Streams of rows of books and references out of Parquet.

A stream is an iterator of rows in ascending order of sequence number, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from order_book_platform.kernels.lists import spread_lists
from order_book_platform.model import Codes
from order_book_platform.model.batches import BoolArray, Int64Array, SideLists
from order_book_platform.model.schemas import DEPTH, MISSING_PIPS, level_columns
from order_book_platform.storage import ParquetRows

BATCH_ROWS = 16_384
"""Rows of books of 20 levels a side at a time: 10 MB. Half as many take a tenth more time: each is some 400 calls."""
SNAPSHOT_ROWS = 8_192
"""Snapshots of 20 levels a side at a time: 5 MB. Twice as many take 40 MB more in all and no less time."""
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
) -> Iterator[BookRows]:
    """Stream a books file, cut to its first `levels` levels a side.

    Rows that go back in sequence are left out.

    Args:
        file: with schema `books(depth)`.
        levels: K, at most the file's depth.
        batch_rows: rows at a time; never changes a result.
        codes: what decimals are read as.
    """
    for part in _parts(file, levels, batch_rows, codes, None):
        yield part.rows(part.places)


def read_as_of(
    file: ParquetRows,
    levels: int,
    numbers: Int64Array,
    batch_rows: int = BATCH_ROWS,
    codes: Codes | None = None,
    picked: PickedRows | None = None,
    *,
    equal: bool = False,
) -> Iterator[BookRows]:
    """Stream a book as it was after each of some messages, every row under the number of the message asked for.

    Only these rows are copied out of what is decoded, which takes less time than to copy all and choose then. Numbers
    below that of the first row are left out.

    Args:
        file: with schema `books(depth)`.
        levels: K, at most the file's depth.
        numbers: int64[m], sequence numbers, ascending.
        batch_rows: rows at a time, of the file and of the stream; never changes a result.
        codes: what decimals are read as.
        picked: shown all rows of the file.
        equal: leave out numbers that no row has itself.
    """
    done, held = 0, None
    for part in _parts(file, levels, batch_rows, codes, picked):
        if held is not None:  # it holds up to where the next one begins
            end = int(np.searchsorted(numbers, part.numbers[0]))
            yield from held.as_of(numbers[done:end], batch_rows, equal=equal)
            done = end
        held = part
    if held is not None:
        yield from held.as_of(numbers[done:], batch_rows, equal=equal)


def _parts(
    file: ParquetRows, levels: int, batch_rows: int, codes: Codes | None, picked: PickedRows | None
) -> Iterator[_Part]:
    """A books file in pieces of at least one row that does not go back in sequence."""
    columns = [name.removesuffix("_pips") + _ending(codes) for name in level_columns(levels)]
    wanted = dict.fromkeys([*_HEADS, *columns, *(picked.columns if picked else ())])
    latest = np.iinfo(np.int64).min
    for batch in _cut(file.batches(GROUP_ROWS, columns=list(wanted)), batch_rows, picked):
        numbers = _numpy(batch, "sequence_number")
        ahead = in_order(numbers, latest)
        if ahead.any():
            latest = int(numbers.max())
            yield _Part(batch, columns, codes, np.flatnonzero(ahead), numbers[ahead])


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a books file.

    Attributes:
        batch: as they were read.
        columns: names of prices and sizes, in the order of the schema.
        codes: what decimals are read as.
        places: int64[n], those that do not go back in sequence.
        numbers: int64[n], their sequence numbers.
    """

    batch: pa.RecordBatch
    columns: list[str]
    codes: Codes | None
    places: NDArray[np.intp]
    numbers: Int64Array

    def as_of(self, numbers: Int64Array, batch_rows: int, *, equal: bool) -> Iterator[BookRows]:
        """The last row up to each number, under that number; see `read_as_of`."""
        for first in range(0, len(numbers), batch_rows):
            asked = numbers[first : first + batch_rows]
            rows = np.searchsorted(self.numbers, asked, side="right") - 1
            keep = rows >= 0
            if equal:
                keep &= self.numbers[rows] == asked
            if keep.any():
                yield replace(self.rows(self.places[rows[keep]]), sequence_number=asked[keep])

    def rows(self, places: NDArray[np.intp]) -> BookRows:
        """The chosen rows; levels lie column after column, as Parquet gives them."""
        number, time, flags, *known = (_numpy(self.batch, name)[places] for name in _HEADS)
        levels, missing = len(self.columns) // 4, (MISSING_PIPS, 0)
        cube = _columns(len(self.columns), len(places))
        for index, (name, column) in enumerate(zip(self.columns, cube, strict=True)):
            values = _numbers(self.batch, name, self.codes, missing[index % 2])
            np.take(values, places, out=column, mode="clip")  # any other mode fills a copy first
        sides = cube.reshape(2, levels, 2, len(places))
        price, size = (sides[:, :, what].transpose(2, 0, 1) for what in range(2))
        return BookRows(number, time, flags, np.stack(known, 1), price, size)


_HEADS = ("sequence_number", "origin_time", "flags", "known_bid_levels", "known_ask_levels")


def _columns(count: int, rows: int) -> Int64Array:
    """Room for columns, int64[count, rows].

    They lie an odd number of cache lines apart: whoever reads row after row needs a line of each at a time, and lines
    that lie a power of two apart drive each other out.
    """
    apart = 8 * (-(-rows // 8) | 1)
    return np.empty((count, apart), dtype=np.int64)[:, :rows]


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
    file: ParquetRows,
    levels: int,
    batch_rows: int = SNAPSHOT_ROWS,
    codes: Codes | None = None,
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
            numbers = _numpy(piece, "sequence_number")
            rows = np.arange(len(numbers)) if admit is None else np.flatnonzero(admit(numbers))
            price, size = _spread(piece, rows, levels, codes)
            yield ReferenceRows(numbers[rows], _numpy(piece, "origin_time")[rows], price, size)


def _spread(
    batch: pa.RecordBatch, rows: NDArray[np.intp], levels: int, codes: Codes | None
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
