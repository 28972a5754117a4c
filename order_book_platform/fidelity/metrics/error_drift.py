"""Growth of a book's errors with the time, and with the messages, since a snapshot last shaped it."""

from __future__ import annotations

from functools import partial

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity.metrics.comparison_counts import share
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences
from order_book_platform.kernels.fidelity import level_comparison as kernel
from order_book_platform.model.arrays import BoolArray, Int64Array

_MS = NS_PER_SECOND // 1_000
TIME_EDGES_NS = np.array([0, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000]) * _MS
MESSAGE_EDGES = np.array([0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000])
"""Where the buckets of age begin, ns and messages; each ends where the next begins, and the last one is open."""

DRIFT_SCHEMA: dict[str, type[pl.DataType]] = {
    "age": pl.String,
    "from": pl.Int64,
    "n": pl.Int64,
    "best_exact_share": pl.Float64,
    "known": pl.Int64,
    "exact_share": pl.Float64,
    "missing_levels": pl.Float64,
    "ghost_levels": pl.Float64,
}


class Drift:
    """Adds up compared rows by how long ago the book was last seeded, extended or repaired.

    Args:
        snapshots: int64[m], sequence numbers of all snapshots.
        places: int64[m], number of each snapshot's message in `raw_deltas`, counted from 1; 0 where there is no such
            message, which is taken for the one before.
        used: Rows of `used_snapshots.parquet`; rejected snapshots shaped nothing.
    """

    def __init__(self, snapshots: Int64Array, places: Int64Array, used: pa.Table) -> None:
        order = np.argsort(snapshots, kind="stable")
        self._snapshots, self._places = snapshots[order], np.maximum.accumulate(places[order])
        shaping = used.filter(pc.not_equal(used.column("use"), "rejected"))
        numbers = shaping.column("sequence_number").to_numpy()
        order = np.argsort(numbers, kind="stable")
        self._used = numbers[order]
        self._used_time_ns = shaping.column("origin_time").to_numpy()[order]
        at = np.searchsorted(self._snapshots, self._used, side="right") - 1
        self._used_places = np.where(at >= 0, self._places[at], 0) if len(self._places) else np.zeros_like(at)
        self._cursors = np.zeros(kernel.CURSORS, dtype=np.int64)
        self._by_time = np.zeros((len(TIME_EDGES_NS), kernel.AGE_COLUMNS), dtype=np.int64)
        self._by_messages = np.zeros((len(MESSAGE_EDGES), kernel.AGE_COLUMNS), dtype=np.int64)
        self._moments = np.zeros(5)

    def add(self, references: ShiftedReferences, exact: BoolArray, counts: NDArray[np.int64]) -> None:
        """Add n compared rows: bool[n], whether the best is right, and the int64[n, …] counts of `level_comparison`."""
        kernel.add_by_age(
            *(references.sequence_number, references.time_ns, exact, counts),
            *(self._snapshots, self._places, self._used, self._used_time_ns, self._used_places),
            *(self._cursors, TIME_EDGES_NS, MESSAGE_EDGES, self._by_time, self._by_messages, self._moments),
        )

    def frame(self) -> pl.DataFrame:
        """Return one row per bucket of age that holds any rows.

        Returns:
            A table with schema `DRIFT_SCHEMA`: `age` is `time` or `messages`, `from` the beginning of the bucket in ns
            or messages, `known` the rows that claim all levels and `exact_share` the share of these that are right;
            `missing_levels` and `ghost_levels` are per row on average. Null where nothing was compared.
        """
        rows = []
        for age, edges, buckets in (
            ("time", TIME_EDGES_NS, self._by_time),
            ("messages", MESSAGE_EDGES, self._by_messages),
        ):
            for edge, bucket in zip(edges.tolist(), buckets.tolist(), strict=True):
                n = bucket[kernel.AGE_ROWS]
                if n:
                    known = bucket[kernel.AGE_KNOWN]
                    values = (
                        share(bucket[kernel.AGE_BEST], n),
                        known,
                        share(bucket[kernel.AGE_EXACT], known),
                        share(bucket[kernel.AGE_MISSING], n),
                        share(bucket[kernel.AGE_GHOSTS], n),
                    )
                    rows.append((age, edge, n, *values))
        return pl.DataFrame(rows, schema=DRIFT_SCHEMA, orient="row")

    def metrics(self, unmatched: int, alignment: str) -> list[Metric]:
        """Return `drift_exact_first`, `drift_exact_last` and `drift_slope`."""
        metric = partial(Metric.of, unmatched=unmatched, alignment=alignment)
        known = self._by_time[:, kernel.AGE_KNOWN]
        filled = np.flatnonzero(known)
        found = []
        for name, at, which in (("first", 0, "freshest"), ("last", -1, "oldest")):
            value, n, ages = None, 0, "any age"
            if len(filled):
                bucket = int(filled[at])
                n = int(known[bucket])
                value, ages = share(int(self._by_time[bucket, kernel.AGE_EXACT]), n), _ages(bucket)
            note = f"Of the {which} rows that claim all levels ({ages} after a snapshot shaped the book), those right."
            found.append(metric(f"drift_exact_{name}", value, n, note))
        note = "By how much the share of rows that have all claimed levels right changes with each second of age."
        return [*found, metric("drift_slope", self._slope(), int(self._moments[0]), note)]

    def _slope(self) -> float | None:
        """Return the least-squares slope of right (1) or wrong (0) on age, per second; None if all ages are equal."""
        n, ages, squares, right, aged = self._moments.tolist()
        spread = n * squares - ages * ages
        return (n * aged - ages * right) / spread if n and spread > 0.0 else None


def _ages(bucket: int) -> str:
    """Return the ages of a bucket in words, such as `0.1 s to 0.2 s`."""
    start = TIME_EDGES_NS[bucket] / NS_PER_SECOND
    if bucket + 1 == len(TIME_EDGES_NS):
        return f"{start:g} s and more"
    return f"{start:g} s to {TIME_EDGES_NS[bucket + 1] / NS_PER_SECOND:g} s"
