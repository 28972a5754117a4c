"""Reading `raw_deltas` back as the batches it was written from."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.model import Codes, DeltaBatch, PartitionKey, whole_messages
from order_book_platform.observability import Progress
from order_book_platform.storage import DataStore


def delta_batches(
    store: DataStore,
    key: PartitionKey,
    batch_rows: int,
    stage: str,
    progress: Progress,
    codes: Codes | None = None,
) -> Iterator[DeltaBatch]:
    """The `raw_deltas` of a partition as batches of whole messages.

    Args:
        store: has the partition.
        key: which one.
        batch_rows: rows decoded at a time.
        stage: what `progress` calls it.
        progress: told the rows read so far.
        codes: what decimals are turned into; None for a partition of pips.

    Raises:
        PartitionMissingError: it has not been published.
        PartitionCorruptError: it cannot be read.
    """
    with store.parquet("raw_deltas", key) as file:
        total = file.metadata.num_rows

        def decoded() -> Iterator[DeltaBatch]:
            done = 0
            for record in record_batches(file, batch_rows):
                yield DeltaBatch.from_arrow(record, codes)
                done += record.num_rows
                progress(stage, done, total)

        yield from whole_messages(decoded())


def record_batches(
    file: pq.ParquetFile, batch_rows: int, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Decode a Parquet file row group by row group.

    One iterator over a whole file would keep every compressed page read so far; one per row group lets go of them, so
    that memory does not grow with the file.
    """
    for group in range(file.num_row_groups):
        yield from file.iter_batches(
            batch_size=batch_rows, row_groups=[group], columns=columns, use_threads=False
        )
