"""Schedules the snapshots of a day: selects them as they come, and hands them out as the replay reaches them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import BoolArray, Int64Array, UInt8Array
from order_book_platform.model.snapshot_defect import SnapshotDefect
from order_book_platform.replay.flag_timeline import BEFORE_ALL, RecoveryPoints
from order_book_platform.replay.snapshot_selection import snapshot_defects


class DueSnapshots(NamedTuple):
    """The scheduled snapshots that a replay reaches next.

    Attributes:
        used: Snapshots that seed, extend or repair the book.
        forced: bool[m]: which of them repair it whether or not it agrees with them.
        rejected: Candidates that failed their quality gate; nothing is taken from them, and they are no evidence.
    """

    used: SnapshotBatch
    forced: BoolArray
    rejected: SnapshotBatch


class SnapshotSelector(Protocol):
    """Selects the snapshots that shape a book by their place in the day and their quality alone, batch by batch.

    Attributes:
        seen: Number of snapshots so far.
        first_sound: Place of the first sound one; -1 before it, and where nothing depends on it.
    """

    seen: int
    first_sound: int

    def rows(self, defects: UInt8Array) -> NDArray[np.intp]:
        """Return the ascending positions of the selected ones among the next snapshots, given their defects."""


@dataclass(frozen=True, slots=True)
class ReplayPosition:
    """A position in the inputs of a replay.

    Attributes:
        deltas: Rows of `raw_deltas` before it.
        snapshots: Rows of `snapshots` before it.
        first_sound: Place of the first sound snapshot; -1 before it.
        last_used: Sequence number of the last snapshot that was scheduled before it.
    """

    deltas: int = 0
    snapshots: int = 0
    first_sound: int = -1
    last_used: int = BEFORE_ALL

    @property
    def events(self) -> int:
        """Number of deltas and snapshots before it."""
        return self.deltas + self.snapshots


class SnapshotScheduler:
    """Hands out the snapshots that shape a book, in order, as the replay reaches them.

    Args:
        snapshots: Snapshots, ascending by sequence number, from `position` on. The iterator is asked again after it was
            exhausted, so that snapshots of a live capture can follow.
        selector: Selects among them; it is set to `position`.
        recover_from: int64[r]: sequence numbers from which on the next snapshot repairs the book.
        tick: Tick of the deltas, encoded.
        position: Where to go on.

    Attributes:
        position: Position behind the snapshots handed out; its `deltas` are where the scheduler began.
    """

    def __init__(
        self,
        snapshots: Iterator[SnapshotBatch],
        selector: SnapshotSelector,
        recover_from: Int64Array,
        tick: int,
        position: ReplayPosition = ReplayPosition(),
    ) -> None:
        selector.seen, selector.first_sound = position.snapshots, position.first_sound
        self.position = position
        self._snapshots = snapshots
        self._selector = selector
        self._recovery_points = RecoveryPoints(recover_from, position.last_used)
        self._tick = tick
        self._ahead: SnapshotBatch | None = None

    def add_recovery_points(self, recover_from: Int64Array) -> None:
        """Let the next snapshot at or after each of these points repair the book.

        Args:
            recover_from: int64[r], ascending; sequence numbers of messages that `due_by` has not been asked for.
        """
        self._recovery_points.add(recover_from)

    @property
    def open_recovery_points(self) -> Int64Array:
        """int64[r]: recovery points that no snapshot has met so far; a run that resumes needs them."""
        return self._recovery_points.open

    def due_by(self, sequence_number: int) -> DueSnapshots:
        """Return the next scheduled snapshots up to a sequence number."""
        due: list[DueSnapshots] = []
        while (ahead := self._next()) is not None:
            count = int(np.searchsorted(ahead.sequence_number, sequence_number, "right"))
            due.append(self._selected(ahead, count))
            if self._ahead is not None:
                break
        return _joined(due)

    def remaining(self, most: int) -> Iterator[DueSnapshots]:
        """Return all scheduled snapshots that are left.

        Args:
            most: Snapshots of the day, selected or not, at a time.
        """
        while (ahead := self._next()) is not None:
            yield self._selected(ahead, min(len(ahead), most - self.position.snapshots % most))

    def _next(self) -> SnapshotBatch | None:
        """Return the snapshots that are read and not handed out; None at the end of the day."""
        while self._ahead is None or not len(self._ahead):
            self._ahead = next(self._snapshots, None)
            if self._ahead is None:
                return None
        return self._ahead

    def _selected(self, ahead: SnapshotBatch, count: int) -> DueSnapshots:
        """Hand out the selected ones of the next `count` snapshots; the others behind them stay ahead."""
        batch = ahead.take(slice(0, count))
        self._ahead = ahead.take(slice(count, None)) if count < len(ahead) else None
        defects = snapshot_defects(batch, self._tick)
        rows = self._selector.rows(defects)
        sound = defects[rows] == SnapshotDefect.NONE
        used, rejected = batch.take(rows[sound]), batch.take(rows[~sound])
        self.position = replace(
            self.position,
            snapshots=self._selector.seen,
            first_sound=self._selector.first_sound,
            last_used=int(used.sequence_number[-1]) if len(used) else self.position.last_used,
        )
        return DueSnapshots(used, self._recovery_points.forced(used.sequence_number), rejected)


def _joined(due: list[DueSnapshots]) -> DueSnapshots:
    if len(due) == 1:
        return due[0]
    if not due:
        return DueSnapshots(SnapshotBatch.nothing(), np.empty(0, np.bool_), SnapshotBatch.nothing())
    used, forced, rejected = zip(*due, strict=True)
    return DueSnapshots(SnapshotBatch.concat(used), np.concatenate(forced), SnapshotBatch.concat(rejected))
