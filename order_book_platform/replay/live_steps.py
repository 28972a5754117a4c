"""Divides a live capture into replay steps: like a day, but gaps are found on the way and snapshots arrive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.errors import BatchError
from order_book_platform.replay.gap_detector import GapDetector
from order_book_platform.replay.live_flag_timeline import LiveFlagTimeline
from order_book_platform.replay.replay_steps import DeltaSteps, LiveState, ReplayStep
from order_book_platform.replay.snapshot_inbox import SnapshotInbox
from order_book_platform.replay.snapshot_scheduler import ReplayPosition, SnapshotScheduler
from order_book_platform.replay.snapshot_selection import EveryNthSnapshot
from order_book_platform.settings import Settings


class LiveSteps(DeltaSteps):
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
        late = self.inbox.advance(batch)
        released = self.inbox.release(int(batch.sequence_number[-1]))
        pairs, gaps = detector.feed(batch, released)
        # Recovery points come first: they decide which of the snapshots that are due now repair the book.
        self._scheduler.add_recovery_points(timeline.recover_from(gaps))
        step = super()._step(batch, ends_part)
        flag_changes = timeline.changes(pairs, gaps, step.due.used.sequence_number)
        state = LiveState(
            self.inbox.state,
            (detector.has_ids, detector.messages, detector.last_sequence, detector.last_ns),
            (timeline.bits, timeline.deadline_ns),
            self._scheduler.open_recovery_points,
            flag_changes,
            gaps,
            late,
            message_before,
        )
        return replace(step, live=state)
