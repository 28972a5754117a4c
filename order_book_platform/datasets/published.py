"""Reading `raw_deltas` and `snapshots` back as the batches they were written from."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from order_book_platform.datasets.batches import DeltaBatch, SnapshotBatch
from order_book_platform.datasets.message_boundaries import whole_messages
from order_book_platform.model import DecimalEncoding, PartitionKey
from order_book_platform.observability import Progress
from order_book_platform.storage import DataStore
from order_book_platform.streaming import read_ahead

SNAPSHOT_ROWS = 4_096
"""Snapshots of 20 levels a side read at a time: 2.6 MB."""


def delta_batches(
    store: DataStore,
    key: PartitionKey,
    batch_rows: int,
    stage: str,
    progress: Progress,
    codes: DecimalEncoding | None = None,
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
    table = store.rows("raw_deltas", key)

    def decoded() -> Iterator[DeltaBatch]:
        done = from_row
        for record in table.batches(batch_rows, table.filled, from_row):
            yield DeltaBatch.from_arrow(record, codes)
            done += record.num_rows
            progress(stage, done, table.num_rows)

    return whole_messages(read_ahead(decoded()))


def snapshot_batches(
    store: DataStore, key: PartitionKey, codes: DecimalEncoding | None = None, from_row: int = 0
) -> Iterator[SnapshotBatch]:
    """The `snapshots` of a partition, some thousand at a time; see `delta_batches`."""
    rows = store.rows("snapshots", key).batches(SNAPSHOT_ROWS, from_row=from_row)
    return (SnapshotBatch.from_arrow(pa.Table.from_batches([record]), codes) for record in rows)
