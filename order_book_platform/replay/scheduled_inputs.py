"""Snapshots and flag changes that are scheduled for a book, as arrays for the replay loop, with their outcomes."""

from __future__ import annotations

import numpy as np

from order_book_platform.datasets.snapshots import SnapshotBatch, deepened
from order_book_platform.kernels.book.ladder_arrays import NO_TICK
from order_book_platform.kernels.book.replay_arrays import (
    STATE_NEXT_EDGE,
    STATE_NEXT_SNAPSHOT,
    ReplaySchedule,
)
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.ladder_levels import require, snapshot_ticks

_LEAST_CAPACITY = 1024


class GrowableArray:
    """An int64 array of so many columns that grows at its end; rows that have been handed out never change.

    It begins with a copy of `rows` int64[n, width], if given.
    """

    def __init__(self, width: int, rows: Int64Array | None = None) -> None:
        self._buffer = np.empty((0, width), np.int64)
        self._count = 0
        if rows is not None:
            self.add(rows)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._count

    @property
    def rows(self) -> Int64Array:
        """int64[n, width]: a view that stays as it is when rows are added; it must not be written to."""
        return self._buffer[: self._count]

    def add(self, rows: Int64Array) -> None:
        """Copy rows int64[m, width] to the end, in a time that does not depend on how many rows there are."""
        end = self._count + len(rows)
        if end > len(self._buffer):
            capacity = max(2 * len(self._buffer), end, _LEAST_CAPACITY)
            buffer = np.empty((capacity, self._buffer.shape[1]), np.int64)
            buffer[: self._count] = self.rows
            self._buffer = buffer
        self._buffer[self._count : end] = rows
        self._count = end


_PER_SNAPSHOT = ("sequence", "origin", "received", "ticks", "sizes", "forced", "outcome")


class ScheduledInputs:
    """Snapshots and flag changes of one book that are still to come, and the outcomes of the snapshots applied.

    Args:
        price_step: Divides every price.
        state: int64[STATES] of the replay, in which the loop keeps its positions; shared with it.

    Attributes:
        arrays: The arrays that the loop reads, and writes outcomes to.
    """

    def __init__(self, price_step: int, state: Int64Array) -> None:
        self._price_step = price_step
        self._state = state
        self._outcomes = GrowableArray(4)
        self.arrays = self._arrays_of(SnapshotBatch.nothing(), np.empty(0, np.bool_), FlagChanges.none())

    def add_snapshots(self, snapshots: SnapshotBatch, forced: BoolArray) -> None:
        """Put snapshots behind those that are scheduled; `forced` is bool[m], see `Book.add_snapshots`."""
        where = "Book.add_snapshots"
        require(
            forced.dtype == np.bool_ and forced.shape == (len(snapshots),),
            f"bool[{len(snapshots)}], one for each snapshot",
            f"{forced.dtype}{list(forced.shape)}",
            f"{where}(forced)",
        )
        _require_ascending(snapshots.sequence_number, where)
        added = self._arrays_of(snapshots, forced, FlagChanges.none())
        if not len(snapshots):
            return
        scheduled = self.arrays.sequence
        _require_behind(scheduled, snapshots.sequence_number, "snapshots", where)
        self._forget_applied()
        depth = max(self.arrays.ticks.shape[2], added.ticks.shape[2])
        before, behind = (
            each._replace(ticks=deepened(each.ticks, depth, NO_TICK), sizes=deepened(each.sizes, depth, 0))
            for each in (self.arrays, added)
        )
        joined = {
            name: np.concatenate([getattr(before, name), getattr(behind, name)]) for name in _PER_SNAPSHOT
        }
        self.arrays = before._replace(**joined)

    def add_flag_changes(self, changes: FlagChanges) -> None:
        """Put flag changes behind those that are scheduled, and drop those that are passed."""
        where, passed = "Book.add_flag_changes", int(self._state[STATE_NEXT_EDGE])
        require(
            all(each.dtype == np.int64 and each.shape == (len(changes.sequence),) for each in changes),
            "two int64 arrays of one length",
            " and ".join(f"{each.dtype}{list(each.shape)}" for each in changes),
            where,
        )
        _require_ascending(changes.sequence, where)
        ahead = self.arrays.edge_sequence[passed:]
        _require_behind(ahead, changes.sequence, "flag changes", where)
        self.arrays = self.arrays._replace(
            edge_sequence=np.concatenate([ahead, changes.sequence]),
            edge_flag_bits=np.concatenate([self.arrays.edge_flag_bits[passed:], changes.bits]),
        )
        self._state[STATE_NEXT_EDGE] = 0

    @property
    def outcomes(self) -> Int64Array:
        """int64[m, 4]: outcomes of the snapshots applied and not taken; see `Book.outcomes`."""
        applied = int(self._state[STATE_NEXT_SNAPSHOT])
        return np.concatenate([self._outcomes.rows, self.arrays.outcome[:applied]])

    def take_outcomes(self) -> Int64Array:
        """Return the outcomes and forget them."""
        found = self.outcomes
        self._forget_applied()
        self._outcomes = GrowableArray(4)
        return found

    def restore_outcomes(self, outcomes: Int64Array) -> None:
        """Begin with outcomes int64[m, 4] of an earlier run."""
        self._outcomes = GrowableArray(4, outcomes)

    def _forget_applied(self) -> None:
        """Drop the snapshots that the loop has applied; their outcomes are kept."""
        applied = int(self._state[STATE_NEXT_SNAPSHOT])
        self._outcomes.add(self.arrays.outcome[:applied])
        ahead = {name: np.ascontiguousarray(getattr(self.arrays, name)[applied:]) for name in _PER_SNAPSHOT}
        self.arrays = self.arrays._replace(**ahead)
        self._state[STATE_NEXT_SNAPSHOT] = 0

    def _arrays_of(self, snapshots: SnapshotBatch, forced: BoolArray, changes: FlagChanges) -> ReplaySchedule:
        # Copies: the loop wants writable arrays, and those of the caller may be read-only or change later.
        return ReplaySchedule(
            snapshots.sequence_number.copy(),
            snapshots.origin_time.copy(),
            snapshots.received_time.copy(),
            snapshot_ticks(snapshots.encoded_price, self._price_step),
            snapshots.encoded_size.copy(),
            forced.copy(),
            np.zeros((len(snapshots), 4), np.int64),
            *changes,
        )


def _require_ascending(sequence: Int64Array, where: str) -> None:
    back = np.flatnonzero(sequence[1:] < sequence[:-1])
    if len(back):
        found = f"{sequence[back[0] + 1]} after {sequence[back[0]]}"
        require(False, "ascending sequence numbers", found, where)


def _require_behind(scheduled: Int64Array, added: Int64Array, what: str, where: str) -> None:
    if len(scheduled) and len(added):
        latest = int(scheduled[-1])
        require(latest <= added[0], f"{what} from sequence number {latest} on", str(added[0]), where)
