"""Typed rows of `reconstructed_books`, by how many of the columns are read, and the ways to read them.

Each way streams rows in ascending order of sequence number, `batch_rows` at a time, which never changes a result;
`file` has the rows of `reconstructed_books`, and `encoding` is theirs. All but `read_heads` leave out rows that go back
in sequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.columns import NARROW_ROWS, NumberedRows, as_numpy, in_order
from order_book_platform.datasets.reconstructed_books.schema import level_columns
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import Int64Array, UInt8Array
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.storage import ParquetRows


@dataclass(frozen=True, slots=True)
class BookHeads(NumberedRows):
    """The narrow columns of a book: `BookFlag` bits, and encoded best bid and ask or `MISSING_PIPS`, int64[n, 2]."""

    flags: UInt8Array
    best_prices: Int64Array


@dataclass(frozen=True, slots=True)
class BestRows(NumberedRows):
    """A book cut to its best bid and ask, so that prices and sizes are int64[n, 2]; else as in `BookRows`.

    `arrival_ns`, int64[n], is by the recorder's clock.
    """

    arrival_ns: Int64Array
    known: UInt8Array
    encoded_price: Int64Array
    encoded_size: Int64Array

    @classmethod
    def none(cls) -> Self:
        """Return no rows."""
        nothing, sides = np.empty(0, np.int64), np.empty((0, 2), np.int64)
        return cls(nothing, nothing, nothing, np.empty((0, 2), np.uint8), sides, sides)


@dataclass(frozen=True, slots=True)
class BookRows(NumberedRows):
    """A book cut to K levels a side: `BookFlag` bits uint8[n], and numbers of known bid and ask levels uint8[n, 2].

    Prices and sizes are as in `ReferenceRows`.
    """

    flags: UInt8Array
    known: UInt8Array
    encoded_price: Int64Array
    encoded_size: Int64Array


def from_seed(parts: Iterator[BookHeads]) -> Iterator[BookHeads]:
    """Return the rows of a book from its first seeded one on."""
    for part in parts:
        at = np.flatnonzero(part.flags & BookFlag.SEEDED)
        if len(at):
            yield part.take(slice(int(at[0]), None))
            yield from parts


BEST_ROWS = 32_768
"""Best prices read at a time where two streams run past each other: each of six comparisons may hold some of both."""

BATCH_ROWS = 16_384
"""Rows of books of 20 levels a side at a time: 10 MB. Half as many take a tenth more time: each is some 400 calls."""

GROUP_ROWS = 1 << 20
"""Books are decoded a row group at a time, which is bounded by its bytes: in pieces it takes a fifth more."""

_HEADS = ("sequence_number", "origin_time", "flags", "known_bid_levels", "known_ask_levels")


def read_heads(
    file: ParquetRows, encoding: PartitionEncoding, batch_rows: int = NARROW_ROWS
) -> Iterator[BookHeads]:
    """Read the narrow columns of a book."""
    prices = ["bid_0_price", "ask_0_price"]
    columns = ["origin_time", "sequence_number", "flags", *(name + encoding.ending for name in prices)]
    for batch in file.batches(batch_rows, columns=columns):
        best = [encoding.read_prices(batch, name) for name in prices]
        yield BookHeads(
            as_numpy(batch, "sequence_number"),
            as_numpy(batch, "origin_time"),
            as_numpy(batch, "flags"),
            np.stack(best, 1),
        )


def read_best(
    file: ParquetRows, first: int | None, encoding: PartitionEncoding, batch_rows: int = BEST_ROWS
) -> Iterator[BestRows]:
    """Read the best bid and ask of a book from the message `first` on, or nothing; `time_ns` is `origin_time`."""
    if first is None:
        return
    heads = ["origin_time", "received_time", "sequence_number", "known_bid_levels", "known_ask_levels"]
    levels = [f"{side}_0_{what}{encoding.ending}" for what in ("price", "size") for side in ("bid", "ask")]
    latest = first
    for batch in file.batches(batch_rows, columns=[*heads, *levels]):
        rows = BestRows(
            as_numpy(batch, "sequence_number"),
            as_numpy(batch, "origin_time"),
            as_numpy(batch, "received_time"),
            np.stack([as_numpy(batch, "known_bid_levels"), as_numpy(batch, "known_ask_levels")], 1),
            np.stack([encoding.read_prices(batch, f"{side}_0_price") for side in ("bid", "ask")], 1),
            np.stack([encoding.read_sizes(batch, f"{side}_0_size") for side in ("bid", "ask")], 1),
        )
        ahead = in_order(rows.sequence_number, latest)
        latest = max(latest, int(rows.sequence_number.max(initial=latest)))
        if ahead.any():
            yield rows if ahead.all() else rows.take(ahead)


class PickedRows:
    """Collects columns of chosen rows, int64[m] ascending, while a file is streamed: nobody has to read it twice."""

    def __init__(self, rows: Int64Array, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._rows = rows
        self._parts: list[pa.RecordBatch] = []
        self._passed = 0

    def look(self, batch: pa.RecordBatch) -> None:
        """Collect the chosen rows of the next row group."""
        first, last = np.searchsorted(self._rows, (self._passed, self._passed + batch.num_rows))
        if first < last:
            self._parts.append(
                batch.select(self.columns).take(pa.array(self._rows[first:last] - self._passed))
            )
        self._passed += batch.num_rows

    def table(self, schema: pa.Schema) -> pa.Table:
        """Return the collected rows of a file of that schema."""
        if not self._parts:
            return pa.schema([schema.field(name) for name in self.columns]).empty_table()
        return pa.Table.from_batches(self._parts).combine_chunks()


def read_books(
    file: ParquetRows, levels: int, encoding: PartitionEncoding, batch_rows: int = BATCH_ROWS
) -> Iterator[BookRows]:
    """Stream a books file, cut to its first K = `levels` levels a side, at most the file's depth."""
    for part in _parts(file, levels, batch_rows, encoding, None):
        yield part.rows(part.places)


