"""Reading `raw_deltas` and `snapshots` back as the batches they were written from."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.model import Codes, DeltaBatch, PartitionKey, SnapshotBatch, whole_messages
from order_book_platform.observability import Progress
from order_book_platform.storage import DataStore

SNAPSHOT_ROWS = 4_096
"""Snapshots of 20 levels a side read at a time: 2.6 MB."""


def delta_batches(
    store: DataStore,
    key: PartitionKey,
    batch_rows: int,
    stage: str,
    progress: Progress,
    codes: Codes | None = None,
    from_row: int = 0,
) -> Iterator[DeltaBatch]:
    """The `raw_deltas` of a partition as batches of whole messages.

    Args:
        store: has the partition.
        key: which one.
        batch_rows: rows decoded at a time.
        stage: what `progress` calls it.
        progress: told the rows read so far.
        codes: what decimals are turned into; None for a partition of pips.
        from_row: where to begin; the first row of a message.

    Raises:
        PartitionMissingError: it has not been published.
        PartitionCorruptError: it cannot be read.
    """
    with store.parquet("raw_deltas", key) as file:
        total = file.metadata.num_rows

        def decoded() -> Iterator[DeltaBatch]:
            done = from_row
            for record in record_batches(file, batch_rows, from_row=from_row):
                yield DeltaBatch.from_arrow(record, codes)
                done += record.num_rows
                progress(stage, done, total)

        yield from whole_messages(decoded())


def snapshot_batches(
    store: DataStore, key: PartitionKey, codes: Codes | None = None, from_row: int = 0
) -> Iterator[SnapshotBatch]:
    """The `snapshots` of a partition, some thousand at a time; see `delta_batches`."""
    with store.parquet("snapshots", key) as file:
        for record in record_batches(file, SNAPSHOT_ROWS, from_row=from_row):
            yield SnapshotBatch.from_arrow(pa.Table.from_batches([record]), codes)


def record_batches(
    file: pq.ParquetFile, batch_rows: int, columns: list[str] | None = None, from_row: int = 0
) -> Iterator[pa.RecordBatch]:
    """Decode a Parquet file row group by row group.

    One iterator over a whole file would keep every compressed page read so far; one per row group lets go of them, so
    that memory does not grow with the file.

    Args:
        file: open.
        batch_rows: rows at a time, at most.
        columns: by name; all of them if None.
        from_row: where to begin.
    """
    begin = 0
    for group in range(file.num_row_groups):
        begin, skip = begin + file.metadata.row_group(group).num_rows, from_row - begin
        if begin <= from_row:
            continue
        for record in file.iter_batches(
            batch_size=batch_rows, row_groups=[group], columns=columns, use_threads=False
        ):
            if skip < record.num_rows:
                yield record.slice(max(skip, 0))
            skip -= record.num_rows
