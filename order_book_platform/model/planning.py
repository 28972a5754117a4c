"""The snapshots of a day as a plan: chosen as they come, handed out as they fall due, remembered by what they are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from order_book_platform.model.batches import BoolArray, Int64Array, SnapshotBatch
from order_book_platform.model.doubt import NEVER, Recoveries
from order_book_platform.model.snapshots import SnapshotDefect, snapshot_defects

Due = tuple[SnapshotBatch, BoolArray]
"""Snapshots, and which of them repair without being asked."""


class Choice(Protocol):
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
class Place:
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

    def after(self, deltas: int) -> Place:
        """The same place in the snapshots, so many deltas into the day."""
        return replace(self, deltas=deltas)


class Planner:
    """Hands out the snapshots that shape a book, in order, as the replay reaches them.

    Args:
        snapshots: of the day, ascending by sequence number, from `place` on.
        choice: of the strategy; brought to `place`.
        recover_from: sequence numbers from which on the next snapshot repairs.
        tick_pips: of the deltas.
        place: where the plan goes on.
        heads: of `heads` there.
    """

    def __init__(
        self,
        snapshots: Iterator[SnapshotBatch],
        choice: Choice,
        recover_from: Int64Array,
        tick_pips: int,
        place: Place = Place(),  # noqa: B008 - frozen
        heads: tuple[Int64Array, Int64Array] | None = None,
    ) -> None:
        choice.seen, choice.first = place.snapshots, place.first_sound
        self.place = place
        self._snapshots = snapshots
        self._choice = choice
        self._recoveries = Recoveries(recover_from, place.last_used)
        self._tick_pips = tick_pips
        self._ahead: SnapshotBatch | None = None
        used, rejected = heads or (np.empty((0, 2), np.int64),) * 2
        self._used, self._rejected = [used], [rejected]

    def until(self, sequence_number: int) -> Due:
        """The next snapshots of the plan, up to a sequence number."""
        due: list[Due] = []
        while (ahead := self._next()) is not None:
            count = int(np.searchsorted(ahead.sequence_number, sequence_number, "right"))
            due.append(self._chosen(ahead, count))
            if self._ahead is not None:
                break
        return _joined(due)

    def pieces(self, most: int) -> Iterator[Due]:
        """All snapshots of the plan that are left, at most so many of the day at a time."""
        while (ahead := self._next()) is not None:
            yield self._chosen(ahead, min(len(ahead), most - self.place.snapshots % most))

    def heads(self) -> tuple[Int64Array, Int64Array]:
        """What has been handed out so far, used and rejected: int64[n, 2], sequence number and origin time."""
        self._used, self._rejected = [np.concatenate(self._used)], [np.concatenate(self._rejected)]
        return self._used[0], self._rejected[0]

    def _next(self) -> SnapshotBatch | None:
        """The snapshots that are read and not handed out; None at the end of the day."""
        while self._ahead is None or not len(self._ahead):
            self._ahead = next(self._snapshots, None)
            if self._ahead is None:
                return None
        return self._ahead

    def _chosen(self, ahead: SnapshotBatch, count: int) -> Due:
        """Of the next `count` snapshots the chosen ones; the others stay ahead."""
        batch = ahead.take(slice(0, count))
        self._ahead = ahead.take(slice(count, None)) if count < len(ahead) else None
        defects = snapshot_defects(batch, self._tick_pips)
        rows = self._choice.rows(defects)
        sound = defects[rows] == SnapshotDefect.NONE
        used, rejected = batch.take(rows[sound]), batch.take(rows[~sound])
        self._used.append(_heads(used))
        self._rejected.append(_heads(rejected))
        self.place = replace(
            self.place,
            snapshots=self._choice.seen,
            first_sound=self._choice.first,
            last_used=int(used.sequence_number[-1]) if len(used) else self.place.last_used,
        )
        return used, self._recoveries.forced(used.sequence_number)


def _heads(snapshots: SnapshotBatch) -> Int64Array:
    return np.stack([snapshots.sequence_number, snapshots.origin_time], 1)


def _joined(due: list[Due]) -> Due:
    if not due:
        return SnapshotBatch.nothing(), np.empty(0, np.bool_)
    if len(due) == 1:
        return due[0]
    return SnapshotBatch.concat([part for part, _ in due]), np.concatenate([forced for _, forced in due])
