"""The stream of one day: deltas of a published partition in, parts of the books out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, PublishedDeltas
from order_book_platform.model.arrays import Int64Array
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import DayReplay, SavedReplay
from order_book_platform.reconstruct.day.resumption import Resumption
from order_book_platform.replay.strategy import ReplayStep, StepCutter
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore
from order_book_platform.storage.parquet_rows import RowGroup
from order_book_platform.streaming import MemoryGuard


@dataclass(frozen=True, slots=True)
class PartEnd:
    """A part of the published rows ends here.

    Attributes:
        saved: where the replay stands, if a checkpoint is due.
    """

    saved: SavedReplay | None

    @property
    def nbytes(self) -> int:
        """Bytes of what waits to be saved."""
        return self.saved.nbytes if self.saved else 0


class DaySource:
    """Row groups of a day's deltas; see `stream.Source`.

    Args:
        store: has them.
        replay: says where to begin, and what decimals are replayed as.
        cutter: says whether deltas are wanted at all.
    """

    def __init__(self, store: DataStore, replay: DayReplay, cutter: StepCutter) -> None:
        self._deltas = PublishedDeltas(store, replay.key, replay.encoding)
        self._replay = replay
        self._cutter = cutter

    def read(self) -> Iterator[RowGroup]:
        """See `stream.Source`."""
        if not self._cutter.ended():
            yield from self._deltas.row_groups(self._replay.planner.place.deltas)

    def decode(self, item: RowGroup, rows: int) -> Iterator[DeltaBatch]:
        """See `stream.Source`."""
        return self._deltas.decode(item, rows)


class DayRows:
    """Rows into the parts of a partition, with checkpoints where parts end; see `stream.RowPlace`."""

    def __init__(self, replay: DayReplay, parts: BookWriter, resumption: Resumption) -> None:
        self._replay = replay
        self._parts = parts
        self._resumption = resumption

    def table(self, rows: Int64Array) -> pa.Table:
        """See `stream.RowPlace`."""
        return self._parts.table(rows)

    def after(self, step: ReplayStep) -> Iterator[PartEnd]:
        """See `stream.RowPlace`."""
        if step.ends_part:
            due = self._resumption.due(step.place)
            yield PartEnd(self._replay.saved(step.place, self._parts.shown_sizes) if due else None)

    def last(self) -> Iterator[PartEnd]:
        """See `stream.RowPlace`: the last part is ended by who publishes it."""
        return iter(())

    def write(self, item: pa.Table | PartEnd) -> None:
        """See `stream.RowPlace`."""
        if isinstance(item, pa.Table):
            self._parts.write(item)
        else:
            self._parts.end()
            if item.saved is not None:
                self._resumption.save(item.saved, self._parts)


def day_stream(
    store: DataStore,
    settings: Settings,
    replay: DayReplay,
    parts: BookWriter,
    resumption: Resumption,
    memory: MemoryGuard,
) -> BookStream:
    """Stages from where the replay stands to the end of its day.

    Args:
        store: has the inputs.
        settings: `sources` and `streaming`.
        replay: sets up the book.
        parts: takes the rows.
        resumption: takes checkpoints.
        memory: watches over the process.
    """
    cutter = replay.strategy.cutter(replay.planner)
    source, rows = DaySource(store, replay, cutter), DayRows(replay, parts, resumption)
    return BookStream(source, cutter, replay, rows, settings, memory)
