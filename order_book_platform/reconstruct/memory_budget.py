"""How much memory a reconstruction uses at a time for all that waits or is worked on, derived from one limit.

docs/memory.md adds it up.
"""

from __future__ import annotations

from dataclasses import dataclass

from order_book_platform.settings import Settings
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
"""Bytes that may wait in the spill; beyond it the stages before it wait. The disk may hold `spill.LOG_BYTES` more."""
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
