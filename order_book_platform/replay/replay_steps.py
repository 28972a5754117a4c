"""Divides the inputs of a replay into steps: whole messages, with the snapshots that are due by the last of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.replay.snapshot_inbox import InboxState
from order_book_platform.replay.snapshot_scheduler import DueSnapshots, ReplayPosition, SnapshotScheduler

PART_DELTAS = 1_048_576
"""Deltas of a part of the published books; the message that completes them belongs to it."""
PART_SNAPSHOTS = 65_536
"""Snapshots of a part, where a book is made of snapshots alone."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A point of a day, by exchange time or by sequence number; one of the two is given.

    Attributes:
        at_ns: Includes the events up to the last one with this origin time or an earlier one, ns.
        sequence_number: Includes the events up to the last one with this sequence number or a smaller one.
    """

    at_ns: int | None = None
    sequence_number: int | None = None

    def count(self, events: DeltaBatch | SnapshotBatch) -> int:
        """Return how many of the events, from the first one on, come no later."""
        if self.sequence_number is not None:
            return int(np.searchsorted(events.sequence_number, self.sequence_number, "right"))
        later = events.origin_time > (self.at_ns or 0)
        return int(later.argmax()) if later.any() else len(events)


@dataclass(frozen=True, slots=True)
class LiveState:
    """The state of a live replay after a step, and the findings of the step.

    Attributes:
        inbox: Snapshots that have arrived, and how far both logs have been read.
        detector: State of the gap detector: whether there are ids, the number of messages, the sequence number and the
            origin time of the last one.
        timeline: State of the flag timeline: flags in force, and the deadline of the open gaps, ns.
        recover_from: int64[r], recovery points that no snapshot has met.
        flag_changes: Where flags change in this step.
        gaps: Gap candidates found in this step.
        late_snapshots: Snapshots that came too late for this step.
        message_before: Sequence number and origin time, ns, of the last message before this step.
    """

    inbox: InboxState
    detector: tuple[bool, int, int, int]
    timeline: tuple[int, int]
    recover_from: Int64Array
    flag_changes: FlagChanges
    gaps: list[GapCandidate]
    late_snapshots: SnapshotBatch
    message_before: tuple[int, int]


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """One replay step: whole messages and the snapshots due by the last of them.

    Attributes:
        deltas: Whole messages; None where the book is made of snapshots alone.
        due: Scheduled snapshots.
        position: Position in the inputs behind the step.
        ends_part: Whether a part of the published books ends with the step.
        live: State and findings of a live replay; None in the replay of a day.
    """

    deltas: DeltaBatch | None
    due: DueSnapshots
    position: ReplayPosition
    ends_part: bool
    live: LiveState | None = None


class ReplaySteps:
    """Divides the inputs of one replay into steps, batch by batch. The base of both kinds of steps; has none itself.

    Args:
        scheduler: Hands out the snapshots; steps begin at its position.
        until: Last instant that is wanted; by default the end of the inputs.
    """

    def __init__(self, scheduler: SnapshotScheduler, until: Instant | None = None) -> None:
        self._ended = True
        self._scheduler = scheduler
        self._until = until

    def ended(self) -> bool:
        """Return whether no more deltas are wanted: the end instant has been passed, or deltas are not used at all."""
        return self._ended

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """Return the steps of the next whole messages."""
        return iter(())

    def finish(self) -> Iterator[ReplayStep]:
        """Return the steps that are left after the last message."""
        return iter(())


class DeltaSteps(ReplaySteps):
    """Steps of messages, with the snapshots that are due in each; snapshots that no message reaches shape nothing.

    A part of the published books ends with the message that completes its deltas, however the deltas come in batches.
    """

    def __init__(self, scheduler: SnapshotScheduler, until: Instant | None = None) -> None:
        super().__init__(scheduler, until)
        self._ended = False
        self._done = scheduler.position.deltas
        self._part_end = self._done + PART_DELTAS

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """Return the steps of the next whole messages."""
        count = len(deltas) if self._until is None else self._until.count(deltas)
        self._ended = count < len(deltas)
        start = 0
        while start < count:
            stop = self._stop(deltas, start, count)
            batch = deltas.slice(start, stop)
            self._done += len(batch)
            ends_part = self._done >= self._part_end
            if ends_part:
                self._part_end = self._done + PART_DELTAS
            yield self._step(batch, ends_part)
            start = stop

    def _stop(self, deltas: DeltaBatch, start: int, count: int) -> int:
        """Return the row before which the step that begins at `start` ends, `count` at most."""
        wanted = start + self._part_end - self._done
        if wanted >= count:
            return count
        return int(np.searchsorted(deltas.sequence_number, deltas.sequence_number[wanted - 1], "right"))

    def _step(self, batch: DeltaBatch, ends_part: bool) -> ReplayStep:
        due = self._scheduler.due_by(int(batch.sequence_number[-1]))
        position = replace(self._scheduler.position, deltas=self._done)
        return ReplayStep(batch, due, position, ends_part)


class SnapshotSteps(ReplaySteps):
    """Steps of snapshots alone; deltas are not wanted."""

    def finish(self) -> Iterator[ReplayStep]:
        """Return the steps of all snapshots that are left."""
        part_end = self._scheduler.position.snapshots + PART_SNAPSHOTS
        for due in self._scheduler.remaining(PART_SNAPSHOTS):
            count = len(due.used) if self._until is None else self._until.count(due.used)
            position = self._scheduler.position
            ends_part = position.snapshots >= part_end
            if ends_part:
                part_end = position.snapshots + PART_SNAPSHOTS
            shown = DueSnapshots(due.used.take(slice(0, count)), due.forced[:count], due.rejected)
            yield ReplayStep(None, shown, position, ends_part)
            if count < len(due.used):
                return
