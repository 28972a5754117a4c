"""What became of the snapshots of a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from order_book_platform.kernels.book import USES
from order_book_platform.kernels.replay import (
    OUTCOME_CHANGED,
    OUTCOME_COMPARED,
    OUTCOME_USE,
    OUTCOME_WRONG,
    USE_SEEDED,
)
from order_book_platform.model.batches import Int64Array
from order_book_platform.model.growing import GrowingRows
from order_book_platform.model.planning import Due
from order_book_platform.model.schemas import USED_SNAPSHOTS


class SnapshotHistory:
    """What has been handed out of a plan: enough to say, at the end, what became of each snapshot.

    Args:
        saved: of `saved`, to go on from.
    """

    def __init__(self, saved: Mapping[str, Int64Array] | None = None) -> None:
        none = np.empty((0, 2), np.int64)
        self._used = GrowingRows(saved["used"] if saved else none)
        self._rejected = GrowingRows(saved["rejected"] if saved else none)

    def add(self, due: Due) -> None:
        """Remember the next ones."""
        for kept, batch in ((self._used, due.used), (self._rejected, due.rejected)):
            kept.add(np.stack([batch.sequence_number, batch.origin_time], 1))

    def saved(self) -> dict[str, Int64Array]:
        """By use, int64[n, 2]: sequence number and origin time."""
        return {"used": self._used.rows.copy(), "rejected": self._rejected.rows.copy()}

    def table(self, outcome: Int64Array) -> tuple[pa.Table, Counter[str], int | None]:
        """What became of those that the replay reached, and of all that were rejected.

        Args:
            outcome: int64[m, 4], see `kernels.replay`.

        Returns:
            A table with schema `USED_SNAPSHOTS`, how many had each use, and the sequence number of the first that
            seeded.
        """
        heads = self.saved()
        used, rejected = heads["used"][: len(outcome)], heads["rejected"]
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
            pa.table(columns, schema=USED_SNAPSHOTS),
            Counter(columns["use"].tolist()),
            int(seeds[0]) if len(seeds) else None,
        )
