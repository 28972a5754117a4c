"""How a book is rebuilt: which snapshots seed, extend and repair it, and when its rows are in doubt. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.replay.live_flag_timeline import Edges
from order_book_platform.replay.snapshot_inbox import Arrived
from order_book_platform.replay.snapshot_scheduler import (
    DueSnapshots,
    ReplayPosition,
    SnapshotScheduler,
    SnapshotSelector,
)
from order_book_platform.replay.snapshot_selection import AllButEveryNth, EveryNthSnapshot

PART_DELTAS = 1_048_576
"""Deltas of a part of the published books; the message that completes them belongs to it."""
PART_SNAPSHOTS = 65_536
"""Snapshots of a part, where a book is made of these alone."""


@dataclass(frozen=True, slots=True)
class Instant:
    """A point of a day, by exchange time or by sequence number; one of the two.

    Attributes:
        at_ns: the last event with origin_time ≤ it.
        sequence_number: the last event with a sequence number ≤ it.
    """

    at_ns: int | None = None
    sequence_number: int | None = None

    def count(self, events: DeltaBatch | SnapshotBatch) -> int:
        """How many of the events come no later, from the first one on."""
        if self.sequence_number is not None:
            return int(np.searchsorted(events.sequence_number, self.sequence_number, "right"))
        later = events.origin_time > (self.at_ns or 0)
        return int(later.argmax()) if later.any() else len(events)


@dataclass(frozen=True, slots=True)
class ReplayStep:
    """What is done to a book at once.

    Attributes:
        deltas: whole messages; none where the book is made of snapshots alone.
        due: of the plan.
        place: where the day stands afterwards.
        ends_part: whether a part of the published books ends here.
        tail: of a live tail, what else was found; of a day None.
    """

    deltas: DeltaBatch | None
    due: DueSnapshots
    place: ReplayPosition
    ends_part: bool
    tail: LiveState | None = None


@dataclass(frozen=True, slots=True)
class LiveState:
    """What following a live capture knows after a step, and what it found in it.

    Attributes:
        arrived: where the snapshots stand.
        finder: what the search for breaks remembers: whether there are ids, messages, the last one's number and time.
        doubt: bits in force, and the deadline of open gaps.
        recover_from: int64[r], recovery points that no snapshot has met.
        edges: where doubt changes in this step.
        breaks: found in this step.
        late: snapshots that came too late for it.
        before: sequence number and origin time of the last message before it.
    """

    arrived: Arrived
    finder: tuple[bool, int, int, int]
    doubt: tuple[int, int]
    recover_from: NDArray[np.int64]
    edges: Edges
    breaks: list[GapCandidate]
    late: SnapshotBatch
    before: tuple[int, int]


class StepCutter(Protocol):
    """Cuts one day into steps, batch by batch."""

    def ended(self) -> bool:
        """Whether no deltas are wanted any more: the instant has been passed, or they are not used at all."""

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """The steps of the next whole messages."""

    def finish(self) -> Iterator[ReplayStep]:
        """The steps that are left after the last message."""


class Strategy(Protocol):
    """How a book is rebuilt: decides before the replay, then drives it."""

    name: str

    def choice(self) -> SnapshotSelector:
        """A fresh choice of the snapshots that shape the book."""

    def doubt(self, doubt: FlagTimeline) -> FlagTimeline:
        """What of the day's doubt concerns this strategy."""

    def cutter(self, planner: SnapshotScheduler, until: Instant | None = None) -> StepCutter:
        """Cuts the day into steps, from where the planner stands, to its end or up to an instant."""

    def apply(self, book: Book, step: ReplayStep) -> Iterator[NDArray[np.int64]]:
        """Take a step; rows as `Book.feed` gives them."""


class FullEventReplay:
    """Every delta is applied; snapshots seed, extend and repair.

    Args:
        extend_every: every n-th snapshot after the seed may extend or repair; 0 for the seed alone, and then nothing
            recovers from a gap.
    """

    name = "full_event"

    def __init__(self, extend_every: int) -> None:
        self.extend_every = extend_every

    def choice(self) -> SnapshotSelector:
        """See `Strategy.choice`."""
        return EveryNthSnapshot(self.extend_every)

    def doubt(self, doubt: FlagTimeline) -> FlagTimeline:
        """See `Strategy.doubt`."""
        return doubt

    def cutter(self, planner: SnapshotScheduler, until: Instant | None = None) -> StepCutter:
        """See `Strategy.cutter`."""
        return DeltaSteps(planner, until)

    def apply(self, book: Book, step: ReplayStep) -> Iterator[NDArray[np.int64]]:
        """See `Strategy.apply`."""
        assert step.deltas is not None
        if step.tail is not None:
            book.add_edges(step.tail.edges.sequence, step.tail.edges.bits)
        book.add_snapshots(step.due.used, step.due.forced)
        return book.feed(step.deltas)


