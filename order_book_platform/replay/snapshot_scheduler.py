"""The snapshots of a day as a plan: chosen as they come, handed out as they fall due, remembered by what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.snapshot_defect import SnapshotDefect
from order_book_platform.replay.flag_timeline import NEVER, Recoveries
from order_book_platform.replay.snapshot_selection import snapshot_defects


class DueSnapshots(NamedTuple):
    """What the plan of a book has next.

    Attributes:
        used: snapshots that shape it.
        forced: bool[m]: which of these repair without being asked.
        rejected: candidates that failed their quality gate; nothing is taken from them, and they are no evidence.
    """

    used: SnapshotBatch
    forced: BoolArray
    rejected: SnapshotBatch


class SnapshotSelector(Protocol):
    """Chooses by place and quality alone, piece by piece.

    Attributes:
        seen: snapshots so far.
        first: place of the first sound one; -1 before it, and where nothing depends on it.
    """

    seen: int
    first: int

    def rows(self, defects: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Positions of the chosen ones among the next snapshots."""


@dataclass(frozen=True, slots=True)
class ReplayPosition:
    """How far a day has been taken in.

    Attributes:
        deltas: rows of `raw_deltas` before it.
        snapshots: rows of `snapshots` before it.
        first_sound: place of the first sound snapshot; -1 before it.
        last_used: sequence number of the last snapshot of the plan so far.
    """

    deltas: int = 0
    snapshots: int = 0
    first_sound: int = -1
    last_used: int = NEVER

    @property
    def events(self) -> int:
        """Deltas and snapshots before it."""
        return self.deltas + self.snapshots

    def after(self, deltas: int) -> ReplayPosition:
        """The same place in the snapshots, so many deltas into the day."""
        return replace(self, deltas=deltas)


class SnapshotScheduler:
    """Hands out the snapshots that shape a book, in order, as the replay reaches them.

    Args:
        snapshots: of the day, ascending by sequence number, from `place` on. It is asked again after it had none, so
            that those of a tail can come when they are there.
        choice: of the strategy; brought to `place`.
        recover_from: sequence numbers from which on the next snapshot repairs.
        tick_pips: of the deltas.
        place: where the plan goes on.
    """

    def __init__(
        self,
        snapshots: Iterator[SnapshotBatch],
        choice: SnapshotSelector,
        recover_from: Int64Array,
        tick_pips: int,
        place: ReplayPosition = ReplayPosition(),
    ) -> None:
        choice.seen, choice.first = place.snapshots, place.first_sound
        self.place = place
        self._snapshots = snapshots
        self._choice = choice
        self._recoveries = Recoveries(recover_from, place.last_used)
        self._tick_pips = tick_pips
        self._ahead: SnapshotBatch | None = None

    def recover(self, recover_from: Int64Array) -> None:
        """Losses that were found as the messages came: the next snapshot at or after each repairs.

        Args:
            recover_from: int64[r], ascending; sequence numbers of messages that `until` has not been asked for.
        """
        self._recoveries.add(recover_from)

    @property
    def recover_from(self) -> Int64Array:
        """Recovery points that no snapshot has met so far; for who goes on from here."""
        return self._recoveries.open

    def until(self, sequence_number: int) -> DueSnapshots:
        """The next snapshots of the plan, up to a sequence number."""
        due: list[DueSnapshots] = []
        while (ahead := self._next()) is not None:
            count = int(np.searchsorted(ahead.sequence_number, sequence_number, "right"))
            due.append(self._chosen(ahead, count))
            if self._ahead is not None:
                break
        return _joined(due)

    def pieces(self, most: int) -> Iterator[DueSnapshots]:
        """All snapshots of the plan that are left, at most so many of the day at a time."""
        while (ahead := self._next()) is not None:
            yield self._chosen(ahead, min(len(ahead), most - self.place.snapshots % most))

    def _next(self) -> SnapshotBatch | None:
        """The snapshots that are read and not handed out; None at the end of the day."""
        while self._ahead is None or not len(self._ahead):
            self._ahead = next(self._snapshots, None)
            if self._ahead is None:
                return None
        return self._ahead

    def _chosen(self, ahead: SnapshotBatch, count: int) -> DueSnapshots:
        """Of the next `count` snapshots the chosen ones; the others stay ahead."""
        batch = ahead.take(slice(0, count))
        self._ahead = ahead.take(slice(count, None)) if count < len(ahead) else None
        defects = snapshot_defects(batch, self._tick_pips)
        rows = self._choice.rows(defects)
        sound = defects[rows] == SnapshotDefect.NONE
        used, rejected = batch.take(rows[sound]), batch.take(rows[~sound])
        self.place = replace(
            self.place,
            snapshots=self._choice.seen,
            first_sound=self._choice.first,
            last_used=int(used.sequence_number[-1]) if len(used) else self.place.last_used,
        )
        return DueSnapshots(used, self._recoveries.forced(used.sequence_number), rejected)


def _joined(due: list[DueSnapshots]) -> DueSnapshots:
    if len(due) == 1:
        return due[0]
    if not due:
        return DueSnapshots(SnapshotBatch.nothing(), np.empty(0, np.bool_), SnapshotBatch.nothing())
    used, forced, rejected = zip(*due, strict=True)
    return DueSnapshots(SnapshotBatch.concat(used), np.concatenate(forced), SnapshotBatch.concat(rejected))
