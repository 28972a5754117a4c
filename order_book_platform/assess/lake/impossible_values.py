"""Finds in footers what no row may hold: nulls, numbers out of range, times of another day. No I/O.

Readers refuse the same values row by row (`sources.row_checks`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np

from order_book_platform.assess.rule_figures import RuleFigure
from order_book_platform.clock import NS_PER_DAY, day_start_ns, iso_from_ns
from order_book_platform.sources.parquet_statistics import TIME_COLUMNS, ParquetStatistics

_REQUIRED = {
    "book_delta_v2": (*TIME_COLUMNS, "sequence_number", "price", "size"),
    "book": (*TIME_COLUMNS, "sequence_number"),
    "trades": (*TIME_COLUMNS, "price", "amount"),
}
"""Columns in which a null ends the ingest; a level of `book` may be missing."""


def impossible_values(day: date, footers: Mapping[str, ParquetStatistics]) -> list[str]:
    """Return every reason why an ingest of the day would be refused, one phrase each.

    Args:
        day: UTC day of the partition.
        footers: Statistics by table.
    """
    return [
        found if table == "book_delta_v2" else f"{table}: {found}"
        for table, each in footers.items()
        for found in _of_table(day, table, each)
    ]


def impossible_figure(found: list[str], footers: Mapping[str, ParquetStatistics]) -> dict[str, RuleFigure]:
    """Return the figure of the rule `impossible`; none if no footer has statistics."""
    groups = sum(len(each.group_rows) for each in footers.values() if each.nulls or each.limits)
    return {"impossible": RuleFigure(len(found), groups, "statistics")} if groups else {}


def impossible_note(found: list[str]) -> dict[str, str]:
    """Return the text behind the note of the rule `impossible`; none if nothing was found."""
    return {"impossible": f": {'; '.join(found)}"} if found else {}


def _of_table(day: date, table: str, footers: ParquetStatistics) -> Iterator[str]:
    nulls = {name: footers.nulls.get(name, 0) for name in _REQUIRED[table]}
    if any(nulls.values()):
        yield "nulls in " + ", ".join(f"{name} ({count:,})" for name, count in nulls.items() if count)
    if table != "book":
        yield from _numbers_of(footers, table)
    start = day_start_ns(day)
    for name in TIME_COLUMNS:
        times = footers.limits.get(name, np.empty((0, 2), np.int64)).ravel()
        if name == "timestamp":
            times = times[times > 0]  # 0 and less stand for unknown times, which another rule counts
        if len(times) and not (start - NS_PER_DAY <= times.min() and times.max() < start + 2 * NS_PER_DAY):
            span = f"{iso_from_ns(int(times.min()))} to {iso_from_ns(int(times.max()))}"
            yield f"times of another day in {name}: {span}"


def _numbers_of(footers: ParquetStatistics, table: str) -> Iterator[str]:
    amount = "amount" if table == "trades" else "size"
    for name, zero_is_one in (("price", False), (amount, table == "book_delta_v2")):
        limits = footers.extremes(name)
        if limits is None:
            continue
        if limits[0] < 0 or (limits[0] == 0 and not zero_is_one):
            yield f"{name}s down to {limits[0] + 0.0:g}"  # adding 0.0 turns the −0 of a file's statistics into 0
        if math.isinf(limits[1]):
            yield f"{name}s up to {limits[1]:g}"
