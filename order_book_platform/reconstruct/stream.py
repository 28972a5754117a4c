"""The five stages of a reconstruction: read, decode, sequence, apply, write.

Each has a thread of its own and a bounded queue in front of it; what flows through is row groups as they lie in the
file, batches of deltas, steps of the book, tables of rows. Nothing that comes out depends on queues or batch sizes.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from order_book_platform.model import DeltaBatch
from order_book_platform.model.batches import MessageCutter
from order_book_platform.model.schemas import RAW_DELTAS
from order_book_platform.reconstruct.bounds import SPILL_BYTES, StreamBounds
from order_book_platform.reconstruct.parts import BookParts
from order_book_platform.reconstruct.replayer import Replayer, SavedReplay
from order_book_platform.reconstruct.resume import Resumption
from order_book_platform.reconstruct.strategy import Step
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, LogReader, LogWriter
from order_book_platform.storage.parquet_rows import Piece
from order_book_platform.streaming import MemoryGuard, Pipeline, Spilling, Stage, StreamMetrics


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


class BookStream:
    """Stages of one reconstruction, from where the replay stands to the end of the day.

    Args:
        store: has the inputs.
        settings: `sources`, `streaming` and `reconstruct.depth`.
        replay: sets up the book; driven by the stage `apply` alone.
        parts: takes the rows.
        resumption: takes checkpoints.
        memory: watches over the process.
    """

    def __init__(
        self,
        store: DataStore,
        settings: Settings,
        replay: Replayer,
        parts: BookParts,
        resumption: Resumption,
        memory: MemoryGuard,
    ) -> None:
        self._settings = settings
        self._bounds = StreamBounds.of(settings)
        self._replay = replay
        self._parts = parts
        self._resumption = resumption
        self._memory = memory
        self._deltas = store.rows("raw_deltas", replay.key)
        self.total = self._deltas.num_rows
        """Deltas of the day."""
        self._cutter = replay.strategy.cutter(replay.planner)
        self._messages = MessageCutter()

    def pipeline(self, spill: LogSpill, observe: Callable[[StreamMetrics], None]) -> Pipeline:
        """Ready to run, once."""
        bound = self._bounds.queue
        spilling = Spilling(spill, self._bounds.kept, SPILL_BYTES)
        return Pipeline(
            self._read(),
            (
                Stage("decode", self._decode, inbox=bound),
                Stage("sequence", self._sequence, self._sequence_rest, inbox=bound, spilling=spilling),
                Stage("apply", self._apply, self._last_rows, inbox=bound),
                Stage("write", self._write, inbox=bound),
            ),
            size_of=_size_of,
            rows_of=_rows_of,
            memory=self._memory,
            observe=observe,
            stall_after_ns=self._settings.streaming.stall_after,
        )

    def _read(self) -> Iterator[Piece]:
        if not self._cutter.ended():
            yield from self._deltas.pieces(self._replay.planner.place.deltas)

    def _decode(self, piece: Piece) -> Iterator[DeltaBatch]:
        rows = self._bounds.rows(self._memory.batch_share)
        for record in piece.batches(rows):
            yield DeltaBatch.from_arrow(record, self._replay.codes)

    def _sequence(self, batch: DeltaBatch) -> Iterator[Step]:
        for whole in self._messages.take(batch):
            yield from self._cutter.take(whole)

    def _sequence_rest(self) -> Iterator[Step]:
        for whole in self._messages.finish():
            yield from self._cutter.take(whole)
        yield from self._cutter.finish()

    def _apply(self, step: Step) -> Iterator[pa.Table | PartEnd]:
        for rows in self._replay.apply(step):
            yield self._parts.table(rows)
        if step.ends_part:
            due = self._resumption.due(step.place)
            yield PartEnd(self._replay.saved(step.place, self._parts.numbers.shown) if due else None)

    def _last_rows(self) -> Iterator[pa.Table]:
        for rows in self._replay.last_rows():
            yield self._parts.table(rows)

    def _write(self, item: pa.Table | PartEnd) -> Iterator[None]:
        if isinstance(item, pa.Table):
            self._parts.write(item)
        else:
            self._parts.end()
            if item.saved is not None:
                self._resumption.save(item.saved, self._parts)
        yield None


class LogSpill:
    """Batches of deltas that memory has no room for, in a log; see `streaming.Spill`.

    Args:
        folder: for the log, which is removed whenever nothing is left in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: LogWriter | None = None
        self._frames: Iterator[pa.RecordBatch] = iter(())
        self._waiting: deque[int] = deque()

    def put(self, item: DeltaBatch) -> None:
        """See `streaming.Spill`."""
        (batch,) = item.to_arrow().combine_chunks().to_batches()
        if self._writer is None:
            self._writer = LogWriter.open(self._folder, RAW_DELTAS, segment_bytes=2 * SPILL_BYTES)
            follow = LogReader(self._folder).follow(0, lambda: True)
            self._frames = (each.batch for each in follow)
        self._writer.append(batch)
        self._waiting.append(batch.num_rows)

    def take(self) -> DeltaBatch:
        """See `streaming.Spill`."""
        rows, frames = self._waiting.popleft(), []
        while rows:
            frames.append(next(self._frames))
            rows -= frames[-1].num_rows
        found = DeltaBatch.from_arrow(pa.Table.from_batches(frames).combine_chunks())
        if not self._waiting:
            self.remove()
        return found

    def remove(self) -> None:
        """Let go of the log and remove it; nothing of it is worth a sync."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def spill_in(folder: Path) -> Iterator[LogSpill]:
    """A spill that is gone when the block ends, and that finds nothing of an earlier one."""
    spill = LogSpill(folder)
    spill.remove()
    try:
        yield spill
    finally:
        spill.remove()


def _size_of(item: Any) -> int:
    match item:
        case Piece():
            return len(item.content)
        case DeltaBatch():
            return item.nbytes
        case Step():
            return (item.deltas.nbytes if item.deltas else 0) + item.due.used.nbytes
        case pa.Table() | PartEnd():
            return int(item.nbytes)
    return 0


def _rows_of(item: Any) -> int:
    match item:
        case Piece():
            return item.rows
        case DeltaBatch():
            return len(item)
        case Step():
            return len(item.deltas) if item.deltas else len(item.due.used)
        case pa.Table():
            return int(item.num_rows)
    return 0
