"""How much disk space the books of a day take: estimated from their inputs, then from what is written."""

from __future__ import annotations

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import ReconstructSettings
from order_book_platform.storage import DataStore, PartitionWriter

BYTES_PER_DELTA_LEVEL = 0.2
"""Bytes a delta takes for each visible level a side, and once more for the times, number and flags of a row. Recorded
days of three markets took 2.0 to 5.1 bytes a delta with 20 levels, 0.7 to 1.5 with 5, 0.4 to 0.7 with one; a row after
every message took up to 15 % more."""
BYTES_PER_ROW_LEVEL = 10
"""The same for a row of a 100 ms grid: 136 to 230 bytes with 20 levels, on the same days."""


class BooksSizeEstimate:
    """Tells a partition's writer how far the books are, so that it knows how much space the rest takes.

    Args:
        writer: Is told.
        parts: Counts the rows that are made and written.
        deltas: Deltas of the day, or None if its books are made of snapshots alone: then progress is not known.
    """

    def __init__(self, writer: PartitionWriter, parts: BookWriter, deltas: int | None) -> None:
        self._writer = writer
        self._parts = parts
        self._deltas = deltas

    def applied(self, deltas: int) -> None:
        """Take note that so many deltas of the day have been applied; their rows may still wait to be written."""
        if self._deltas is not None:
            share = self._parts.rows / self._parts.table_rows if self._parts.table_rows else 0.0
            self._writer.progressed(round(deltas * share), self._deltas)


def bytes_of_books(
    store: DataStore, key: PartitionKey, wanted: ReconstructSettings, strategy_name: str
) -> int:
    """Estimate the bytes of a day's books from its inputs."""
    if strategy_name != FullEventReplay.name:
        return BYTES_PER_ROW_LEVEL * (wanted.depth + 1) * store.rows("snapshots", key).num_rows
    messages = store.manifest("raw_deltas", key).metadata["audit"]["messages"]
    return bytes_of_deltas(wanted, store.rows("raw_deltas", key).num_rows, messages)


def bytes_of_deltas(wanted: ReconstructSettings, deltas: int, messages: int) -> int:
    """Estimate the bytes of the rows that so many deltas in so many messages give, with depth and cadence as wanted."""
    rows = NS_PER_DAY // wanted.grid if wanted.cadence == "grid" else messages
    parts = wanted.depth + 1
    return min(round(BYTES_PER_DELTA_LEVEL * parts * deltas), BYTES_PER_ROW_LEVEL * parts * rows)
