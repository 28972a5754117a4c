"""The ways to read a book: its narrow columns, its best prices, all levels, or the levels as of some messages.

Each way streams rows in ascending order of sequence number, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.columns import NARROW_ROWS, as_numpy, in_order
from order_book_platform.datasets.reconstructed_books.rows import BestRows, BookHeads, BookRows
from order_book_platform.datasets.reconstructed_books.schema import level_columns
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.storage import ParquetRows

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
    """Read the narrow columns of a book.

    Args:
        file: Rows of `reconstructed_books`.
        encoding: Encoding of the rows.
        batch_rows: Rows at a time; never changes a result.
    """
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
    """Read the best bid and ask of a book, `time_ns` by `origin_time`.

    Rows that go back in sequence are left out.

    Args:
        file: Rows of `reconstructed_books`.
        first: Sequence number of the first row; nothing comes where it is None.
        encoding: Encoding of the rows.
        batch_rows: Rows at a time; never changes a result.
    """
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
    """Collects chosen rows of a file while its row groups are streamed, so that nobody has to read it twice.

    Args:
        rows: int64[m], numbers of the rows in the file, ascending, each once.
        columns: Names of the columns to collect.
    """

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
        """Return the collected rows.

        Args:
            schema: Schema of the file.
        """
        if not self._parts:
            return pa.schema([schema.field(name) for name in self.columns]).empty_table()
        return pa.Table.from_batches(self._parts).combine_chunks()


def read_books(
    file: ParquetRows,
    levels: int,
    encoding: PartitionEncoding,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[BookRows]:
    """Stream a books file, cut to its first `levels` levels a side.

    Rows that go back in sequence are left out.

    Args:
        file: Rows of `reconstructed_books`.
        levels: K, at most the file's depth.
        encoding: Encoding of the rows.
        batch_rows: Rows at a time; never changes a result.
    """
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
    Numbers below that of the first row are left out.

    Args:
        file: Rows of `reconstructed_books`.
        levels: K, at most the file's depth.
        numbers: int64[m], sequence numbers, ascending.
        encoding: Encoding of the rows.
        batch_rows: Rows at a time, of the file and of the stream; never changes a result.
        picked: Collects rows of the file on the way.
        equal: Leave out numbers that no row has itself.
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

    Attributes:
        batch: The rows as they were read.
        columns: Names of prices and sizes without their ending, in the order of the schema.
        encoding: Encoding of the rows.
        places: int64[n], places in the batch of the rows that do not go back in sequence.
        numbers: int64[n], sequence numbers of these rows.
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
