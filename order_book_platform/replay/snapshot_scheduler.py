"""Which snapshots may shape a book, and which stay evidence of how exact it is; handed out as the replay reaches them.

A reconstruction that looked at a snapshot and then decided whether it counts as evidence would hide exactly the rows on
which the book is wrong. So the split depends on positions and quality alone and is fixed before the replay: the first
sound snapshot seeds, every n-th after it may extend or repair, all others are held out. Where update ids prove a loss,
the next sound snapshot repairs out of turn: that, too, follows from positions alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.columns import ReferenceRows
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect, find_defects
from order_book_platform.model.arrays import BoolArray, Int64Array, UInt8Array
from order_book_platform.replay.flag_timeline import BEFORE_ALL, RecoveryPoints
from order_book_platform.replay.recent_messages import RecentMessages, bring_up_to_date

_NO_MESSAGES = RecentMessages()


def snapshot_defects(snapshots: SnapshotBatch | ReferenceRows, tick_pips: int) -> UInt8Array:
    """Return the `SnapshotDefect` of each snapshot, uint8[n]; the tick is encoded like the prices."""
    defects = np.empty(len(snapshots), np.uint8)
    find_defects(
        np.ascontiguousarray(snapshots.encoded_price),
        np.ascontiguousarray(snapshots.encoded_size),
        tick_pips,
        defects,
    )
    return defects


def defect_counts(defects: UInt8Array) -> dict[str, int]:
    """Return how many of the snapshots uint8[n] have each defect, by name, without the sound ones."""
    return {
        defect.name.lower(): int((defects == defect).sum())
        for defect in SnapshotDefect
        if defect is not SnapshotDefect.NONE and (defects == defect).any()
    }


@dataclass(slots=True)
class EveryNthSnapshot:
    """Selects the first sound snapshot and every n-th after it, batch by batch.

    Attributes:
        extend_every: n; 0 selects the first sound one alone.
        seen: Number of snapshots so far.
        first_sound: Place of the first sound one; -1 before it.
    """

    extend_every: int
    seen: int = 0
    first_sound: int = -1

    @property
    def recovers(self) -> bool:
        """Whether a snapshot behind a proven loss is used out of turn: not where the seed alone is wanted."""
        return self.extend_every > 0

    def rows(self, defects: UInt8Array) -> NDArray[np.intp]:
        """Return the ascending positions of the candidates among the next snapshots, given their defects uint8[n].

        An unsound candidate is rejected, never replaced by its neighbour.
        """
        start = self.seen
        self.seen += len(defects)
        if self.first_sound < 0:
            sound = np.flatnonzero(defects == SnapshotDefect.NONE)
            if not len(sound):
                return sound
            self.first_sound = start + int(sound[0])
        first = self.first_sound
        if self.extend_every == 0:
            return np.arange(first, first + 1, dtype=np.intp)[first < start :] - start
        passed = max(start - first, 0)
        nearest = first + -(-passed // self.extend_every) * self.extend_every
        return np.arange(nearest, self.seen, self.extend_every, dtype=np.intp) - start


@dataclass(slots=True)
class AllButEveryNth:
    """Selects the snapshots of a book that is made of nothing else: all but every n-th, batch by batch.

    The first one is selected: nothing comes before it that it could be compared with.

    Attributes:
        every: n; 0 holds out none.
        seen: Number of snapshots so far.
        first_sound: Always -1; nothing depends on it here.
    """

    every: int
    seen: int = 0
    first_sound: int = -1

    @property
    def recovers(self) -> bool:
        """Whether a snapshot behind a proven loss is used out of turn: losses of deltas do not matter here."""
        return False

    def rows(self, defects: UInt8Array) -> NDArray[np.intp]:
        """Return the positions of those not held out among the next snapshots, sound or not, given defects uint8[n]."""
        place = np.arange(self.seen + 1, self.seen + 1 + len(defects))
        self.seen += len(defects)
        return np.flatnonzero(place % self.every != 0) if self.every else place - place[:1]


class DueSnapshots(NamedTuple):
    """The scheduled snapshots that a replay reaches next.

    Attributes:
        used: Snapshots that seed, extend or repair the book, as they came.
        merged: The same as they are merged into the book, each right after the message of its number: brought up to
            date by messages where they are behind the book, or inside a message.
        forced: bool[m]: which of them repair it whether or not it agrees with them.
        rejected: Candidates that failed their quality gate; nothing is taken from them, and they are no evidence.
    """

    used: SnapshotBatch
    merged: SnapshotBatch
    forced: BoolArray
    rejected: SnapshotBatch


SnapshotSelector = EveryNthSnapshot | AllButEveryNth
"""Selects the snapshots that shape a book by their place in the day and their quality alone, batch by batch."""


@dataclass(frozen=True, slots=True)
class ReplayPosition:
    """A position in the inputs of a replay.

    Attributes:
        deltas: Rows of `raw_deltas` before it.
        snapshots: Rows of `snapshots` before it.
        first_sound: Place of the first sound snapshot; -1 before it.
        last_used: Sequence number of the last snapshot that was scheduled before it, or of the last message if the
            snapshot was behind that.
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
        proven_by_ids: `FlagTimeline.proven_by_ids` of the points.

    Attributes:
        position: Position behind the snapshots handed out; its `deltas` are where the scheduler began.
        recovery_points: Are given later points, of messages that `due_by` has not been asked for.
    """

    def __init__(
        self,
        snapshots: Iterator[SnapshotBatch],
        selector: SnapshotSelector,
        recover_from: Int64Array,
        tick: int,
        position: ReplayPosition = ReplayPosition(),
        proven_by_ids: bool = False,
    ) -> None:
        selector.seen, selector.first_sound = position.snapshots, position.first_sound
        self.position = position
        self._snapshots = snapshots
        self._selector = selector
        self.recovery_points = RecoveryPoints(recover_from, position.last_used, proven_by_ids)
        self._tick = tick
        self._ahead: SnapshotBatch | None = None

    def due_by(self, deltas: DeltaBatch, recent: RecentMessages = _NO_MESSAGES) -> DueSnapshots:
        """Return the next scheduled snapshots up to the last of the next messages.

        Args:
            deltas: The next messages.
            recent: The messages before them, where snapshots may be behind those.
        """
        due: list[DueSnapshots] = []
        while (ahead := self._next()) is not None:
            count = int(np.searchsorted(ahead.sequence_number, deltas.sequence_number[-1], "right"))
            due.append(self._selected(ahead, count, recent.number))
            if self._ahead is not None:
                break
        joined = _joined(due)
        return joined._replace(merged=bring_up_to_date(joined.used, deltas, recent))

    def remaining(self, most: int) -> Iterator[DueSnapshots]:
        """Return all scheduled snapshots that are left, of at most so many of the day, selected or not, at a time."""
        while (ahead := self._next()) is not None:
            yield self._selected(ahead, min(len(ahead), most - self.position.snapshots % most), BEFORE_ALL)

    def _next(self) -> SnapshotBatch | None:
        """Return the snapshots that are read and not handed out; None at the end of the day."""
        while self._ahead is None or not len(self._ahead):
            self._ahead = next(self._snapshots, None)
            if self._ahead is None:
                return None
        return self._ahead

    def _selected(self, ahead: SnapshotBatch, count: int, last_message: int) -> DueSnapshots:
        """Hand out the selected ones of the next `count` snapshots; the others behind them stay ahead.

        One that is behind the last message recovers as one of this message.
        """
        batch = ahead.take(slice(0, count))
        self._ahead = ahead.take(slice(count, None)) if count < len(ahead) else None
        defects = snapshot_defects(batch, self._tick)
        rows = self._selector.rows(defects)
        if self._selector.recovers:
            usable = np.flatnonzero(defects == SnapshotDefect.NONE)
            reached = np.maximum(batch.sequence_number[usable], last_message)
            rows = np.union1d(rows, usable[self.recovery_points.demanded(reached)])
        sound = defects[rows] == SnapshotDefect.NONE
        used, rejected = batch.take(rows[sound]), batch.take(rows[~sound])
        numbers = np.maximum(used.sequence_number, last_message)
        self.position = replace(
            self.position,
            snapshots=self._selector.seen,
            first_sound=self._selector.first_sound,
            last_used=int(numbers[-1]) if len(used) else self.position.last_used,
        )
        return DueSnapshots(used, used, self.recovery_points.forced(numbers), rejected)


def _joined(due: list[DueSnapshots]) -> DueSnapshots:
    if len(due) == 1:
        return due[0]
    if not due:
        nothing = SnapshotBatch.nothing()
        return DueSnapshots(nothing, nothing, np.empty(0, np.bool_), nothing)
    used, _, forced, rejected = zip(*due, strict=True)
    all_used = SnapshotBatch.concat(used)
    return DueSnapshots(all_used, all_used, np.concatenate(forced), SnapshotBatch.concat(rejected))
