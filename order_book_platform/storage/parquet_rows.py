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

    Args:
        paths: the parts, in order; at least one, with one schema.

    Attributes:
        schema: of the rows.
        num_rows: of all parts.

    Raises:
        PartitionCorruptError: a part cannot be read, here and wherever rows are.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._rows = []
        for path in self._paths:
            with _opened(path) as file:
                self._rows.append(file.metadata.num_rows)
                self.schema: pa.Schema = file.schema_arrow
        self.num_rows = sum(self._rows)

    def batches(
        self, rows: int, columns: Sequence[str] | None = None, from_row: int = 0
    ) -> Iterator[pa.RecordBatch]:
        """Decode row group by row group.

        One iterator over a whole file would keep every compressed page read so far; one per row group lets go of them,
        so that memory does not grow with the file.

        Args:
            rows: at a time, at most.
            columns: by name; all of them if None.
            from_row: where to begin.
        """
        wanted = None if columns is None else list(columns)
        for path, count in zip(self._paths, self._rows, strict=True):
            if from_row < count:
                with _opened(path) as file:
                    yield from _batches(file, rows, wanted, max(from_row, 0))
            from_row -= count

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows at once; for small tables and narrow columns."""
        wanted = None if columns is None else list(columns)
        tables = []
        for path in self._paths:
            with _opened(path) as file:
                tables.append(file.read(columns=wanted, use_threads=False))
        return pa.concat_tables(tables)


def _batches(
    file: pq.ParquetFile, rows: int, columns: list[str] | None, from_row: int
) -> Iterator[pa.RecordBatch]:
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
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise PartitionCorruptError(
            expected="a readable Parquet file",
            found=str(error),
            where=str(path),
            remedy="Materialize it again.",
        ) from error
