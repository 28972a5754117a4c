"""Snapshots of a live capture, from their arrival until a message needs them. No I/O.

When a snapshot is there is a function of the data alone: before the first message that arrived when it had, or later.
So whoever goes on after a crash finds every one where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import ReconstructionError
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.flag_timeline import NEVER

WAITING_BYTES = 128 * 1024 * 1024
"""Snapshots that may wait for their messages: five hours of 20 levels ten times a second without a delta, or one for
each delta that is read at once."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Snapshots at one moment.

    Attributes:
        row: rows of the log of snapshots before it.
        clock_ns: latest arrival of a snapshot so far.
        deltas_clock_ns: latest arrival of a delta so far.
        last_sequence: of the last message; `NEVER` before the first.
        ahead: read, but of later arrival than any delta, in order of arrival.
        ahead_ns: int64[n], when each of them counts as arrived.
        pieces: waiting for their messages, ascending by sequence number over all of them; never changed, so that the
            moments share them.
        late: how many came too late.
    """

    row: int = 0
    clock_ns: int = NEVER
    deltas_clock_ns: int = NEVER
    last_sequence: int = NEVER
    ahead: SnapshotBatch = field(default_factory=SnapshotBatch.nothing)
    ahead_ns: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))
    pieces: tuple[SnapshotBatch, ...] = ()
    late: int = 0

    @property
    def there(self) -> SnapshotBatch:
        """The pieces as one batch, a copy."""
        return _joined(self.pieces)

    @property
    def nbytes(self) -> int:
        """Bytes of all snapshots."""
        return self.ahead.nbytes + self.ahead_ns.nbytes + sum(piece.nbytes for piece in self.pieces)


class SnapshotInbox:
    """Lets snapshots wait until deltas have come as far; an iterator of those that a `SnapshotScheduler` may have.

    Args:
        at: where to go on; by default at the beginning of both logs.
    """

    def __init__(self, at: Arrived | None = None) -> None:
        at = at or Arrived()
        self._row, self._late = at.row, at.late
        self._clock_ns, self._deltas_clock_ns = at.clock_ns, at.deltas_clock_ns
        self._last_sequence = at.last_sequence
        self._ahead, self._ahead_ns, self._pieces = at.ahead, at.ahead_ns, at.pieces
        self._released: list[SnapshotBatch] = []

    @property
    def now(self) -> Arrived:
        """Where it stands, between two steps."""
        return Arrived(
            self._row,
            self._clock_ns,
            self._deltas_clock_ns,
            self._last_sequence,
            self._ahead,
            self._ahead_ns,
            self._pieces,
            self._late,
        )

    def arrive(self, snapshots: SnapshotBatch) -> None:
        """Take the next snapshots of the log.

        Raises:
            ReconstructionError: more wait than memory may be used for.
        """
        if not len(snapshots):
            return
        times = np.maximum.accumulate(np.maximum(snapshots.received_time, self._clock_ns))
        self._clock_ns = int(times[-1])
        self._row += len(snapshots)
        self._ahead = SnapshotBatch.concat([self._ahead, snapshots])
        self._ahead_ns = np.concatenate([self._ahead_ns, times])
        waiting = self.now.nbytes
        if waiting > WAITING_BYTES:
            raise ReconstructionError(
                expected=f"at most {WAITING_BYTES:,} bytes of snapshots ahead of the deltas",
                found=f"{waiting:,}",
                where=f"snapshots, row {self._row}",
                remedy="Look at what writes the deltas: their sequence numbers stay behind those of the snapshots.",
            )

    def cut(self, deltas: DeltaBatch) -> int:
        """Rows of the messages, from the first on, between which no snapshot of an earlier message arrives.

        Such a snapshot is taken between two messages, so that what is applied at once has to end there.
        """
        ends, _, at, before = self._reached(deltas)
        behind = at[(self._ahead.sequence_number[: len(at)] <= before) & (at > 0)]
        return int(ends[behind[0] - 1]) + 1 if len(behind) else len(deltas)

    def enter(self, deltas: DeltaBatch) -> SnapshotBatch:
        """Take the next messages, no more than `cut` allows; gives the snapshots that arrived too late for them.

        Too late is a snapshot of a message before the last one that has been applied.
        """
        _, clock_ns, at, before = self._reached(deltas)
        arrived = self._ahead.take(slice(0, len(at)))
        self._ahead, self._ahead_ns = self._ahead.take(slice(len(at), None)), self._ahead_ns[len(at) :]
        late = arrived.sequence_number < before
        if len(at):
            self._wait(arrived.take(~late))
        self._late += int(late.sum())
        self._deltas_clock_ns = clock_ns
        self._last_sequence = int(deltas.sequence_number[-1])
        return arrived.take(late)

    def _reached(self, deltas: DeltaBatch) -> tuple[NDArray[np.intp], int, NDArray[np.intp], Int64Array]:
        """What the clock of the deltas reaches in a batch.

        Returns:
            Last row of each message; the clock after them; of each snapshot that arrives by then, the first message
            that arrived no earlier; and the sequence number of the message before that one.
        """
        sequence = deltas.sequence_number
        ends = np.flatnonzero(np.append(sequence[1:] != sequence[:-1], True))
        clock = np.maximum.accumulate(np.maximum(deltas.received_time, self._deltas_clock_ns))
        at = np.searchsorted(clock[ends], self._ahead_ns, "left")
        at = at[: int(np.searchsorted(at, len(ends), "left"))]
        return ends, int(clock[-1]), at, np.append(self._last_sequence, sequence[ends])[at]

    def release(self, sequence_number: int) -> Int64Array:
        """Let the planner have those up to a message; gives their sequence numbers, ascending."""
        released: list[SnapshotBatch] = []
        for at, piece in enumerate(self._pieces):
            count = int(np.searchsorted(piece.sequence_number, sequence_number, "right"))
            if count:
                released.append(piece.take(slice(0, count)))
            if count < len(piece):
                self._pieces = (piece.take(slice(count, None)), *self._pieces[at + 1 :])
                break
        else:
            self._pieces = ()
        joined = _joined(released)
        if len(joined):
            self._released.append(joined)
        return joined.sequence_number

    def _wait(self, arrived: SnapshotBatch) -> None:
        """Put snapshots in their place among those that wait.

        They are behind all others as a rule. A piece is joined with the new one if it is no longer than that, so that a
        snapshot is copied as many times as pieces may be there: the logarithm of how many wait.
        """
        if not len(arrived):
            return
        pieces = list(self._pieces)
        piece = arrived.take(np.argsort(arrived.sequence_number, kind="stable"))
        while pieces and (
            len(pieces[-1]) <= len(piece) or pieces[-1].sequence_number[-1] > piece.sequence_number[0]
        ):
            joined = SnapshotBatch.concat([pieces.pop(), piece])
            piece = joined.take(np.argsort(joined.sequence_number, kind="stable"))
        self._pieces = (*pieces, piece)

    def __iter__(self) -> Iterator[SnapshotBatch]:
        return self

    def __next__(self) -> SnapshotBatch:
        if not self._released:
            raise StopIteration
        return self._released.pop(0)


def _joined(pieces: Sequence[SnapshotBatch]) -> SnapshotBatch:
    return SnapshotBatch.concat(pieces) if pieces else SnapshotBatch.nothing()
