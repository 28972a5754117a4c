"""Where a stream of deltas puts what memory has no room for."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from order_book_platform.model import DeltaBatch
from order_book_platform.model.schemas import RAW_DELTAS
from order_book_platform.reconstruct.bounds import SPILL_BYTES
from order_book_platform.storage import LogReader, LogWriter


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
