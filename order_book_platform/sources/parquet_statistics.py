"""Reads what the footers of a table's files say of a day without decoding a row: spans, order, nulls, extremes.

Parquet keeps the number of nulls and the smallest and largest value of each row group and column. Between two row
groups nothing else can lie, so a hole there is exact. Holes inside a group are not seen; a group with few rows for its
time may have some.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.sources.lake_source import LakeFile

TIME_COLUMNS = ("timestamp", "receipt_timestamp")
COLUMNS: dict[str, tuple[str, ...]] = {
    "book_delta_v2": (*TIME_COLUMNS, "sequence_number", "price", "size"),
    "book": (*TIME_COLUMNS, "sequence_number", "bid_0_price", "ask_0_price"),
    "trades": (*TIME_COLUMNS, "price", "amount"),
}
"""Columns of each table whose statistics are read."""


@dataclass(frozen=True, slots=True)
class ParquetStatistics:
    """Statistics of the g row groups of one table, symbol and day, in order of the files.

    `limits` have by column, [g, 2] of int64 or float64, the smallest and largest value of each group, and `nulls` the
    number of nulls by column; columns of which some group lacks them are left out.
    """

    table: str
    files: int
    size_bytes: int
    group_rows: NDArray[np.int64]
    limits: Mapping[str, NDArray[Any]]
    nulls: Mapping[str, int]

    @property
    def rows(self) -> int:
        """Number of rows of all files."""
        return int(self.group_rows.sum())

    @property
    def clock(self) -> str | None:
        """Column of times to go by: origin times if all are known, else arrivals; None without statistics."""
        for name in TIME_COLUMNS:
            if name in self.limits and (self.limits[name][:, 0] > 0).all():
                return name
        return None

    @property
    def times(self) -> NDArray[np.int64]:
        """First and last time of each group by `clock`, int64[g, 2] ns; empty without a clock."""
        return np.empty((0, 2), np.int64) if self.clock is None else np.asarray(self.limits[self.clock])

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last time of the day, ns; None without a clock."""
        times = self.times
        return (int(times[:, 0].min()), int(times[:, 1].max())) if len(times) else None

    def holes(self, longer_than_ns: int) -> list[tuple[int, int]]:
        """Return where nothing lies between row groups for longer than so many ns: end and begin of each hole, ns."""
        times = self.times
        if len(times) < 2:
            return []
        times = times[np.argsort(times[:, 0], kind="stable")]
        reached = np.maximum.accumulate(times[:, 1])[:-1]
        at = np.flatnonzero(times[1:, 0] - reached > longer_than_ns)
        return [(int(reached[i]), int(times[i + 1, 0])) for i in at.tolist()]

    def thin_groups(self, share: float) -> list[tuple[int, int, int]]:
        """Find groups whose rate is below a share of the median one, in which some rows may be missing.

        Each has its first and last time, ns, and the ns that its rows leave over at the median rate.
        """
        times = self.times
        spans = times[:, 1] - times[:, 0]
        spread = spans > 0  # other groups hold a single time, so nothing can be missing inside
        if spread.sum() < 3:
            return []
        rate = np.full(len(spans), np.inf)
        rate[spread] = self.group_rows[spread] / spans[spread]
        usual = float(np.median(rate[spread]))
        over = spans - self.group_rows / usual
        return [
            (int(times[g, 0]), int(times[g, 1]), int(over[g]))
            for g in np.flatnonzero(rate < share * usual).tolist()
        ]

    def groups_back(self, column: str) -> int | None:
        """Count the groups that begin below the end of the one before; None where the statistics do not say."""
        limits = self.limits.get(column)
        return None if limits is None else int((limits[1:, 0] < limits[:-1, 1]).sum())

    def extremes(self, column: str) -> tuple[float, float] | None:
        """Return the smallest and largest value of a column; None where the statistics do not say."""
        limits = self.limits.get(column)
        return None if limits is None else (limits[:, 0].min().item(), limits[:, 1].max().item())


def read_statistics(table: str, files: Sequence[LakeFile]) -> ParquetStatistics:
    """Read the footers of the opened files of one table, symbol and day; without files there are no rows."""
    groups: dict[str, list[tuple[Any, Any]]] = {name: [] for name in COLUMNS[table]}
    nulls = dict.fromkeys(COLUMNS[table], 0)
    rows = []
    for file in files:
        metadata = file.parquet.metadata
        places = {name: file.leaf(name) for name in COLUMNS[table]}
        for g in range(metadata.num_row_groups):
            group = metadata.row_group(g)
            rows.append(group.num_rows)
            for name, place in places.items():
                statistics = group.column(place).statistics
                if statistics is None or not statistics.has_min_max:
                    groups.pop(name, None)
                elif name in groups:
                    groups[name].append((statistics.min, statistics.max))
                if statistics is None or not statistics.has_null_count:
                    nulls.pop(name, None)
                elif name in nulls:
                    nulls[name] += statistics.null_count
    return ParquetStatistics(
        table,
        len(files),
        sum(file.path.stat().st_size for file in files),
        np.array(rows, np.int64),
        {name: np.array(limits) for name, limits in groups.items() if len(limits) == len(rows) and rows},
        nulls if files else {},
    )
