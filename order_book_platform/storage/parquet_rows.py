"""The rows of a table in one Parquet file, or in several files one after another, with bounded memory."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.errors import PartitionCorruptError, StorageAccessError


class ParquetRows:
    """Reads a table from files, or their bytes, in order; memory is bounded by one row group and one batch.

    All files have the same schema. They are opened at once and stay open: if the partition is published anew meanwhile,
    the old one is read to its end.

    Raises:
        PartitionCorruptError: a file cannot be read; like the other one, also when rows are read.
        StorageAccessError: this user may not read a file.
    """

    def __init__(self, parts: Sequence[Path | pa.Buffer]) -> None:
        self._parts = tuple(_ParquetPart(part) for part in parts)
        self.schema = self._parts[0].schema
        self.num_rows = sum(part.rows for part in self._parts)

    def batches(
        self, rows: int, columns: Sequence[str] | None = None, from_row: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Decode columns (all if None) from a row on, row group by row group, in batches of at most so many rows."""
        wanted = None if columns is None else list(columns)
        for part in self._parts:
            if from_row < part.rows:
                with part.reader() as file:
                    yield from decode_row_groups(file, rows, wanted, max(from_row, 0))
            from_row -= part.rows

    def row_groups(self, from_row: int = 0) -> Iterator[RowGroup]:
        """Read the table from a row on, row group by row group, without decoding, which is left to the receiver."""
        for part in self._parts:
            if from_row < part.rows:
                yield from part.row_groups(from_row)
            from_row -= part.rows

    @property
    def non_null_columns(self) -> list[str]:
        """Names of flat columns that are not known, from the statistics, to hold nothing but nulls."""
        columns = enumerate(self.schema.names)
        return [name for index, name in columns if not all(part.is_null(index) for part in self._parts)]

    def value_range(self, column: str) -> tuple[int, int] | None:
        """Return the smallest and largest value of an int64 column from the statistics; None where there are none."""
        if column not in self.schema.names:
            return None
        index, limits = self.schema.names.index(column), []
        for part in self._parts:
            with part.reader() as file:
                for group in range(file.num_row_groups):
                    found = file.metadata.row_group(group).column(index).statistics
                    if found is not None and found.has_min_max:
                        limits.append((int(found.min), int(found.max)))
        return (min(low for low, _ in limits), max(high for _, high in limits)) if limits else None

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all rows at once, of all columns unless told otherwise; for small tables and narrow columns."""
        wanted = None if columns is None else list(columns)
        tables = []
        for part in self._parts:
            with part.reader() as file:
                tables.append(file.read(columns=wanted, use_threads=False))
        return pa.concat_tables(tables)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group as it is stored, not decoded.

    Attributes:
        content: stored bytes of all columns, from byte `start` of the file on.
        group: number of the row group in the file.
        skip: number of its first rows that are not wanted.
        where: path of the file, for errors.
    """

    content: bytes
    start: int
    footer: pq.FileMetaData
    group: int
    skip: int
    where: str

    @property
    def nbytes(self) -> int:
        """Stored size in bytes."""
        return len(self.content)

    @property
    def rows(self) -> int:
        """Number of wanted rows."""
        count: int = self.footer.row_group(self.group).num_rows
        return count - self.skip

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Decode the wanted rows, so many at a time; columns that hold nothing but nulls are left out."""
        with translate_read_errors(self.where):
            file = pq.ParquetFile(_Window(self.content, self.start), metadata=self.footer)
            group = self.footer.row_group(self.group)
            columns = [
                name for index, name in enumerate(file.schema_arrow.names) if not _is_null(group, index)
            ]
            yield from _decode(file, self.group, rows, columns, self.skip)


class _Window(io.RawIOBase):
    """A read-only file of which only the bytes of one row group exist, at their offset in the real file."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content, self._start, self._at = memoryview(content), start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._start + len(self._content)}
        self._at = base[whence] + offset
        return self._at

    def read(self, size: int | None = -1) -> memoryview:
        """Return a view of the next bytes, which arrow accepts in place of a copy; it asks for existing ones only."""
        first = self._at - self._start
        found = self._content[first:] if size is None or size < 0 else self._content[first : first + size]
        self._at += len(found)
        return found


