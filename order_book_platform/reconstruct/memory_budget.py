"""How much memory a reconstruction uses at a time for all that waits or is worked on, derived from one limit.

docs/memory.md adds it up. Batches of deltas for which memory is too short are in the spill, on disk.
"""

from __future__ import annotations

import shutil
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.settings import Settings
from order_book_platform.storage import LogReader, LogWriter
from order_book_platform.streaming import Bound

QUEUE_ITEMS = 8
QUEUE_BYTES = 32 * 1024 * 1024
"""Bytes of each queue unless the limit demands less: twice as much was no faster, half as much took 10 % more time."""
LEAST_QUEUE_BYTES = 1024 * 1024
LIMIT_SHARE = 64
"""A queue has this part of the limit. At 400 MB half as much took 20 % more time, twice as much 20 MB more at once."""
QUEUE_SHARE = 4
"""A batch of deltas or rows takes this part of a queue, so that stages need not wait for each other."""
DELTA_BYTES = 64
"""Bytes of a delta in a batch that has every column there is."""
LEAST_BATCH_ROWS = 16_384
"""Scarce memory makes batches no smaller: each item costs 2 to 4 ms, whatever is in it, and 1 MB is not the problem."""
TABLE_ROWS = 16_384
SPILL_BYTES = 4 * 1024 * 1024 * 1024
"""Bytes that may wait in the spill; beyond it the stages before it wait. The disk may hold `LOG_BYTES` more."""
LOG_BYTES = 256 * 1024 * 1024
"""Bytes of batches in one log of the spill, as they measure in memory."""
GROUP_BYTES = 24 * 1024 * 1024
"""Bytes of a row group of the published rows before it is encoded. The limit does not change it: files would have other
bytes."""


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """Bounds of one reconstruction; none of them changes a byte of the result.

    Attributes:
        queue: Bound of every queue; one item is let through whatever its size.
        kept: The part of a queue that stays in memory while the queue spills.
        batch_rows: Deltas decoded at a time.
        table_rows: Rows that the book hands out at a time.
    """

    queue: Bound
    kept: Bound
    batch_rows: int
    table_rows: int

    @classmethod
    def of(cls, settings: Settings) -> MemoryBudget:
        """Divide `streaming.memory_limit`; `sources.batch_rows` and `reconstruct.depth` bound batches and tables."""
        share = settings.streaming.memory_limit // LIMIT_SHARE
        queue_bytes = max(LEAST_QUEUE_BYTES, min(QUEUE_BYTES, share))
        item_bytes = queue_bytes // QUEUE_SHARE
        return cls(
            Bound(QUEUE_ITEMS, queue_bytes),
            Bound(QUEUE_ITEMS, item_bytes),
            min(settings.sources.batch_rows, item_bytes // DELTA_BYTES),
            min(TABLE_ROWS, max(1, item_bytes // row_bytes(settings.reconstruct.depth))),
        )

    def rows(self, share: float) -> int:
        """Return the deltas decoded at a time while memory leaves this share of the usual batch."""
        return max(min(self.batch_rows, LEAST_BATCH_ROWS), int(self.batch_rows * share))


def row_bytes(depth: int, number_bytes: int = 8) -> int:
    """Return the bytes of a row of `depth` levels a side whose prices and sizes take `number_bytes` each."""
    return 6 * 8 + 4 * depth * number_bytes


def group_rows(depth: int, number_bytes: int = 8) -> int:
    """Return the rows of a row group of the published rows: the largest power of two within `GROUP_BYTES`."""
    return 1 << (GROUP_BYTES // row_bytes(depth, number_bytes)).bit_length() - 1


class LogSpill:
    """A queue of batches in logs in a folder, which is removed whenever nothing waits; see `streaming.Spill`.

    A log ends at `LOG_BYTES` and is removed when nothing is left in it, so that the disk holds at most that much more
    than waits.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: deque[_SpillLog] = deque()
        self._begun = 0

    def put(self, item: DeltaBatch) -> None:
        """Write a batch behind those that are there."""
        if not self._logs or self._logs[-1].written_bytes >= LOG_BYTES:
            self._logs.append(_SpillLog(self._folder / str(self._begun)))
            self._begun += 1
        self._logs[-1].put(item)

    def take(self) -> DeltaBatch:
        """Read and forget the batch that was put first."""
        found = self._logs[0].take()
        if not self._logs[0].waiting:
            self._logs.popleft().remove()
            if not self._logs:
                self.close()
        return found

    def close(self) -> None:
        """Close and remove all logs; nothing in them is worth a sync."""
        while self._logs:
            self._logs.popleft().remove()
        shutil.rmtree(self._folder, ignore_errors=True)


class _SpillLog:
    """One log of a spill; `waiting` has the rows of each batch that has been put and not taken."""

    def __init__(self, folder: Path) -> None:
        self.waiting: deque[int] = deque()
        self.written_bytes = 0
        self._folder = folder
        # Its segment is never sealed as Parquet: that would take long, with the queue's lock held.
        self._writer = LogWriter(folder, RAW_DELTAS_SCHEMA, segment_bytes=2 * (LOG_BYTES + QUEUE_BYTES))
        self._frames = (each.batch for each in LogReader(folder).follow(0, lambda: True))

    def put(self, item: DeltaBatch) -> None:
        (batch,) = item.to_arrow().combine_chunks().to_batches()
        self._writer.append(batch)
        self.waiting.append(batch.num_rows)
        self.written_bytes += item.nbytes

    def take(self) -> DeltaBatch:
        rows, frames = self.waiting.popleft(), []
        while rows:
            frames.append(next(self._frames))
            rows -= frames[-1].num_rows
        return DeltaBatch.from_arrow(pa.Table.from_batches(frames).combine_chunks())

    def remove(self) -> None:
        self._writer.discard()
        shutil.rmtree(self._folder, ignore_errors=True)
