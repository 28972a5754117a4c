"""Outcome of each snapshot that a replay was given, kept until the end of the day."""

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
from order_book_platform.replay.book import SNAPSHOT_USES
from order_book_platform.replay.scheduled_inputs import GrowableArray
from order_book_platform.replay.snapshot_scheduler import DueSnapshots


class SnapshotOutcomes:
    """Collects the snapshots that were due in a replay, and what the book did with them; goes on from `saved`."""

    def __init__(self, saved: Mapping[str, Int64Array] | None = None) -> None:
        saved = saved or {}
        self._used = GrowableArray(2, saved.get("used"))
        self._rejected = GrowableArray(2, saved.get("rejected"))
        self._outcome = GrowableArray(4, saved.get("outcome"))

    def add_due(self, due: DueSnapshots) -> None:
        """Note the next snapshots that are due."""
        for kept, batch in ((self._used, due.used), (self._rejected, due.rejected)):
            if len(batch):
                kept.add(np.stack([batch.sequence_number, batch.origin_time], 1))

    def add_outcomes(self, outcomes: Int64Array) -> None:
        """Note what the book did with the next used ones: int64[m, 4] of `Book.take_outcomes`."""
        self._outcome.add(outcomes)

    def saved(self) -> dict[str, Int64Array]:
        """Return everything as views that stay as they are.

        They are `used` and `rejected`, int64[n, 2]: number and origin time; `outcome`, int64[m, 4]. Rows are only
        appended, so that a later result differs from an earlier one in the rows behind its end.
        """
        return {"used": self._used.rows, "rejected": self._rejected.rows, "outcome": self._outcome.rows}

    def table(self) -> tuple[pa.Table, Counter[str], int | None]:
        """Return the use of the snapshots that the replay reached, and of all that were rejected.

        Returns:
            A table with schema `USED_SNAPSHOTS_SCHEMA`, the number of snapshots by use, and the sequence number of the
            first snapshot that seeded the book, if any.
        """
        outcome, rejected = self._outcome.rows, self._rejected.rows
        used = self._used.rows[: len(outcome)]
        nothing = np.zeros((len(rejected), 4), np.int64)
        rows = np.concatenate([np.hstack([used, outcome]), np.hstack([rejected, nothing])])
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        results = rows[:, 2:]
        names = np.array([SNAPSHOT_USES.get(use, "rejected") for use in range(max(SNAPSHOT_USES) + 1)])
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
