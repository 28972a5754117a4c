"""Writes the rows of a replay into the parts of a published partition."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import books_packing
from order_book_platform.datasets.reconstructed_books.writer import BookTables, count_flags, stored_rows
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.encoding import PartitionEncoding
from order_book_platform.reconstruct.memory_budget import group_rows
from order_book_platform.storage import ParquetRows, ParquetSink, PartitionWriter
from order_book_platform.storage.partition_writer import FinishedFile


class BookWriter:
    """Writes the parts of one partition.

    Args:
        writer: Writer of the partition; its metadata already hold what the files' footers say.
        depth: Visible levels a side.
        encoding: Encoding of the replay's prices and sizes.

    Attributes:
        tables: Makes tables of rows, hashes and counts them.
        finished: Parts that will not change any more.
        rows: Rows in all parts.
        table_rows: Rows that have become tables; those not yet in a part wait to be written.
    """

    def __init__(self, writer: PartitionWriter, depth: int, encoding: PartitionEncoding) -> None:
        self.tables = BookTables(depth, encoding)
        self.finished: list[FinishedFile] = []
        self.rows = self.table_rows = 0
        self._writer = writer
        self._group_rows = group_rows(depth, encoding.stored_bytes)
        self._sink: ParquetSink | None = None

    def table(self, rows: Int64Array) -> pa.Table:
        """Make a table of rows int64[n, 6 + 4·depth]; `write` may be at work in another thread."""
        self.table_rows += len(rows)
        return self.tables.table(rows)

    def write(self, table: pa.Table) -> None:
        """Add rows to the part that is open; begin one if none is."""
        if self._sink is None:
            schema = self.tables.schema
            self._sink = self._writer.parquet(
                self._part_name, schema, self._group_rows, books_packing(schema), "lz4"
            )
        self._sink.write(table)
        self.rows += table.num_rows

    def end_part(self) -> None:
        """Finish the part that is open, if any; it is on the device when this returns."""
        if self._sink is not None:
            self.finished.append(self._writer.finish(self._part_name))
            self._sink = None

    def close(self) -> None:
        """Finish the last part after all rows have come; a partition without any row has one empty part."""
        if not self.rows:
            self.write(self.tables.schema.empty_table())
        self.end_part()

    def adopt(self, finished: Sequence[FinishedFile]) -> None:
        """Go on behind parts that an earlier run finished: read them, and count and hash their rows.

        Raises:
            PartitionCorruptError: A part cannot be read.
        """
        for part in finished:
            for batch in ParquetRows([self._writer.folder / part.name]).batches(self._group_rows):
                self.tables.digest.update(stored_rows(pa.Table.from_batches([batch])))
                count_flags(batch.column("flags").to_numpy(zero_copy_only=False), self.tables.counts)
            self._writer.adopt(part)
            self.finished.append(part)
            self.rows += part.rows
            self.table_rows += part.rows

    @property
    def _part_name(self) -> str:
        return f"books-{len(self.finished):05}.parquet"
