"""Divides the inputs of a replay into steps: whole messages, with the snapshots that are due by the last of them.

In a live capture the steps are those of a day, but gaps are found on the way and snapshots arrive.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.flag_timeline import FlagChanges, LiveFlagTimeline
from order_book_platform.replay.gap_detector import GapCandidate, GapDetector
from order_book_platform.replay.snapshot_inbox import InboxState, SnapshotInbox
from order_book_platform.replay.snapshot_scheduler import (
    DueSnapshots,
    EveryNthSnapshot,
    ReplayPosition,
    SnapshotScheduler,
)
from order_book_platform.settings import Settings

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
        late_snapshots: Snapshots that came too late for this step and could not be brought up to date.
        late_reasons: Of each of them, why.
        message_before: Sequence number and origin time, ns, of the last message before this step.
    """

    inbox: InboxState
    detector: tuple[bool, int, int, int]
    timeline: tuple[int, int]
    recover_from: Int64Array
    flag_changes: FlagChanges
    gaps: list[GapCandidate]
    late_snapshots: SnapshotBatch
    late_reasons: list[str]
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
    """Divides messages into steps, batch by batch, with the snapshots that are due in each.

    Snapshots that no message reaches shape nothing. A part of the published books ends with the message that completes
    its deltas, however the deltas come in batches.

    Args:
        scheduler: Hands out the snapshots; steps begin at its position.
        until: Last instant that is wanted; by default the end of the inputs.
    """

    def __init__(self, scheduler: SnapshotScheduler, until: Instant | None = None) -> None:
        self._ended = False
        self._scheduler = scheduler
        self._until = until
        self._done = scheduler.position.deltas
        self._part_end = self._done + PART_DELTAS

    def ended(self) -> bool:
        """Return whether no more deltas are wanted: the end instant has been passed, or deltas are not used at all."""
        return self._ended

    def finish(self) -> Iterator[ReplayStep]:
        """Return the steps that are left after the last message."""
        return iter(())

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
        return self._step_with(batch, ends_part, self._scheduler.due_by(batch))

    def _step_with(self, batch: DeltaBatch, ends_part: bool, due: DueSnapshots) -> ReplayStep:
        position = replace(self._scheduler.position, deltas=self._done)
        return ReplayStep(batch, due, position, ends_part)


class SnapshotSteps(ReplaySteps):
    """Steps of snapshots alone; deltas are not wanted."""

    def ended(self) -> bool:
        """Return that no deltas are wanted."""
        return True

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """Return no step of deltas."""
        return iter(())

    def finish(self) -> Iterator[ReplayStep]:
        """Return the steps of all snapshots that are left."""
        part_end = self._scheduler.position.snapshots + PART_SNAPSHOTS
        for due in self._scheduler.remaining(PART_SNAPSHOTS):
            count = len(due.used) if self._until is None else self._until.count(due.used)
            position = self._scheduler.position
            ends_part = position.snapshots >= part_end
            if ends_part:
                part_end = position.snapshots + PART_SNAPSHOTS
            used = due.used.take(slice(0, count))
            shown = DueSnapshots(used, used, due.forced[:count], due.rejected)
            yield ReplayStep(None, shown, position, ends_part)
            if count < len(due.used):
                return


class LiveSteps(ReplaySteps):
    """Steps of deltas as they come.

    Args:
        settings: Gap thresholds (`gaps`) and `reconstruct.extend_every`.
        tick: Tick of the deltas, encoded.
        position: Where to go on in both logs.
        state: State of the live replay at that position; None at the beginning.

    Attributes:
        inbox: Is given the snapshots; those that arrived before a message come before it.
    """

    def __init__(
        self, settings: Settings, tick: int, position: ReplayPosition, state: LiveState | None
    ) -> None:
        gaps = settings.gaps
        self.inbox = SnapshotInbox(state.inbox if state else None)
        recover_from = state.recover_from if state else np.empty(0, np.int64)
        selector = EveryNthSnapshot(settings.reconstruct.extend_every)
        super().__init__(SnapshotScheduler(self.inbox, selector, recover_from, tick, position))
        self._detector = GapDetector(gaps.silence, *(state.detector if state else ()))
        self._timeline = LiveFlagTimeline(
            gaps.recover_after, gaps.snapshot_reach, *(state.timeline if state else ())
        )

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """Return the steps of the next whole messages.

        Raises:
            BatchError: The messages do not come after those before.
        """
        first, detector = int(deltas.sequence_number[0]), self._detector
        if detector.messages and first <= detector.last_sequence:
            raise BatchError(
                expected=f"a message after {detector.last_sequence}, each of them appended as a whole",
                found=f"one of number {first}",
                where=f"log of raw_deltas, row {self._done}",
                remedy="Correct what writes the log: numbers ascend, and all rows of a message go in one whole append.",
            )
        yield from super().take(deltas)

    def _stop(self, deltas: DeltaBatch, start: int, count: int) -> int:
        stop = super()._stop(deltas, start, count)
        return start + self.inbox.rows_until_arrival(deltas.slice(start, stop))

    def _step(self, batch: DeltaBatch, ends_part: bool) -> ReplayStep:
        detector, timeline = self._detector, self._timeline
        message_before = detector.last_sequence, detector.last_ns
        recent = self.inbox.state.recent
        late, late_reasons = self.inbox.advance(batch)
        released = self.inbox.release(int(batch.sequence_number[-1]))
        pairs, gaps = detector.feed(batch, released)
        # Recovery points come first: they decide which of the snapshots that are due now repair the book.
        self._scheduler.recovery_points.proven_by_ids = detector.has_ids
        self._scheduler.recovery_points.add(timeline.recover_from(gaps))
        step = self._step_with(batch, ends_part, self._scheduler.due_by(batch, recent))
        # A snapshot that was behind the book ends gaps as one of the last message.
        used_sequence = np.maximum(step.due.used.sequence_number, recent.number)
        flag_changes = timeline.changes(pairs, gaps, used_sequence)
        state = LiveState(
            self.inbox.state,
            (detector.has_ids, detector.messages, detector.last_sequence, detector.last_ns),
            (timeline.bits, timeline.deadline_ns),
            self._scheduler.recovery_points.open,
            flag_changes,
            gaps,
            late,
            late_reasons,
            message_before,
        )
        return replace(step, live=state)
