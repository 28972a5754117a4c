"""Strategies: which snapshots seed, extend and repair a book, which flags its rows carry, and how it is driven.

A strategy decides before the replay, then drives it. Its `name` stands in settings and manifests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.replay_steps import (
    Instant,
    ReplayStep,
    ReplaySteps,
    SnapshotSteps,
)
from order_book_platform.replay.snapshot_scheduler import (
    AllButEveryNth,
    EveryNthSnapshot,
    SnapshotScheduler,
    SnapshotSelector,
)


class FullEventReplay:
    """Every delta is applied; snapshots seed, extend and repair.

    Args:
        extend_every: Every n-th snapshot after the seed may extend or repair; 0 uses the seed alone, and then nothing
            recovers from a gap.
    """

    name = "full_event"

    def __init__(self, extend_every: int) -> None:
        self.extend_every = extend_every

    def selector(self) -> SnapshotSelector:
        """Return a fresh selector of the first sound snapshot and every n-th after it."""
        return EveryNthSnapshot(self.extend_every)

    def timeline(self, timeline: FlagTimeline) -> FlagTimeline:
        """Return what of the flag timeline of a day concerns a book of this strategy: all of it."""
        return timeline

    def steps(self, scheduler: SnapshotScheduler, until: Instant | None = None) -> ReplaySteps:
        """Divide the deltas into steps, from the scheduler's position to their end or up to an instant."""
        return ReplaySteps(scheduler, until)

    def apply(self, book: Book, step: ReplayStep) -> Iterator[Int64Array]:
        """Schedule the flag changes and snapshots of a step, apply its deltas, and return rows as `Book.feed` does."""
        assert step.deltas is not None
        if step.live is not None:
            book.add_flag_changes(step.live.flag_changes)
        book.add_snapshots(step.due.merged, step.due.forced)
        return book.feed(step.deltas)


class SnapshotReplay:
    """Each snapshot is the book until the next one comes; deltas are not used. For days whose deltas contradict them.

    Args:
        hold_out_every: Every n-th snapshot, at most every second, is held out as evidence of what a book of snapshots
            misses; 0 holds out none.
    """

    name = "snapshot"

    def __init__(self, hold_out_every: int) -> None:
        self.hold_out_every = max(hold_out_every, 2) if hold_out_every else 0

    def selector(self) -> SnapshotSelector:
        """Return a fresh selector of all snapshots that are not held out."""
        return AllButEveryNth(self.hold_out_every)

    def timeline(self, timeline: FlagTimeline) -> FlagTimeline:
        """Return an empty timeline: gaps of the deltas say nothing about a book that is made without deltas."""
        return FlagTimeline.none()

    def steps(self, scheduler: SnapshotScheduler, until: Instant | None = None) -> ReplaySteps:
        """Divide the snapshots into steps, from the scheduler's position to their end or up to an instant."""
        return SnapshotSteps(scheduler, until)

    def apply(self, book: Book, step: ReplayStep) -> Iterator[Int64Array]:
        """Replace the book by each snapshot of a step in turn."""
        book.add_snapshots(step.due.used, step.due.forced)
        return book.show_snapshots()


Strategy = FullEventReplay | SnapshotReplay
"""The way a book is rebuilt."""

STRATEGIES: dict[str, Callable[[int], Strategy]] = {
    strategy.name: strategy for strategy in (FullEventReplay, SnapshotReplay)
}
"""Strategies by name; each is called with `reconstruct.extend_every`."""
