"""The stages of one day: deltas of a published partition in, parts of the books out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.model.arrays import Int64Array
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.checkpoint_format import SavedReplay
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_checkpoints import DayCheckpoints
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.replay.replay_steps import ReplayStep, ReplaySteps
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore
from order_book_platform.storage.parquet_rows import RowGroup
from order_book_platform.streaming import MemoryGuard


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The end of a part of the published rows.

    Attributes:
        saved: State of the replay at it, if a checkpoint is due.
    """

    saved: SavedReplay | None

    @property
    def nbytes(self) -> int:
        """Bytes of the state that waits to be saved."""
        return self.saved.nbytes if self.saved else 0


class DaySource:
    """Reads the row groups of a day's deltas.

    Args:
        store: Has them.
        replay: Says where to begin, and how prices and sizes are encoded.
        steps: Says whether deltas are wanted at all.
    """

    def __init__(self, store: DataStore, replay: DayReplay, steps: ReplaySteps) -> None:
        self._deltas = PublishedDeltas(store, replay.key, replay.encoding)
        self._from_row = replay.scheduler.position.deltas
        self._steps = steps

    def read(self) -> Iterator[RowGroup]:
        """Return the row groups from the replay's position on."""
        if not self._steps.ended():
            yield from self._deltas.row_groups(self._from_row)

    def decode(self, item: RowGroup, rows: int) -> Iterator[DeltaBatch]:
        """Decode a row group to batches of at most so many deltas."""
        return self._deltas.decode(item, rows)


class DayRows:
    """Puts rows into the parts of a partition, and saves checkpoints where parts end."""

    def __init__(self, replay: DayReplay, parts: BookWriter, checkpoints: DayCheckpoints) -> None:
        self._replay = replay
        self._parts = parts
        self._checkpoints = checkpoints

    def table(self, rows: Int64Array) -> pa.Table:
        """Make a table of rows int64[n, 6 + 4·depth]."""
        return self._parts.table(rows)

    def after(self, step: ReplayStep) -> Iterator[PartEnd]:
        """Return the end of a part if one ends with the step, with the replay's state if a checkpoint is due."""
        if step.ends_part:
            due = self._checkpoints.due(step.position)
            shown_sizes = self._parts.tables.shown_sizes
            yield PartEnd(self._replay.saved(step.position, shown_sizes) if due else None)

    def last(self) -> Iterator[PartEnd]:
        """Return nothing: the last part is ended by the caller that publishes it."""
        return iter(())

    def write(self, item: pa.Table | PartEnd) -> None:
        """Write rows, or end a part and save the checkpoint that is due."""
        if isinstance(item, pa.Table):
            self._parts.write(item)
        else:
            self._parts.end_part()
            if item.saved is not None:
                self._checkpoints.save(item.saved, self._parts)


def day_stream(
    store: DataStore,
    settings: Settings,
    replay: DayReplay,
    parts: BookWriter,
    checkpoints: DayCheckpoints,
    memory: MemoryGuard,
) -> BookStream:
    """Return the stages from the replay's position to the end of its day.

    Args:
        store: Has the inputs.
        settings: `sources`, `streaming` and `reconstruct.depth`.
        replay: Drives the book.
        parts: Takes the rows.
        checkpoints: Takes checkpoints.
        memory: Watches the memory of the process.
    """
    steps = replay.strategy.steps(replay.scheduler)
    source, sink = DaySource(store, replay, steps), DayRows(replay, parts, checkpoints)
    return BookStream(source, steps, replay, sink, settings, memory)
