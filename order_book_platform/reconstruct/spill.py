"""Batches of deltas on disk, while memory is too short for them."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.reconstruct.memory_budget import QUEUE_BYTES
from order_book_platform.storage import LogReader, LogWriter

LOG_BYTES = 256 * 1024 * 1024
"""Bytes of batches in one log of the spill, as they measure in memory."""


class LogSpill:
    """A queue of batches in logs; what `streaming.Spill` asks for.

    A log ends at `LOG_BYTES` and is removed when nothing is left in it, so that the disk holds at most that much more
    than waits.

    Args:
        folder: Folder of the logs; removed whenever nothing waits.
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
                self.remove()
        return found

    def remove(self) -> None:
        """Close and remove all logs; nothing in them is worth a sync."""
        while self._logs:
            self._logs.popleft().remove()
        shutil.rmtree(self._folder, ignore_errors=True)


class _SpillLog:
    """One log of a spill.

    Attributes:
        waiting: Rows of each batch that has been put and not taken.
        written_bytes: Bytes of all batches that were put, as they measure in memory.
    """

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


@contextmanager
def spill_in(folder: Path) -> Iterator[LogSpill]:
    """Give a spill that begins without what an earlier one left, and is removed when the block ends."""
    spill = LogSpill(folder)
    spill.remove()
    try:
        yield spill
    finally:
        spill.remove()
