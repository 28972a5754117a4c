"""Positions of messages and book rows in the files of a symbol and day, and any range of rows read on demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from order_book_platform.errors import SourceValueError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.sources import LakeSource
from order_book_platform.sources.lake_source import LakeFile


@dataclass(slots=True)
class RowReader:
    """Reads rows of a table, which may be spread over several files, by their position in all of them.

    The last row group that was read is kept, since faults are placed close to one another.

    Attributes:
        files: files of the table, in order.
    """

    files: list[LakeFile]
    _group: tuple[int, int] = (-1, -1)
    _cached: pa.Table | None = None

    @property
    def rows(self) -> int:
        """Number of rows in all files."""
        return sum(file.rows for file in self.files)

    def read(self, start: int, stop: int) -> pa.Table:
        """Read rows start … stop − 1; at least one."""
        parts, first = [], 0
        for f, file in enumerate(self.files):
            for g in range(file.parquet.num_row_groups):
                count = file.parquet.metadata.row_group(g).num_rows
                low, high = max(start, first), min(stop, first + count)
                if low < high:
                    parts.append(self._read_group(f, g).slice(low - first, high - low))
                first += count
        return pa.concat_tables(parts)

    def _read_group(self, f: int, g: int) -> pa.Table:
        if self._group != (f, g) or self._cached is None:
            self._cached = self.files[f].parquet.read_row_group(g)
            self._group = (f, g)
        return self._cached


@dataclass(frozen=True, slots=True)
class LakeIndex:
    """Index of one symbol and day with m messages and b rows of `book`.

    Attributes:
        deltas: reader of the rows of `book_delta_v2`.
        sequence: int64[m], sequence numbers of the messages, ascending.
        timestamp: int64[m], their exchange times, ns.
        first_row: int64[m + 1]: message i has the delta rows first_row[i] … first_row[i + 1] − 1.
        books: reader of the rows of `book`.
        book_row: int64[b], position of each book row.
        book_sequence: int64[b], sequence numbers of the book rows, ascending.
    """

    deltas: RowReader
    sequence: Int64Array
    timestamp: Int64Array
    first_row: Int64Array
    books: RowReader
    book_row: Int64Array
    book_sequence: Int64Array

    @property
    def messages(self) -> int:
        """Number of messages."""
        return len(self.sequence)

    def message_rows(self, start: int, stop: int) -> pa.Table:
        """Read the delta rows of messages start … stop − 1."""
        return self.deltas.read(int(self.first_row[start]), int(self.first_row[stop]))

    def books_between(self, start: int, stop: int) -> tuple[int, int]:
        """Give the range of book rows that show the book from just before message `start` to after message `stop` − 1.

        Returns:
            First row and the one after the last, as indices of `book_row`. The first one is the last row before message
            `start`; the range is empty where there is none.
        """
        low = int(np.searchsorted(self.book_sequence, self.sequence[start], "left")) - 1
        high = int(np.searchsorted(self.book_sequence, self.sequence[stop - 1], "right"))
        return (low, high) if low >= 0 else (0, 0)


def read_index(source: LakeSource, key: PartitionKey) -> LakeIndex:
    """Index one symbol and day; only times and sequence numbers are read.

    Raises:
        SourceError: a table is missing or damaged.
        SourceValueError: messages do not come in order, so faults could not be placed.
    """
    deltas = RowReader(source.files("book_delta_v2", key))
    books = RowReader(source.files("book", key))
    first_row, timestamp, sequence = _first_rows(deltas, source.batch_rows)
    book_row, _, book_sequence = _first_rows(books, source.batch_rows)
    return LakeIndex(
        deltas,
        sequence,
        timestamp,
        np.append(first_row, deltas.rows),
        books,
        book_row,
        book_sequence,
    )


def _first_rows(reader: RowReader, batch_rows: int) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Find where each run of one sequence number starts; gives first rows, their timestamps and the numbers."""
    parts: tuple[list[Int64Array], list[Int64Array], list[Int64Array]] = ([], [], [])
    last, offset = None, 0
    for file in reader.files:
        for row, batch in file.batches(["timestamp", "sequence_number"], batch_rows):
            numbers = batch.column("sequence_number").to_numpy(zero_copy_only=False)
            steps = np.diff(numbers, prepend=numbers[0] - 1 if last is None else last)
            if (steps < 0).any():
                raise SourceValueError(
                    expected="ascending sequence numbers",
                    found=str(numbers[np.argmax(steps < 0)]),
                    where=f"{file.path}: column sequence_number, row {row + int(np.argmax(steps < 0))}",
                    remedy="Sort the file first: faults are placed by message, and messages must be whole.",
                )
            starts = np.flatnonzero(steps)
            last = numbers[-1]
            parts[0].append(starts + offset)
            parts[1].append(batch.column("timestamp").to_numpy(zero_copy_only=False)[starts])
            parts[2].append(numbers[starts])
            offset += batch.num_rows
    return np.concatenate(parts[0]), np.concatenate(parts[1]), np.concatenate(parts[2])
