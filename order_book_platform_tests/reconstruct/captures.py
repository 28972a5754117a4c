"""Published days turned into the logs of a live capture, and followed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA, SnapshotBatch
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.storage import LogWriter
from order_book_platform_tests.chain import Chain


class Capture:
    """The two logs of a capture, written as the contract has it.

    Args:
        folder: of both.
        symbol: of the schema's metadata.
        point: fixed point of the schema's metadata.
        segment_bytes: of both logs.
        row_group_rows: of both logs.
    """

    def __init__(
        self,
        folder: Path,
        symbol: str,
        point: FixedPoint,
        segment_bytes: int = 100_000_000,
        row_group_rows: int = 65_536,
    ) -> None:
        metadata = {"symbol": symbol, **{name: str(value) for name, value in point.to_metadata().items()}}
        self.folder = folder
        self.deltas, self.snapshots = (
            LogWriter(
                folder / name,
                schema.with_metadata(metadata),
                segment_bytes=segment_bytes,
                row_group_rows=row_group_rows,
            )
            for name, schema in (("raw_deltas", RAW_DELTAS_SCHEMA), ("snapshots", SNAPSHOTS_SCHEMA))
        )

    def append(self, item: DeltaBatch | SnapshotBatch) -> None:
        """Append what arrived next."""
        writer = self.deltas if isinstance(item, DeltaBatch) else self.snapshots
        for batch in item.to_arrow().combine_chunks().to_batches():
            writer.append(batch, whole=True)

    def sync(self) -> None:
        """Both logs."""
        self.snapshots.sync()
        self.deltas.sync()

    def close(self, seal: bool = False) -> None:
        """Both logs."""
        self.snapshots.close(seal=seal)
        self.deltas.close(seal=seal)


def arrivals(
    deltas: DeltaBatch, snapshots: SnapshotBatch, frame_rows: int
) -> Iterator[DeltaBatch | SnapshotBatch]:
    """A day in the order of its arrival: frames of whole messages, each snapshot before what did not arrive earlier.

    Args:
        deltas: of the day.
        snapshots: of the day, in order of arrival.
        frame_rows: of a frame at least, as far as messages go; 0 for one message each.
    """
    sequence = deltas.sequence_number
    starts = np.flatnonzero(np.diff(sequence, prepend=sequence[0] - 1))
    clock = np.maximum.accumulate(deltas.received_time)
    shot_clock = np.maximum.accumulate(snapshots.received_time)
    done, at = 0, 0
    while at < len(deltas):
        later = starts[np.searchsorted(starts, at + max(frame_rows, 1)) :]
        stop = int(later[0]) if len(later) else len(deltas)
        count = int(np.searchsorted(shot_clock, clock[stop - 1], "right"))
        if count > done:
            yield snapshots.take(slice(done, count))
            done = count
        yield deltas.slice(at, stop)
        at = stop


def inputs(chain: Chain, key: PartitionKey) -> tuple[DeltaBatch, SnapshotBatch, FixedPoint]:
    """Both inputs of a published day."""
    return (
        DeltaBatch.from_arrow(chain.store.table("raw_deltas", key)),
        SnapshotBatch.from_arrow(chain.store.table("snapshots", key)),
        chain.store.manifest("raw_deltas", key).fixed_point,
    )


def captured(
    folder: Path, chain: Chain, key: PartitionKey, frame_rows: int = 500, sync_every: int = 5
) -> Path:
    """A day as a capture would have left it."""
    deltas, snapshots, point = inputs(chain, key)
    return write_capture(
        folder, key.instrument.key, point, arrivals(deltas, snapshots, frame_rows), sync_every
    )


def write_capture(
    folder: Path,
    symbol: str,
    point: FixedPoint,
    items: Iterator[DeltaBatch | SnapshotBatch],
    sync_every: int = 5,
) -> Path:
    """Append everything, with a sync after every so many frames."""
    capture = Capture(folder, symbol, point)
    for number, item in enumerate(items, 1):
        capture.append(item)
        if number % sync_every == 0:
            capture.sync()
    capture.close()
    return folder


def with_ids(deltas: DeltaBatch, name: str, lost: set[int]) -> DeltaBatch:
    """The messages as an exchange numbers them, without some of them.

    Args:
        deltas: all messages.
        name: `prev_final_update_id` or `first_update_id`.
        lost: positions of messages that never come.
    """
    sequence = deltas.sequence_number
    message = np.cumsum(np.append(0, sequence[1:] != sequence[:-1]))
    numbers = np.unique(sequence)
    before = np.append(numbers[0] - 5, numbers[:-1])[message] + (name == "first_update_id")
    kept = ~np.isin(message, list(lost))
    whole = replace(deltas, **{name: before})
    return DeltaBatch(
        **{
            field: None if getattr(whole, field) is None else getattr(whole, field)[kept]
            for field in DeltaBatch.__dataclass_fields__
        }
    )


def shifted(snapshots: SnapshotBatch, deltas: DeltaBatch, rows: NDArray[np.intp], by: int) -> SnapshotBatch:
    """Snapshots of which some arrive with the message that comes so many after their own."""
    numbers, first = np.unique(deltas.sequence_number, return_index=True)
    clock = np.maximum.accumulate(deltas.received_time)[first]
    at = np.searchsorted(numbers, snapshots.sequence_number) + by
    received = snapshots.received_time.copy()
    received[rows] = clock[np.minimum(at, len(clock) - 1)][rows]
    return replace(snapshots, received_time=received)


def stop() -> bool:
    """For a capture that has ended: nothing more is waited for."""
    return False


def book_table(output: Path) -> pa.Table:
    """All rows of a log of books."""
    from order_book_platform.storage import LogReader

    return pa.Table.from_batches([rows.batch for rows in LogReader(output / "books").read()])
