"""How much of a disk the books of a day take: estimated from their inputs, then from what is written."""

from __future__ import annotations

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.replay.strategy import FullEventReplay
from order_book_platform.settings import ReconstructSettings
from order_book_platform.storage import DataStore, PartitionWriter

BYTES_PER_DELTA_LEVEL = 0.2
"""Of a visible level a side, and once more for the times, number and flags of a row: recorded days of three markets
took 2.0 to 5.1 bytes a delta with 20 levels, 0.7 to 1.5 with 5, 0.4 to 0.7 with one; a row after every message took up
to 15 % more."""
BYTES_PER_ROW_LEVEL = 10
"""Of a row each 100 ms: 136 to 230 bytes with 20 levels, on the same days."""


class BooksSizeEstimate:
    """Tells a writer how far the books are, so that it knows what the rest takes.

    Args:
        store: has the inputs.
        wanted: depth and cadence.
        replay: where it begins or goes on.
        parts: with those that an earlier run finished.
        writer: is told.
    """

    def __init__(
        self,
        store: DataStore,
        wanted: ReconstructSettings,
        replay: DayReplay,
        parts: BookWriter,
        writer: PartitionWriter,
    ) -> None:
        self._parts = parts
        self._writer = writer
        self._deltas = store.rows("raw_deltas", replay.key).num_rows
        self._counts_deltas = isinstance(replay.strategy, FullEventReplay)
        if self._counts_deltas:
            messages = store.manifest("raw_deltas", replay.key).metadata["audit"]["messages"]
            writer.expected_bytes = bytes_of_deltas(wanted, self._deltas, messages)
        else:
            snapshots = store.rows("snapshots", replay.key).num_rows
            writer.expected_bytes = BYTES_PER_ROW_LEVEL * (wanted.depth + 1) * snapshots
        self.applied(replay.planner.place.deltas)

    def applied(self, deltas: int) -> None:
        """So many deltas of the day have been applied; their rows may still wait to be written."""
        if self._counts_deltas:
            share = self._parts.rows / self._parts.made if self._parts.made else 0.0
            self._writer.progressed(round(deltas * share), self._deltas)


def bytes_of_deltas(wanted: ReconstructSettings, deltas: int, messages: int) -> int:
    """What the rows of so many deltas in so many messages take, with depth and cadence as wanted."""
    rows = NS_PER_DAY // wanted.grid if wanted.cadence == "grid" else messages
    parts = wanted.depth + 1
    return min(round(BYTES_PER_DELTA_LEVEL * parts * deltas), BYTES_PER_ROW_LEVEL * parts * rows)
