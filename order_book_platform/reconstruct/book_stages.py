"""The five stages of a reconstruction: read, decode, sequence, apply, write.

Each stage has a thread of its own and a bounded queue in front of it. What flows through are pieces of a file or log,
batches of deltas, replay steps, and tables of rows. A day and a live capture go through the same stages: they differ in
the source, in how the deltas are divided into steps, and in where rows are put. The result does not depend on queues or
batch sizes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DeltaBatch, MessageAligner
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.observability import StreamMetrics
from order_book_platform.reconstruct.memory_budget import QUEUE_ITEMS, SPILL_BYTES, LogSpill, MemoryBudget
from order_book_platform.replay.book import Book
from order_book_platform.replay.replay_steps import ReplayStep, ReplaySteps
from order_book_platform.settings import Settings
from order_book_platform.streaming import Bound, MemoryGuard, Pipeline, SpillPolicy, Stage


def configured_book(settings: Settings, price_step: int, cadence: str | None = None) -> Book:
    """Return an empty book with depth, thresholds and, unless another is given, the cadence of the settings."""
    wanted = settings.reconstruct
    return Book(
        price_step,
        depth=wanted.depth,
        cadence=cadence or wanted.cadence,
        grid_ns=wanted.grid,
        crossed_after_ns=settings.gaps.crossed_after,
        warm_up_ns=wanted.warm_up,
        silence_ns=settings.gaps.silence,
        row_capacity=MemoryBudget.of(settings).table_rows,
    )


class BookStream(ABC):
    """The stages of one reconstruction, from the replay's position to the end of its source."""

    def __init__(
        self, steps: ReplaySteps, settings: Settings, memory: MemoryGuard, queue_items: int = QUEUE_ITEMS
    ) -> None:
        self._steps = steps
        self._budget = MemoryBudget.of(settings)
        self._stall_after_ns = settings.streaming.stall_after
        self._memory = memory
        self._queue_items = queue_items
        self._messages = MessageAligner()

    def pipeline(
        self, observe: Callable[[StreamMetrics], None] | None, spill: LogSpill | None = None
    ) -> Pipeline:
        """Return the stages, ready to run once; without a spill the source waits while memory is short."""
        bound = Bound(self._queue_items, self._budget.queue.bytes)
        spilling = None if spill is None else SpillPolicy(spill, self._budget.kept, SPILL_BYTES)
        return Pipeline(
            self._read(),
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

    @property
    def _batch_rows(self) -> int:
        """Most deltas of a batch, as memory allows at the moment."""
        return self._budget.rows(self._memory.batch_share)

    @abstractmethod
    def _read(self) -> Iterator[Any]:
        """Return undecoded pieces of the file or log, from the replay's position on; see `streaming.Pipeline`."""

    @abstractmethod
    def _decode(self, item: Any) -> Iterator[Any]:
        """Decode a piece to batches of at most `_batch_rows` deltas."""

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

    @abstractmethod
    def _apply(self, step: Any) -> Iterator[Any]:
        """Apply a step to the book; return tables of its rows, and what else is to be written behind them."""

    @abstractmethod
    def _apply_rest(self) -> Iterator[Any]:
        """Return what is to be written behind the last step."""

    @abstractmethod
    def _write(self, item: Any) -> Iterator[None]:
        """Write a table, or another item."""


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
