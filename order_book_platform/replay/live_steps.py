"""A live tail cut into steps: as a day is, with the gaps found on the way and the snapshots as they arrive. No I/O."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import BatchError
from order_book_platform.replay.gap_detector import GapDetector
from order_book_platform.replay.live_flag_timeline import LiveFlagTimeline
from order_book_platform.replay.snapshot_inbox import SnapshotInbox
from order_book_platform.replay.snapshot_scheduler import ReplayPosition, SnapshotScheduler
from order_book_platform.replay.snapshot_selection import EveryNthSnapshot
from order_book_platform.replay.strategy import DeltaSteps, LiveState, ReplayStep
from order_book_platform.settings import Settings


class LiveSteps(DeltaSteps):
    """Steps of deltas as they come; see `StepCutter`.

    Args:
        settings: `gaps`, and `reconstruct.extend_every`.
        tick_pips: of the deltas.
        place: where to go on in both logs.
        state: what was known there.

    Attributes:
        arrivals: gets the snapshots.
    """

    def __init__(
        self, settings: Settings, tick_pips: int, place: ReplayPosition, state: LiveState | None
    ) -> None:
        gaps = settings.gaps
        self.arrivals = SnapshotInbox(state.arrived if state else None)
        points = state.recover_from if state else np.empty(0, np.int64)
        choice = EveryNthSnapshot(settings.reconstruct.extend_every)
        planner = SnapshotScheduler(self.arrivals, choice, points, tick_pips, place)
        super().__init__(planner, None)
        self._finder = GapDetector(gaps.silence, *(state.finder if state else ()))
        self._doubt = LiveFlagTimeline(
            gaps.recover_after, gaps.snapshot_reach, *(state.doubt if state else ())
        )

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """See `StepCutter.take`.

        Raises:
            BatchError: the messages do not come after those before.
        """
        first, finder = int(deltas.sequence_number[0]), self._finder
        if finder.messages and first <= finder.last_sequence:
            raise BatchError(
                expected=f"a message after {finder.last_sequence}, each of them appended as a whole",
                found=f"one of number {first}",
                where=f"log of raw_deltas, row {self._done}",
                remedy="Correct what writes the log: numbers ascend, and all rows of a message go in one whole append.",
            )
        yield from super().take(deltas)

    def arrive(self, snapshots: SnapshotBatch) -> None:
        """Take the next snapshots of the log; those that arrived before a message come before it."""
        self.arrivals.arrive(snapshots)

    def _stop(self, deltas: DeltaBatch, start: int, count: int) -> int:
        stop = super()._stop(deltas, start, count)
        return start + self.arrivals.cut(deltas.slice(start, stop))

    def _step(self, batch: DeltaBatch, ends_part: bool) -> ReplayStep:
        before = self._finder.last_sequence, self._finder.last_ns
        late = self.arrivals.enter(batch)
        released = self.arrivals.release(int(batch.sequence_number[-1]))
        pairs, breaks = self._finder.feed(batch, released)
        self._planner.recover(self._doubt.recover_from(breaks))
        step = super()._step(batch, ends_part)
        edges = self._doubt.edges(pairs, breaks, step.due.used.sequence_number)
        finder = self._finder
        state = LiveState(
            self.arrivals.now,
            (finder.has_ids, finder.messages, finder.last_sequence, finder.last_ns),
            (self._doubt.bits, self._doubt.deadline_ns),
            self._planner.recover_from,
            edges,
            breaks,
            late,
            before,
        )
        return ReplayStep(step.deltas, step.due, step.place, step.ends_part, state)
