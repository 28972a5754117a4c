"""Writes the books of a day in parts, and tells beforehand how much disk space they take."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.datasets.reconstructed_books.schema import books_packing
from order_book_platform.datasets.reconstructed_books.writer import BookTables, count_flags, stored_rows
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.reconstruct.memory_budget import group_rows
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import ReconstructSettings
from order_book_platform.storage import DataStore, ParquetRows, ParquetSink, PartitionWriter
from order_book_platform.storage.partition_writer import FinishedFile

BYTES_PER_DELTA_LEVEL = 0.2
"""Bytes a delta takes for each visible level a side, and once more for the times, number and flags of a row. Recorded
days of three markets took 2.0 to 5.1 bytes a delta with 20 levels, 0.7 to 1.5 with 5, 0.4 to 0.7 with one; a row after
every message took up to 15 % more."""
BYTES_PER_ROW_LEVEL = 10
"""The same for a row of a 100 ms grid: 136 to 230 bytes with 20 levels, on the same days."""


class BookWriter:
    """Writes the parts of one partition, whose metadata already hold what the files' footers say.

    Attributes:
        tables: Makes tables of rows, hashes and counts them.
        finished: Parts that will not change any more.
        rows: Rows in all parts.
        table_rows: Rows that have become tables; those not yet in a part wait to be written.
        deltas_in_all: Deltas of the day, from which the rest of its disk space is estimated; 0 if that is not known.
    """

    def __init__(self, writer: PartitionWriter, depth: int, encoding: PartitionEncoding) -> None:
        self.tables = BookTables(depth, encoding)
        self.finished: list[FinishedFile] = []
        self.rows = self.table_rows = self.deltas_in_all = 0
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

    def applied(self, deltas: int) -> None:
        """Take note that so many deltas of the day have been applied; their rows may still wait to be written."""
        share = self.rows / self.table_rows if self.table_rows else 0.0
        self._writer.progressed(round(deltas * share), self.deltas_in_all)

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
        """Go on behind parts that an earlier run finished: read them, and count and hash their rows."""
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


def bytes_of_books(
    store: DataStore, key: PartitionKey, wanted: ReconstructSettings, strategy_name: str
) -> int:
    """Estimate the bytes of a day's books from its inputs."""
    if strategy_name != FullEventReplay.name:
        return BYTES_PER_ROW_LEVEL * (wanted.depth + 1) * store.rows("snapshots", key).num_rows
    messages = store.manifest("raw_deltas", key).metadata["audit"]["messages"]
    return bytes_of_deltas(wanted, store.rows("raw_deltas", key).num_rows, messages)


def bytes_of_deltas(wanted: ReconstructSettings, deltas: int, messages: int) -> int:
    """Estimate the bytes of the rows that so many deltas in so many messages give, with depth and cadence as wanted."""
    rows = NS_PER_DAY // wanted.grid if wanted.cadence == "grid" else messages
    parts = wanted.depth + 1
    return min(round(BYTES_PER_DELTA_LEVEL * parts * deltas), BYTES_PER_ROW_LEVEL * parts * rows)
