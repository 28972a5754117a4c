"""The rows of a table that lies in one Parquet file, or in several parts one after another."""

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
    """Reads a table batch by batch; memory is bounded by one row group, compressed, and one batch.

    All parts are opened at once and stay so: a partition that is published anew meanwhile is read to its end as it was.

    Args:
        parts: files, or their bytes, in order; at least one, all with one schema.

    Attributes:
        schema: of the rows.
        num_rows: of all parts.

    Raises:
        PartitionCorruptError: a part cannot be read, here and wherever rows are.
        StorageAccessError: this user may not read a part.
    """

    def __init__(self, parts: Sequence[Path | pa.Buffer]) -> None:
        self._parts = tuple(_Part(part) for part in parts)
        self.schema = self._parts[0].schema
        self.num_rows = sum(part.rows for part in self._parts)

    def batches(
        self, rows: int, columns: Sequence[str] | None = None, from_row: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Decode row group by row group.

        Args:
            rows: at a time, at most.
            columns: by name; all of them if None.
            from_row: where to begin.
        """
        wanted = None if columns is None else list(columns)
        for part in self._parts:
            if from_row < part.rows:
                with part.reader() as file:
                    yield from row_groups(file, rows, wanted, max(from_row, 0))
            from_row -= part.rows

    def pieces(self, from_row: int = 0) -> Iterator[RowGroup]:
        """Read row group by row group, and leave decoding to whoever gets them.

        Args:
            from_row: where to begin.
        """
        for part in self._parts:
            if from_row < part.rows:
                yield from part.pieces(from_row)
            from_row -= part.rows

    @property
    def filled(self) -> list[str]:
        """Names of flat columns that hold anything but nulls; those that statistics do not speak of are among them."""
        names: set[str] = set()
        for part in self._parts:
            names.update(part.filled())
        return [name for name in self.schema.names if name in names]

    def span(self, column: str) -> tuple[int, int] | None:
        """Smallest and largest value of an int64 column, from the statistics alone; None where there are none."""
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
        """All rows at once; for small tables and narrow columns."""
        wanted = None if columns is None else list(columns)
        tables = []
        for part in self._parts:
            with part.reader() as file:
                tables.append(file.read(columns=wanted, use_threads=False))
        return pa.concat_tables(tables)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group as it lies in its file.

    Attributes:
        content: its bytes, all columns.
        start: where they begin in the file.
        footer: of the file.
        group: number of the row group.
        skip: rows of it that are not wanted, from its first on.
        where: the file, for errors.
    """

    content: bytes
    start: int
    footer: pq.FileMetaData
    group: int
    skip: int
    where: str

    @property
    def nbytes(self) -> int:
        """Bytes as it lies in its file."""
        return len(self.content)

    @property
    def rows(self) -> int:
        """Wanted ones."""
        count: int = self.footer.row_group(self.group).num_rows
        return count - self.skip

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Decode it, at most so many rows at a time; columns that hold nothing but nulls are left out.

        Raises:
            PartitionCorruptError: it cannot be decoded.
        """
        with errors_named(self.where):
            file = pq.ParquetFile(_Window(self.content, self.start), metadata=self.footer)
            skip, group = self.skip, self.footer.row_group(self.group)
            columns = [
                name for index, name in enumerate(file.schema_arrow.names) if not _is_null(group, index)
            ]
            for batch in file.iter_batches(rows, row_groups=[self.group], columns=columns, use_threads=False):
                if skip < batch.num_rows:
                    yield batch.slice(skip)
                skip = max(skip - batch.num_rows, 0)


class _Window(io.RawIOBase):
    """A file of which some bytes are there: those of one row group, at the place they have in it."""

    def __init__(self, content: bytes, start: int) -> None:
        self._content, self._start, self._at = memoryview(content), start, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Place in the file."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the file; its end is that of the bytes."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._start + len(self._content)}
        self._at = base[whence] + offset
        return self._at

    def read(self, size: int | None = -1) -> memoryview:
        """So many bytes, where they lie: arrow takes views, too. Only those that are there are asked for."""
        first = self._at - self._start
        found = self._content[first:] if size is None or size < 0 else self._content[first : first + size]
        self._at += len(found)
        return found


class _Part:
    """One file, open as long as this object lives."""

    def __init__(self, part: Path | pa.Buffer) -> None:
        self._where = str(part) if isinstance(part, Path) else "a file in memory"
        with errors_named(self._where):
            self._source = pa.OSFile(str(part)) if isinstance(part, Path) else pa.BufferReader(part)
        with self.reader() as file:
            self.rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow
            self._footer = file.metadata

    def filled(self) -> Iterator[str]:
        """See `ParquetRows.filled`."""
        groups = [self._footer.row_group(group) for group in range(self._footer.num_row_groups)]
        for index, name in enumerate(self.schema.names):
            if not groups or not all(_is_null(group, index) for group in groups):
                yield name

    def pieces(self, from_row: int) -> Iterator[RowGroup]:
        """Its row groups from a row on."""
        for group in range(self._footer.num_row_groups):
            described = self._footer.row_group(group)
            if from_row < described.num_rows:
                start, end = _extent(described)
                with errors_named(self._where):
                    content = self._source.read_at(end - start, start)
                yield RowGroup(content, start, self._footer, group, max(from_row, 0), self._where)
            from_row -= described.num_rows

    @contextmanager
    def reader(self) -> Iterator[pq.ParquetFile]:
        """The file; its footer is read once."""
        with errors_named(self._where):
            yield pq.ParquetFile(self._source, metadata=getattr(self, "_footer", None))


def _is_null(group: pq.RowGroupMetaData, column: int) -> bool:
    """Whether a row group says that a column holds nothing but nulls: reading them takes 2 to 3 ns each."""
    statistics = group.column(column).statistics
    return statistics is not None and statistics.has_null_count and statistics.null_count == group.num_rows


def _extent(group: pq.RowGroupMetaData) -> tuple[int, int]:
    """First byte of a row group in its file, and the end of its last."""
    starts, ends = [], []
    for index in range(group.num_columns):
        column = group.column(index)
        first = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset is not None:
            first = min(first, column.dictionary_page_offset)
        starts.append(first)
        ends.append(first + column.total_compressed_size)
    return min(starts), max(ends)


def row_groups(
    file: pq.ParquetFile, rows: int, columns: list[str] | None = None, from_row: int = 0
) -> Iterator[pa.RecordBatch]:
    """Decode a file row group by row group, see `ParquetRows.batches`.

    One iterator over a whole file would keep every compressed page read so far; one per row group lets go of them, so
    that memory does not grow with the file.
    """
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if from_row < count:
            skip = max(from_row, 0)
            for batch in file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False):
                if skip < batch.num_rows:
                    yield batch.slice(skip)
                skip = max(skip - batch.num_rows, 0)
        from_row -= count


@contextmanager
def errors_named(where: str) -> Iterator[None]:
    """Turn what arrow or the system say of a file into an error that names it."""
    try:
        yield
    except PermissionError as error:
        raise not_readable(where) from error
    except (OSError, pa.ArrowException) as error:
        raise PartitionCorruptError(
            expected="a readable Parquet file", found=str(error), where=where, remedy="Materialize it again."
        ) from error


def not_readable(where: Path | str) -> StorageAccessError:
    """The error about a file that is there and may not be read; it may well be sound."""
    return StorageAccessError(
        expected="a file that can be read",
        found="Permission denied",
        where=str(where),
        remedy="Give this user the right to read it.",
    )
