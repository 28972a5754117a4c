"""The five stages of a reconstruction: read, decode, sequence, apply, write.

Each stage has a thread of its own and a bounded queue in front of it. What flows through are pieces of a file or log,
batches of deltas, replay steps, and tables of rows. A day and a live capture go through the same stages: they differ in
the source, in how the deltas are divided into steps, and in where rows are put. The result does not depend on queues or
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
from order_book_platform.replay.replay_steps import ReplayStep, ReplaySteps
from order_book_platform.settings import Settings
from order_book_platform.streaming import Bound, MemoryGuard, Pipeline, SpillPolicy, Stage


class DeltaSource(Protocol):
    """Source of deltas for the stages."""

    def read(self) -> Iterator[Any]:
        """Return undecoded pieces of the file or log, from the replay's position on; see `streaming.Pipeline`."""

    def decode(self, item: Any, rows: int) -> Iterator[Any]:
        """Decode a piece to batches of deltas with at most so many rows each."""


class BookReplay(Protocol):
    """Drives the book; only the stage `apply` calls it."""

    def apply(self, step: ReplayStep) -> Iterator[Int64Array]:
        """Apply a step and return its rows, each piece valid until the next."""

    def last_rows(self) -> Iterator[Int64Array]:
        """Return the rows still due after the last step."""


class RowSink(Protocol):
    """Takes the rows. The stage `apply` makes tables and other items of them, the stage `write` writes these."""

    def table(self, rows: Int64Array) -> pa.Table:
        """Make a table of rows int64[n, 6 + 4·depth], which are not kept."""

    def after(self, step: ReplayStep) -> Iterator[Any]:
        """Return what else is to be written behind the rows of a step."""

    def last(self) -> Iterator[Any]:
        """Return what else is to be written behind the last step."""

    def write(self, item: Any) -> None:
        """Write a table, or another item."""


class BookStream:
    """The stages of one reconstruction, from the replay's position to the end of its source.

    Args:
        source: Reads the deltas.
        steps: Divides them into replay steps.
        replay: Drives the book.
        sink: Takes the rows.
        settings: `sources`, `streaming` and `reconstruct.depth`.
        memory: Watches the memory of the process.
        queue_items: Items that a queue holds at most.
    """

    def __init__(
        self,
        source: DeltaSource,
        steps: ReplaySteps,
        replay: BookReplay,
        sink: RowSink,
        settings: Settings,
        memory: MemoryGuard,
        queue_items: int = QUEUE_ITEMS,
    ) -> None:
        self._source = source
        self._steps = steps
        self._budget = MemoryBudget.of(settings)
        self._replay = replay
        self._sink = sink
        self._stall_after_ns = settings.streaming.stall_after
        self._memory = memory
        self._queue_items = queue_items
        self._messages = MessageAligner()

    def pipeline(
        self, observe: Callable[[StreamMetrics], None] | None, spill: LogSpill | None = None
    ) -> Pipeline:
        """Return the stages, ready to run once.

        Args:
            observe: Called with the metrics of the stages; see `Pipeline`.
            spill: Takes batches while memory is short; without it the source waits.
        """
        bound = Bound(self._queue_items, self._budget.queue.bytes)
        spilling = None if spill is None else SpillPolicy(spill, self._budget.kept, SPILL_BYTES)
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
            stall_after_ns=self._stall_after_ns,
        )

    def _decode(self, item: Any) -> Iterator[Any]:
        yield from self._source.decode(item, self._budget.rows(self._memory.batch_share))

    def _sequence(self, batch: Any) -> Iterator[Any]:
        for whole in self._messages.take(batch):
            yield from self._steps.take(whole)

    def _complete_message(self) -> Iterator[ReplayStep]:
        """Return the steps of the message that was held back, now that it is known to be complete."""
        for whole in self._messages.finish():
            yield from self._steps.take(whole)

    def _sequence_rest(self) -> Iterator[ReplayStep]:
        yield from self._complete_message()
        yield from self._steps.finish()

    def _apply(self, step: Any) -> Iterator[Any]:
        for rows in self._replay.apply(step):
            yield self._sink.table(rows)
        yield from self._sink.after(step)

    def _apply_rest(self) -> Iterator[Any]:
        for rows in self._replay.last_rows():
            yield self._sink.table(rows)
        yield from self._sink.last()

    def _write(self, item: Any) -> Iterator[None]:
        self._sink.write(item)
        yield None


def size_of(item: Any) -> int:
    """Return the bytes of an item between two stages, with all that it keeps in memory."""
    if isinstance(item, ReplayStep):
        waiting = item.live.inbox.nbytes if item.live else 0
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