def read_as_of(
    file: ParquetRows,
    levels: int,
    numbers: Int64Array,
    encoding: PartitionEncoding,
    batch_rows: int = BATCH_ROWS,
    picked: PickedRows | None = None,
    *,
    equal: bool = False,
) -> Iterator[BookRows]:
    """Stream a book as it was after each of some messages, every row under the number of the message asked for.

    Only these rows are copied out of the decoded columns, which takes less time than to copy all rows and choose then.
    The sequence numbers, int64[m], ascend; those below the first row's are left out, and with `equal` those that no row
    has itself. K = `levels` is at most the file's depth; `picked` collects rows of the file on the way.
    """
    done, held = 0, None
    for part in _parts(file, levels, batch_rows, encoding, picked):
        if held is not None:  # the last row of a part is in effect until the next part begins
            end = int(np.searchsorted(numbers, part.numbers[0]))
            yield from held.as_of(numbers[done:end], batch_rows, equal=equal)
            done = end
        held = part
    if held is not None:
        yield from held.as_of(numbers[done:], batch_rows, equal=equal)


def _parts(
    file: ParquetRows, levels: int, batch_rows: int, encoding: PartitionEncoding, picked: PickedRows | None
) -> Iterator[_Part]:
    """Read a books file in parts, each with at least one row that does not go back in sequence."""
    columns = [name.removesuffix("_pips") for name in level_columns(levels)]
    stored = [name + encoding.ending for name in columns]
    wanted = dict.fromkeys([*_HEADS, *stored, *(picked.columns if picked else ())])
    latest = np.iinfo(np.int64).min
    for batch in _cut(file.batches(GROUP_ROWS, columns=list(wanted)), batch_rows, picked):
        numbers = as_numpy(batch, "sequence_number")
        ahead = in_order(numbers, latest)
        if ahead.any():
            latest = int(numbers.max())
            yield _Part(batch, columns, encoding, np.flatnonzero(ahead), numbers[ahead])


@dataclass(frozen=True, slots=True)
class _Part:
    """Decoded rows of a books file, of which only wanted ones are copied.

    `columns` are without their ending, in the order of the schema. `places` in the batch and sequence `numbers`, both
    int64[n], are those of the rows that do not go back in sequence.
    """

    batch: pa.RecordBatch
    columns: list[str]
    encoding: PartitionEncoding
    places: NDArray[np.intp]
    numbers: Int64Array

    def as_of(self, numbers: Int64Array, batch_rows: int, *, equal: bool) -> Iterator[BookRows]:
        """Yield the last row up to each number int64[m], under that number; see `read_as_of`."""
        for first in range(0, len(numbers), batch_rows):
            asked = numbers[first : first + batch_rows]
            rows = np.searchsorted(self.numbers, asked, side="right") - 1
            keep = rows >= 0
            if equal:
                keep &= self.numbers[rows] == asked
            if keep.any():
                yield replace(self.rows(self.places[rows[keep]]), sequence_number=asked[keep])

    def rows(self, places: NDArray[np.intp]) -> BookRows:
        """Copy the rows at some places int64[n]; in memory, levels lie column after column, as Parquet gives them."""
        number, time, flags, *known = (as_numpy(self.batch, name)[places] for name in _HEADS)
        levels = len(self.columns) // 4
        cube = _columns(len(self.columns), len(places))
        for name, column in zip(self.columns, cube, strict=True):
            read = self.encoding.read_prices if name.endswith("price") else self.encoding.read_sizes
            values = read(self.batch, name)
            np.take(values, places, out=column, mode="clip")  # numpy fills a copy first in any other mode
        sides = cube.reshape(2, levels, 2, len(places))
        price, size = (sides[:, :, what].transpose(2, 0, 1) for what in range(2))
        return BookRows(number, time, flags, np.stack(known, 1), price, size)


def _columns(count: int, rows: int) -> Int64Array:
    """Return empty columns int64[count, rows] that lie an odd number of cache lines apart.

    Code that reads row after row needs a cache line of every column at a time, and lines that lie a power of two apart
    evict each other, which takes three times as long.
    """
    apart = 8 * (-(-rows // 8) | 1)
    return np.empty((count, apart), dtype=np.int64)[:, :rows]


def _cut(
    groups: Iterator[pa.RecordBatch], batch_rows: int, picked: PickedRows | None
) -> Iterator[pa.RecordBatch]:
    """Cut row groups into smaller batches, after `picked` has seen each of them as a whole."""
    for group in groups:
        if picked is not None:
            picked.look(group)
        for first in range(0, group.num_rows, batch_rows):
            yield group.slice(first, batch_rows)
