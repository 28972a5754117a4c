"""The five stages of a reconstruction: read, decode, sequence, apply, write.

Each has a thread of its own and a bounded queue in front of it; what flows through is what a source reads, batches of
deltas, steps of the book, tables of rows. A day from files and the tail of a live capture go through the same stages:
they differ in the source, in how steps are cut, and in where rows are put. Nothing that comes out depends on queues or
batch sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, MessageAligner
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import Int64Array
from order_book_platform.observability import StreamMetrics
from order_book_platform.reconstruct.memory_budget import QUEUE_ITEMS, SPILL_BYTES, MemoryBudget
from order_book_platform.reconstruct.spill import LogSpill
from order_book_platform.replay.strategy import ReplayStep, StepCutter
from order_book_platform.settings import Settings
from order_book_platform.streaming import Bound, MemoryGuard, Pipeline, SpillPolicy, Stage


class Source(Protocol):
    """Where deltas come from."""

    def read(self) -> Iterator[Any]:
        """What lies in the file or the log, undecoded, from where the replay stands; see `streaming.Pipeline`."""

    def decode(self, item: Any, rows: int) -> Iterator[Any]:
        """What was read as batches of deltas, at most so many rows each."""


class Replay(Protocol):
    """What drives the book; used by the stage `apply` alone."""

    def apply(self, step: ReplayStep) -> Iterator[Int64Array]:
        """Take a step; the rows it gave, each piece valid until the next."""

    def last_rows(self) -> Iterator[Int64Array]:
        """Rows still due after the last step."""


class RowPlace(Protocol):
    """Where rows go. Tables are made by the stage `apply`, and written by the stage `write`."""

    def table(self, rows: Int64Array) -> pa.Table:
        """Rows int64[n, 6 + 4·depth], which are not kept, as something to write."""

    def after(self, step: ReplayStep) -> Iterator[Any]:
        """What else is to be written when the rows of a step have been."""

    def last(self) -> Iterator[Any]:
        """The same after the last step."""

    def write(self, item: Any) -> None:
        """Write a table, or what `after` gave."""


class BookStream:
    """Stages of one reconstruction, from where the replay stands to the end of its source.

    Args:
        source: of the deltas.
        cutter: cuts them into steps.
        replay: drives the book.
        rows: takes the rows.
        settings: `sources`, `streaming` and `reconstruct.depth`.
        memory: watches over the process.
        queue_items: that a queue holds at most.
    """

    def __init__(
        self,
        source: Source,
        cutter: StepCutter,
        replay: Replay,
        rows: RowPlace,
        settings: Settings,
        memory: MemoryGuard,
        queue_items: int = QUEUE_ITEMS,
    ) -> None:
        self._source = source
        self._cutter = cutter
        self._bounds = MemoryBudget.of(settings)
        self._replay = replay
        self._rows = rows
        self._settings = settings
        self._memory = memory
        self._queue_items = queue_items
        self._messages = MessageAligner()

    def pipeline(
        self, observe: Callable[[StreamMetrics], None] | None, spill: LogSpill | None = None
    ) -> Pipeline:
        """Ready to run, once.

        Args:
            observe: see `Pipeline`.
            spill: where batches go while memory is short; without it their source waits.
        """
        bound = Bound(self._queue_items, self._bounds.queue.bytes)
        spilling = None if spill is None else SpillPolicy(spill, self._bounds.kept, SPILL_BYTES)
        return Pipeline(
            self._source.read(),
            (
                Stage("decode", self._decode, inbox=bound),
                Stage("sequence", self._sequence, self._sequence_rest, inbox=bound, spilling=spilling),
                Stage("apply", self._apply, self._apply_rest, inbox=bound),
                Stage("write", self._write, inbox=bound),
            ),
            size_of=size_of,
            rows_of=_rows_of,
            memory=self._memory,
            observe=observe,
            stall_after_ns=self._settings.streaming.stall_after,
        )

    def _decode(self, item: Any) -> Iterator[Any]:
        yield from self._source.decode(item, self._bounds.rows(self._memory.batch_share))

    def _sequence(self, batch: Any) -> Iterator[ReplayStep]:
        for whole in self._messages.take(batch):
            yield from self._cutter.take(whole)

    def _messages_end(self) -> Iterator[ReplayStep]:
        """The message that was held back is complete."""
        for whole in self._messages.finish():
            yield from self._cutter.take(whole)

    def _sequence_rest(self) -> Iterator[ReplayStep]:
        yield from self._messages_end()
        yield from self._cutter.finish()

    def _apply(self, step: ReplayStep) -> Iterator[Any]:
        for rows in self._replay.apply(step):
            yield self._rows.table(rows)
        yield from self._rows.after(step)

    def _apply_rest(self) -> Iterator[Any]:
        for rows in self._replay.last_rows():
            yield self._rows.table(rows)
        yield from self._rows.last()

    def _write(self, item: Any) -> Iterator[None]:
        self._rows.write(item)
        yield None


def size_of(item: Any) -> int:
    """Bytes of an item between two stages, with all that it keeps in memory."""
    if isinstance(item, ReplayStep):
        waiting = item.tail.arrived.nbytes if item.tail else 0
        return (item.deltas.nbytes if item.deltas else 0) + item.due.used.nbytes + waiting
    return int(getattr(item, "nbytes", 0))


def _rows_of(item: Any) -> int:
    match item:
        case DeltaBatch() | SnapshotBatch():
            return len(item)
        case ReplayStep():
            return len(item.deltas) if item.deltas else len(item.due.used)
        case pa.Table():
            return int(item.num_rows)
    return int(getattr(item, "rows", 0))
