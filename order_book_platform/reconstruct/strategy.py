"""How a book is rebuilt: which snapshots seed, extend and repair it, and when its rows are in doubt. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from order_book_platform.kernels.book import Book
from order_book_platform.model import DeltaBatch, SnapshotBatch
from order_book_platform.model.doubt import Doubt
from order_book_platform.model.planning import Choice, Due, Place, Planner
from order_book_platform.model.snapshots import Candidates, HeldOutEvery

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
class Step:
    """What is done to a book at once.

    Attributes:
        deltas: whole messages; none where the book is made of snapshots alone.
        due: of the plan.
        place: where the day stands afterwards.
        ends_part: whether a part of the published books ends here.
    """

    deltas: DeltaBatch | None
    due: Due
    place: Place
    ends_part: bool


class Strategy(Protocol):
    """How a book is rebuilt: decides before the replay, then drives it."""

    name: str

    def choice(self) -> Choice:
        """A fresh choice of the snapshots that shape the book."""

    def doubt(self, doubt: Doubt) -> Doubt:
        """What of the day's doubt concerns this strategy."""

    def steps(
        self, deltas: Iterator[DeltaBatch], planner: Planner, until: Instant | None = None
    ) -> Iterator[Step]:
        """Cut the day, from where the planner stands, or its beginning up to an instant, into steps.

        Args:
            deltas: whole messages from the planner's place on.
            planner: of this strategy's choice.
            until: where to end.
        """

    def apply(self, book: Book, step: Step) -> Iterator[NDArray[np.int64]]:
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

    def choice(self) -> Choice:
        """See `Strategy.choice`."""
        return Candidates(self.extend_every)

    def doubt(self, doubt: Doubt) -> Doubt:
        """See `Strategy.doubt`."""
        return doubt

    def steps(
        self, deltas: Iterator[DeltaBatch], planner: Planner, until: Instant | None = None
    ) -> Iterator[Step]:
        """See `Strategy.steps`. A part ends with the message that completes its deltas, however these come."""
        done = planner.place.deltas
        part_end = done + PART_DELTAS
        for whole in deltas:
            count = len(whole) if until is None else until.count(whole)
            start = 0
            while start < count:
                stop = _end_of_message(whole, start + part_end - done, count)
                batch = whole.slice(start, stop)
                done += len(batch)
                ends_part = done >= part_end
                if ends_part:
                    part_end = done + PART_DELTAS
                due = planner.until(int(batch.sequence_number[-1]))
                yield Step(batch, due, planner.place.after(done), ends_part)
                start = stop
            if count < len(whole):
                return

    def apply(self, book: Book, step: Step) -> Iterator[NDArray[np.int64]]:
        """See `Strategy.apply`."""
        assert step.deltas is not None
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

    def choice(self) -> Choice:
        """See `Strategy.choice`."""
        return HeldOutEvery(self.hold_out_every)

    def doubt(self, doubt: Doubt) -> Doubt:
        """See `Strategy.doubt`. Gaps of the deltas say nothing of a book that is made without them."""
        return Doubt.none()

    def steps(
        self, deltas: Iterator[DeltaBatch], planner: Planner, until: Instant | None = None
    ) -> Iterator[Step]:
        """See `Strategy.steps`."""
        part_end = planner.place.snapshots + PART_SNAPSHOTS
        for due in planner.pieces(PART_SNAPSHOTS):
            count = len(due.used) if until is None else until.count(due.used)
            place = planner.place
            ends_part = place.snapshots >= part_end
            if ends_part:
                part_end = place.snapshots + PART_SNAPSHOTS
            shown = Due(due.used.take(slice(0, count)), due.forced[:count], due.rejected)
            yield Step(None, shown, place, ends_part)
            if count < len(due.used):
                return

    def apply(self, book: Book, step: Step) -> Iterator[NDArray[np.int64]]:
        """See `Strategy.apply`."""
        book.add_snapshots(step.due.used, step.due.forced)
        return book.show_snapshots()


STRATEGIES: dict[str, Callable[[int], Strategy]] = {
    strategy.name: strategy for strategy in (FullEventReplay, SnapshotReplay)
}
"""By name; each takes `reconstruct.extend_every`."""


def _end_of_message(batch: DeltaBatch, wanted: int, count: int) -> int:
    """End of the message that holds row `wanted` - 1, or `count` where that comes first."""
    if wanted >= count:
        return count
    return int(np.searchsorted(batch.sequence_number, batch.sequence_number[wanted - 1], "right"))
