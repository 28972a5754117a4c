"""What became of the snapshots of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import USED_SNAPSHOTS_SCHEMA
from order_book_platform.kernels.book.replay_arrays import (
    OUTCOME_CHANGED,
    OUTCOME_COMPARED,
    OUTCOME_USE,
    OUTCOME_WRONG,
    USE_SEEDED,
)
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.book import USES
from order_book_platform.replay.growable_array import GrowableArray
from order_book_platform.replay.snapshot_scheduler import DueSnapshots


class SnapshotOutcomes:
    """What has been handed out of a plan: enough to say, at the end, what became of each snapshot.

    Args:
        saved: of `saved`, to go on from.
    """

    def __init__(self, saved: Mapping[str, Int64Array] | None = None) -> None:
        saved = saved or {}
        self._used = GrowableArray(2, saved.get("used"))
        self._rejected = GrowableArray(2, saved.get("rejected"))
        self._outcome = GrowableArray(4, saved.get("outcome"))

    def add(self, due: DueSnapshots) -> None:
        """Remember the next ones."""
        for kept, batch in ((self._used, due.used), (self._rejected, due.rejected)):
            if len(batch):
                kept.add(np.stack([batch.sequence_number, batch.origin_time], 1))

    def came_of(self, outcome: Int64Array) -> None:
        """Remember what came of the next ones.

        Args:
            outcome: int64[m, 4], of `Book.take_outcome`.
        """
        self._outcome.add(outcome)

    def saved(self) -> dict[str, Int64Array]:
        """All of it, as views: used and rejected int64[n, 2], sequence number and origin time; outcome int64[m, 4].

        Rows are only ever added, so that two of these differ in what the later one has more.
        """
        return {"used": self._used.rows, "rejected": self._rejected.rows, "outcome": self._outcome.rows}

    def table(self) -> tuple[pa.Table, Counter[str], int | None]:
        """What became of those that the replay reached, and of all that were rejected.

        Returns:
            A table with schema `USED_SNAPSHOTS_SCHEMA`, how many snapshots had each use, and the sequence number of the
            first that seeded.
        """
        outcome, rejected = self._outcome.rows, self._rejected.rows
        used = self._used.rows[: len(outcome)]
        nothing = np.zeros((len(rejected), 4), np.int64)
        rows = np.concatenate([np.hstack([used, outcome]), np.hstack([rejected, nothing])])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        results = rows[:, 2:]
        names = np.array([USES.get(use, "rejected") for use in range(max(USES) + 1)])
        columns = {
            "sequence_number": rows[:, 0],
            "origin_time": rows[:, 1],
            "use": names[results[:, OUTCOME_USE]],
            "levels_compared": results[:, OUTCOME_COMPARED],
            "levels_wrong": results[:, OUTCOME_WRONG],
            "levels_added": results[:, OUTCOME_CHANGED],
        }
        seeds = used[outcome[:, OUTCOME_USE] == USE_SEEDED, 0]
        return (
            pa.table(columns, schema=USED_SNAPSHOTS_SCHEMA),
            Counter(columns["use"].tolist()),
            int(seeds[0]) if len(seeds) else None,
        )
