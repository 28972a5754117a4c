"""Snapshots of a live capture, held from their arrival until the messages that they belong to have been applied.

A snapshot enters the replay before the first message that arrived at the same time or later. That is a function of the
data alone, so that a run that resumes after a crash meets every snapshot at the same message.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import ReconstructionError
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.flag_timeline import BEFORE_ALL
from order_book_platform.replay.recent_messages import RecentMessages

WAITING_BYTES = 128 * 1024 * 1024
"""Snapshots that may wait for their messages: five hours of 20 levels ten times a second without a delta, or one for
each delta that is read at once."""


@dataclass(frozen=True, slots=True)
class InboxState:
    """The contents of an inbox between two steps.

    Attributes:
        row: Rows of the log of snapshots that have been received.
        clock_ns: Latest arrival of a snapshot so far, ns.
        deltas_clock_ns: Latest arrival of a delta so far, ns.
        recent: The last messages, by which snapshots that are behind them are brought up to date.
        ahead: Snapshots that were read, but arrived later than every delta so far, in order of arrival.
        ahead_ns: int64[n]: when each of them counts as arrived, ns.
        waiting: Snapshots that have arrived and wait for their messages, ascending by sequence number over all
            batches. The batches never change, so that successive states share them.
        late: Number of snapshots that arrived after a later message had been applied and were of no use.
    """

    row: int = 0
    clock_ns: int = BEFORE_ALL
    deltas_clock_ns: int = BEFORE_ALL
    recent: RecentMessages = field(default_factory=RecentMessages)
    ahead: SnapshotBatch = field(default_factory=SnapshotBatch.nothing)
    ahead_ns: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    waiting: tuple[SnapshotBatch, ...] = ()
    late: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all snapshots."""
        return self.ahead.nbytes + self.ahead_ns.nbytes + sum(batch.nbytes for batch in self.waiting)


class SnapshotInbox:
    """Holds snapshots until the deltas have come as far; an iterator over those that a `SnapshotScheduler` may have.

    Args:
        state: Where to go on; by default at the beginning of both logs.

    Attributes:
        state: The contents now.
    """

    def __init__(self, state: InboxState | None = None) -> None:
        self.state = state or InboxState()
        self._released: list[SnapshotBatch] = []

    def receive(self, snapshots: SnapshotBatch) -> None:
        """Take the next snapshots of the log.

        Raises:
            ReconstructionError: More snapshots wait than memory may be used for.
        """
        if not len(snapshots):
            return
        state = self.state
        times = np.maximum.accumulate(np.maximum(snapshots.received_time, state.clock_ns))
        self.state = replace(
            state,
            row=state.row + len(snapshots),
            clock_ns=int(times[-1]),
            ahead=SnapshotBatch.concat([state.ahead, snapshots]),
            ahead_ns=np.concatenate([state.ahead_ns, times]),
        )
        if self.state.nbytes > WAITING_BYTES:
            raise ReconstructionError(
                expected=f"at most {WAITING_BYTES:,} bytes of snapshots ahead of the deltas",
                found=f"{self.state.nbytes:,}",
                where=f"snapshots, row {self.state.row}",
                remedy="Look at what writes the deltas: their sequence numbers stay behind those of the snapshots.",
            )

    def rows_until_arrival(self, deltas: DeltaBatch) -> int:
        """Return how many rows may be applied as one step before a snapshot of an earlier message arrives.

        Such a snapshot is applied between two messages, so that the step has to end there.
        """
        ends, _, at, before = self._arriving(deltas)
        behind = at[(self.state.ahead.sequence_number[: len(at)] <= before) & (at > 0)]
        return int(ends[behind[0] - 1]) + 1 if len(behind) else len(deltas)

    def advance(self, deltas: DeltaBatch) -> tuple[SnapshotBatch, list[str]]:
        """Let the snapshots in that arrive with the next messages; return those that are too late, and why.

        A snapshot is too late if it belongs to a message before the last one that has been applied, and cannot be
        brought up to date. The messages have no more rows than `rows_until_arrival` allows.
        """
        _, clock_ns, at, before = self._arriving(deltas)
        state = self.state
        arrived = state.ahead.take(slice(0, len(at)))
        reasons = [
            state.recent.missing(number, arrival_ns) if number < last else ""
            for number, last, arrival_ns in zip(
                arrived.sequence_number.tolist(),
                before.tolist(),
                state.ahead_ns[: len(at)].tolist(),
                strict=True,
            )
        ]
        late = np.array([bool(reason) for reason in reasons], np.bool_)
        self.state = replace(
            state,
            deltas_clock_ns=int(clock_ns[-1]),
            recent=state.recent.remember(deltas, clock_ns),
            ahead=state.ahead.take(slice(len(at), None)),
            ahead_ns=state.ahead_ns[len(at) :],
            waiting=_merged(state.waiting, arrived.take(~late)),
            late=state.late + int(late.sum()),
        )
        return arrived.take(late), [reason for reason in reasons if reason]

    def _arriving(
        self, deltas: DeltaBatch
    ) -> tuple[NDArray[np.intp], Int64Array, NDArray[np.intp], Int64Array]:
        """Return which snapshots arrive with a batch of messages.

        Returns:
            intp[k], last row of each message; int64[len(deltas)], the latest arrival of a delta so far at each row, ns;
            intp[n], for each snapshot that arrives by the last of them, the first message that arrived no earlier;
            int64[n], the sequence number of the message before that one.
        """
        sequence, state = deltas.sequence_number, self.state
        ends = np.flatnonzero(np.append(sequence[1:] != sequence[:-1], True))
        clock = np.maximum.accumulate(np.maximum(deltas.received_time, state.deltas_clock_ns))
        at = np.searchsorted(clock[ends], state.ahead_ns, "left")
        at = at[: int(np.searchsorted(at, len(ends), "left"))]
        return ends, clock, at, np.append(state.recent.number, sequence[ends])[at]

    def release(self, sequence_number: int) -> Int64Array:
        """Let the scheduler have the snapshots up to a message; return their sequence numbers int64[n], ascending."""
        released: list[SnapshotBatch] = []
        waiting = self.state.waiting
        while waiting:
            first, *rest = waiting
            count = int(np.searchsorted(first.sequence_number, sequence_number, "right"))
            if count:
                released.append(first.take(slice(0, count)))
            if count < len(first):
                waiting = (first.take(slice(count, None)), *rest)
                break
            waiting = tuple(rest)
        self.state = replace(self.state, waiting=waiting)
        joined = SnapshotBatch.concat(released)
        if len(joined):
            self._released.append(joined)
        return joined.sequence_number

    def __iter__(self) -> Iterator[SnapshotBatch]:
        return self

    def __next__(self) -> SnapshotBatch:
        if not self._released:
            raise StopIteration
        return self._released.pop(0)


def _merged(waiting: tuple[SnapshotBatch, ...], arrived: SnapshotBatch) -> tuple[SnapshotBatch, ...]:
    """Put snapshots among those that wait, by sequence number; as a rule they are behind all others.

    A batch is joined with the new one if it is no longer than that, so that a snapshot is copied as many times as there
    may be batches: the logarithm of how many snapshots wait.
    """
    if not len(arrived):
        return waiting
    batches = list(waiting)
    new = arrived.take(np.argsort(arrived.sequence_number, kind="stable"))
    while batches and (
        len(batches[-1]) <= len(new) or batches[-1].sequence_number[-1] > new.sequence_number[0]
    ):
        joined = SnapshotBatch.concat([batches.pop(), new])
        new = joined.take(np.argsort(joined.sequence_number, kind="stable"))
    return (*batches, new)
