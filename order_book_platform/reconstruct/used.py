"""What became of the snapshots of a plan."""

from __future__ import annotations

from collections import Counter

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
from order_book_platform.model.planning import Planner
from order_book_platform.model.schemas import USED_SNAPSHOTS

WHOLE_DAY = 1 << 62


def used_snapshots(planner: Planner, outcome: Int64Array) -> tuple[pa.Table, Counter[str], int | None]:
    """Candidates that the replay reached, and those that were rejected, all day long.

    Args:
        planner: of the replay; what is left of its snapshots is read.
        outcome: int64[m, 4], see `kernels.replay`.

    Returns:
        A table with schema `USED_SNAPSHOTS`, how many had each use, and the sequence number of the first that seeded.
    """
    for _ in planner.pieces(WHOLE_DAY):
        continue
    used, rejected = planner.heads()
    used = used[: len(outcome)]
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
