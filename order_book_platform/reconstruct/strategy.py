"""How a book is rebuilt: which snapshots seed, extend and repair it, and when its rows are in doubt. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.kernels.book import USES, Book, Plan
from order_book_platform.kernels.replay import OUTCOME_CHANGED, OUTCOME_COMPARED, OUTCOME_USE, OUTCOME_WRONG
from order_book_platform.model import DeltaBatch, SnapshotBatch
from order_book_platform.model.doubt import Doubt
from order_book_platform.model.schemas import USED_SNAPSHOTS
from order_book_platform.model.snapshots import SnapshotDefect, candidate_rows, snapshot_defects


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A strategy's decisions for one day.

    Attributes:
        plan: what the replay needs.
        rejected: candidates that failed their quality gate; nothing was taken from them, and they are no evidence.
    """

    plan: Plan
    rejected: SnapshotBatch


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


class Strategy(Protocol):
    """How a book is rebuilt: decides before the replay, then drives it."""

    name: str

    def plan(self, snapshots: SnapshotBatch, gaps: pa.Table, tick_pips: int) -> ReplayPlan:
        """Decide which snapshots shape the book and which rows are doubtful.

        Args:
            snapshots: all of the day, ascending by sequence number.
            gaps: table with schema `GAPS`.
            tick_pips: of the deltas.
        """

    def rows(
        self, book: Book, batches: Iterator[DeltaBatch], until: Instant | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """Drive a book, planned by this strategy, through the day or up to an instant; rows as `Book.feed` gives."""


class FullEventReplay:
    """Every delta is applied; snapshots seed, extend and repair.

    Args:
        extend_every: every n-th snapshot after the seed may extend or repair; 0 for the seed alone, and then nothing
            recovers from a gap.
    """

    name = "full_event"

    def __init__(self, extend_every: int) -> None:
        self.extend_every = extend_every

    def plan(self, snapshots: SnapshotBatch, gaps: pa.Table, tick_pips: int) -> ReplayPlan:
        """See `Strategy.plan`."""
        defects = snapshot_defects(snapshots, tick_pips)
        rows = candidate_rows(defects, self.extend_every)
        doubt = Doubt.of_gaps(gaps)
        used = snapshots.take(rows[defects[rows] == SnapshotDefect.NONE])
        return ReplayPlan(
            Plan(used, doubt.forced(used.sequence_number), doubt.edge_sequence, doubt.edge_bits),
            snapshots.take(rows[defects[rows] != SnapshotDefect.NONE]),
        )

    def rows(
        self, book: Book, batches: Iterator[DeltaBatch], until: Instant | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """See `Strategy.rows`."""
        for batch in batches:
            count = len(batch) if until is None else until.count(batch)
            yield from book.feed(batch.slice(0, count))
            if count < len(batch):
                return


class SnapshotReplay:
    """Deltas are not used: each snapshot is the book until the next one comes. For days whose deltas contradict them.

    Args:
        hold_out_every: every n-th snapshot, at most every second, is held out as evidence of what a book of snapshots
            misses; 0: none is.
    """

    name = "snapshot"

    def __init__(self, hold_out_every: int) -> None:
        self.hold_out_every = max(hold_out_every, 2) if hold_out_every else 0

    def plan(self, snapshots: SnapshotBatch, gaps: pa.Table, tick_pips: int) -> ReplayPlan:
        """See `Strategy.plan`. Gaps of the deltas say nothing of a book that is made without them."""
        defects = snapshot_defects(snapshots, tick_pips)
        # From the first one on, which has nothing before it that it could be held against.
        place = np.arange(1, len(defects) + 1)
        rows = np.flatnonzero(place % self.hold_out_every != 0) if self.hold_out_every else place - 1
        used = snapshots.take(rows[defects[rows] == SnapshotDefect.NONE])
        return ReplayPlan(
            Plan(used, np.zeros(len(used), np.bool_)),
            snapshots.take(rows[defects[rows] != SnapshotDefect.NONE]),
        )

    def rows(
        self, book: Book, batches: Iterator[DeltaBatch], until: Instant | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """See `Strategy.rows`."""
        return book.show_snapshots(None if until is None else until.count(book.plan.snapshots))


def used_snapshots(plan: ReplayPlan, outcome: NDArray[np.int64]) -> pa.Table:
    """Table with schema `USED_SNAPSHOTS`: what became of each candidate that the replay reached.

    Args:
        plan: of the replay.
        outcome: int64[m, 4], see `kernels.replay`.
    """
    taken = plan.plan.snapshots
    rows: list[dict[str, Any]] = [
        {
            "sequence_number": int(taken.sequence_number[i]),
            "origin_time": int(taken.origin_time[i]),
            "use": USES[int(result[OUTCOME_USE])],
            "levels_compared": int(result[OUTCOME_COMPARED]),
            "levels_wrong": int(result[OUTCOME_WRONG]),
            "levels_added": int(result[OUTCOME_CHANGED]),
        }
        for i, result in enumerate(outcome)
    ]
    rows += [
        {
            "sequence_number": int(sequence),
            "origin_time": int(origin),
            "use": "rejected",
            "levels_compared": 0,
            "levels_wrong": 0,
            "levels_added": 0,
        }
        for sequence, origin in zip(plan.rejected.sequence_number, plan.rejected.origin_time, strict=True)
    ]
    return pa.Table.from_pylist(sorted(rows, key=lambda row: row["sequence_number"]), schema=USED_SNAPSHOTS)
