"""Where a stream of deltas puts what memory has no room for."""

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
"""Of batches in one log of the spill, as they measure in memory."""


class LogSpill:
    """Batches of deltas that memory has no room for, in logs; see `streaming.Spill`.

    A log ends at `LOG_BYTES` and is removed when nothing is left in it: what lies on the disk is at most that much more
    than what waits.

    Args:
        folder: for the logs; removed whenever nothing waits.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: deque[_Log] = deque()
        self._begun = 0

    def put(self, item: DeltaBatch) -> None:
        """See `streaming.Spill`."""
        if not self._logs or self._logs[-1].written_bytes >= LOG_BYTES:
            self._logs.append(_Log(self._folder / str(self._begun)))
            self._begun += 1
        self._logs[-1].put(item)

    def take(self) -> DeltaBatch:
        """See `streaming.Spill`."""
        found = self._logs[0].take()
        if not self._logs[0].waiting:
            self._logs.popleft().remove()
            if not self._logs:
                self.remove()
        return found

    def remove(self) -> None:
        """Let go of the logs and remove them; nothing of it is worth a sync."""
        while self._logs:
            self._logs.popleft().remove()
        shutil.rmtree(self._folder, ignore_errors=True)


class _Log:
    """One log of a spill.

    Attributes:
        waiting: rows of each batch that has been put and not taken.
        written_bytes: of all that were put.
    """

    def __init__(self, folder: Path) -> None:
        self.waiting: deque[int] = deque()
        self.written_bytes = 0
        self._folder = folder
        # It never becomes a segment of the other form: that would be a long step with the queue's lock held.
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
    """A spill that is gone when the block ends, and that finds nothing of an earlier one."""
    spill = LogSpill(folder)
    spill.remove()
    try:
        yield spill
    finally:
        spill.remove()