class _ParquetPart:
    """One file of a table, open as long as this object lives."""

    def __init__(self, part: Path | pa.Buffer) -> None:
        self._where = str(part) if isinstance(part, Path) else "a file in memory"
        with translate_read_errors(self._where):
            self._source = pa.OSFile(str(part)) if isinstance(part, Path) else pa.BufferReader(part)
        with self.reader() as file:
            self.rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow
            self._footer = file.metadata

    def is_null(self, column: int) -> bool:
        """Return whether a column is known to hold nothing but nulls; False for a file without row groups."""
        groups = [self._footer.row_group(group) for group in range(self._footer.num_row_groups)]
        return bool(groups) and all(_is_null(group, column) for group in groups)

    def row_groups(self, from_row: int) -> Iterator[RowGroup]:
        """Read the row groups from a row of this file on."""
        for group in range(self._footer.num_row_groups):
            described = self._footer.row_group(group)
            if from_row < described.num_rows:
                start, end = _extent(described)
                with translate_read_errors(self._where):
                    content = self._source.read_at(end - start, start)
                yield RowGroup(content, start, self._footer, group, max(from_row, 0), self._where)
            from_row -= described.num_rows

    @contextmanager
    def reader(self) -> Iterator[pq.ParquetFile]:
        """Open a reader of the file; the footer is parsed once only."""
        with translate_read_errors(self._where):
            yield pq.ParquetFile(self._source, metadata=getattr(self, "_footer", None))


def _is_null(group: pq.RowGroupMetaData, column: int) -> bool:
    """Return whether statistics say that a column is all null; decoding such nulls takes 2 to 3 ns each."""
    statistics = group.column(column).statistics
    return statistics is not None and statistics.has_null_count and statistics.null_count == group.num_rows


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """Return the offsets of a row group's first byte in its file and of the byte behind its last."""
    starts, ends = [], []
    for index in range(group.num_columns):
        column = group.column(index)
        first = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset is not None:
            first = min(first, column.dictionary_page_offset)
        starts.append(first)
        ends.append(first + column.total_compressed_size)
    return min(starts), max(ends)


def decode_row_groups(
    file: pq.ParquetFile, rows: int, columns: list[str] | None = None, from_row: int = 0
) -> Iterator[pa.RecordBatch]:
    """Decode a file from a row on, row group by row group, in batches of at most so many rows.

    One iterator over a whole file would keep every compressed page read so far; one iterator for each row group
    releases them, so that memory does not grow with the file.
    """
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if from_row < count:
            yield from _decode(file, group, rows, columns, max(from_row, 0))
        from_row -= count


def _decode(
    file: pq.ParquetFile, group: int, rows: int, columns: list[str] | None, skip: int
) -> Iterator[pa.RecordBatch]:
    """Decode one row group without its first `skip` rows."""
    for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
        if skip < batch.num_rows:
            yield batch.slice(skip)
        skip = max(skip - batch.num_rows, 0)


@contextmanager
def translate_read_errors(where: str) -> Iterator[None]:
    """Turn errors of arrow or the system about a file into a storage error that names it."""
    try:
        yield
    except PermissionError as error:
        raise not_readable_error(where) from error
    except (OSError, pa.ArrowException) as error:
        raise PartitionCorruptError(
            expected="a readable Parquet file", found=str(error), where=where, remedy="Materialize it again."
        ) from error


def not_readable_error(where: Path | str) -> StorageAccessError:
    """Make the error about a file that exists, may be undamaged, and may not be read by this user."""
    return StorageAccessError(
        expected="a file that can be read",
        found="Permission denied",
        where=str(where),
        remedy="Give this user the right to read it.",
    )
