"""Rows of the replay into parts of the published partition: hashed, counted and encoded on the way."""

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


class BookWriter(BookTables):
    """Writes the parts of one partition.

    Args:
        writer: of the partition; its metadata already say what stands in the files' footers.
        depth: visible levels a side.
        encoding: Encoding of the replay's prices and sizes.

    Attributes:
        finished: parts that will not change any more.
        rows: in all parts.
        made: rows that have become tables; those not yet in a part wait to be written.
    """

    def __init__(self, writer: PartitionWriter, depth: int, encoding: PartitionEncoding) -> None:
        super().__init__(depth, encoding)
        self.finished: list[FinishedFile] = []
        self.rows = self.made = 0
        self._writer = writer
        self._group_rows = group_rows(depth, encoding.stored_bytes)
        self._sink: ParquetSink | None = None

    def table(self, rows: Int64Array) -> pa.Table:
        """See `BookTables`."""
        self.made += len(rows)
        return super().table(rows)

    def write(self, table: pa.Table) -> None:
        """Add rows to the part."""
        if self._sink is None:
            self._sink = self._writer.parquet(
                self._name, self.schema, self._group_rows, books_packing(self.schema), "lz4"
            )
        self._sink.write(table)
        self.rows += table.num_rows

    def end(self) -> None:
        """The part ends here: it is on the device when this returns. A part without rows is none."""
        if self._sink is not None:
            self.finished.append(self._writer.finish(self._name))
            self._sink = None

    def close(self) -> None:
        """All rows have come; a partition without any has one empty part."""
        if not self.rows:
            self.write(self.schema.empty_table())
        self.end()

    def adopt(self, finished: Sequence[FinishedFile]) -> None:
        """Go on after parts that an earlier run finished: read them, and count and hash their rows.

        Raises:
            PartitionCorruptError: a part cannot be read.
        """
        for part in finished:
            for batch in ParquetRows([self._writer.folder / part.name]).batches(self._group_rows):
                self.digest.update(stored_rows(pa.Table.from_batches([batch])))
                count_flags(batch.column("flags").to_numpy(zero_copy_only=False), self.counts)
            self._writer.adopt(part)
            self.finished.append(part)
            self.rows += part.rows
            self.made += part.rows

    @property
    def _name(self) -> str:
        return f"books-{len(self.finished):05}.parquet"