class SnapshotReplay:
    """Deltas are not used: each snapshot is the book until the next one comes. For days whose deltas contradict them.

    Args:
        hold_out_every: every n-th snapshot, at most every second, is held out as evidence of what a book of snapshots
            misses; 0: none is.
    """

    name = "snapshot"

    def __init__(self, hold_out_every: int) -> None:
        self.hold_out_every = max(hold_out_every, 2) if hold_out_every else 0

    def choice(self) -> SnapshotSelector:
        """See `Strategy.choice`."""
        return AllButEveryNth(self.hold_out_every)

    def doubt(self, doubt: FlagTimeline) -> FlagTimeline:
        """See `Strategy.doubt`. Gaps of the deltas say nothing of a book that is made without them."""
        return FlagTimeline.none()

    def cutter(self, planner: SnapshotScheduler, until: Instant | None = None) -> StepCutter:
        """See `Strategy.cutter`."""
        return SnapshotSteps(planner, until)

    def apply(self, book: Book, step: ReplayStep) -> Iterator[NDArray[np.int64]]:
        """See `Strategy.apply`."""
        book.add_snapshots(step.due.used, step.due.forced)
        return book.show_snapshots()


class DeltaSteps:
    """Steps of deltas, with the snapshots that fall due in each; see `StepCutter`.

    A part ends with the message that completes its deltas, however these come.
    """

    def __init__(self, planner: SnapshotScheduler, until: Instant | None) -> None:
        self._ended = False
        self._planner = planner
        self._until = until
        self._done = planner.place.deltas
        self._part_end = self._done + PART_DELTAS

    def ended(self) -> bool:
        """See `StepCutter.ended`."""
        return self._ended

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """See `StepCutter.take`."""
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

    def finish(self) -> Iterator[ReplayStep]:
        """See `StepCutter.finish`: snapshots that no message reaches shape nothing."""
        return iter(())

    def _stop(self, deltas: DeltaBatch, start: int, count: int) -> int:
        """The row before which the step that begins at `start` ends."""
        return _end_of_message(deltas, start + self._part_end - self._done, count)

    def _step(self, batch: DeltaBatch, ends_part: bool) -> ReplayStep:
        due = self._planner.until(int(batch.sequence_number[-1]))
        return ReplayStep(batch, due, self._planner.place.after(self._done), ends_part)


class SnapshotSteps:
    """Steps of snapshots alone; see `StepCutter`."""

    def __init__(self, planner: SnapshotScheduler, until: Instant | None) -> None:
        self._planner = planner
        self._until = until

    def ended(self) -> bool:
        """See `StepCutter.ended`."""
        return True

    def take(self, deltas: DeltaBatch) -> Iterator[ReplayStep]:
        """See `StepCutter.take`."""
        return iter(())

    def finish(self) -> Iterator[ReplayStep]:
        """See `StepCutter.finish`."""
        part_end = self._planner.place.snapshots + PART_SNAPSHOTS
        for due in self._planner.pieces(PART_SNAPSHOTS):
            count = len(due.used) if self._until is None else self._until.count(due.used)
            place = self._planner.place
            ends_part = place.snapshots >= part_end
            if ends_part:
                part_end = place.snapshots + PART_SNAPSHOTS
            shown = DueSnapshots(due.used.take(slice(0, count)), due.forced[:count], due.rejected)
            yield ReplayStep(None, shown, place, ends_part)
            if count < len(due.used):
                return


STRATEGIES: dict[str, Callable[[int], Strategy]] = {
    strategy.name: strategy for strategy in (FullEventReplay, SnapshotReplay)
}
"""By name; each takes `reconstruct.extend_every`."""


def _end_of_message(batch: DeltaBatch, wanted: int, count: int) -> int:
    """End of the message that holds row `wanted` - 1, or `count` where that comes first."""
    if wanted >= count:
        return count
    return int(np.searchsorted(batch.sequence_number, batch.sequence_number[wanted - 1], "right"))
