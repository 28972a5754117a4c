"""The rows of a table that lies in one Parquet file, or in several parts one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.errors import PartitionCorruptError


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


class _Part:
    """One file, open as long as this object lives."""

    def __init__(self, part: Path | pa.Buffer) -> None:
        self._where = str(part) if isinstance(part, Path) else "a file in memory"
        with _errors_named(self._where):
            self._source = pa.OSFile(str(part)) if isinstance(part, Path) else pa.BufferReader(part)
        with self.reader() as file:
            self.rows: int = file.metadata.num_rows
            self.schema: pa.Schema = file.schema_arrow
            self._footer = file.metadata

    @contextmanager
    def reader(self) -> Iterator[pq.ParquetFile]:
        """The file; its footer is read once."""
        with _errors_named(self._where):
            yield pq.ParquetFile(self._source, metadata=getattr(self, "_footer", None))


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
def _errors_named(where: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise PartitionCorruptError(
            expected="a readable Parquet file", found=str(error), where=where, remedy="Materialize it again."
        ) from error
