"""What no row may hold, as far as footers show it: nulls, numbers out of range, times of another day. No I/O."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date

import numpy as np

from order_book_platform.assess.rules import RuleFigure
from order_book_platform.clock import NS_PER_DAY, day_start_ns, iso_from_ns
from order_book_platform.model import Gate
from order_book_platform.sources.parquet_statistics import TIME_COLUMNS, ParquetStatistics

_REQUIRED = {
    "book_delta_v2": (*TIME_COLUMNS, "sequence_number", "price", "size"),
    "book": (*TIME_COLUMNS, "sequence_number"),
    "trades": (*TIME_COLUMNS, "price", "amount"),
}
"""Columns in which a null ends the ingest; a level of `book` may be missing."""


def impossible_values(day: date, footers: Mapping[str, ParquetStatistics]) -> list[str]:
    """Everything for which an ingest of the day would be refused, one sentence each.

    Args:
        day: of the partition.
        footers: by table; of tables without files there is nothing to say.
    """
    return [
        found if table == "book_delta_v2" else f"{table}: {found}"
        for table, each in footers.items()
        for found in _of_table(day, table, each)
    ]


def impossible_rule(
    rules: Mapping[str, tuple[Gate, str]], found: list[str], footers: Mapping[str, ParquetStatistics]
) -> tuple[dict[str, tuple[Gate, str]], dict[str, RuleFigure]]:
    """The rules, with what was found in the note of `impossible`, and its figure; none without any statistics."""
    groups = sum(len(each.group_rows) for each in footers.values() if each.nulls or each.limits)
    gate, note = rules["impossible"]
    named = {**rules, "impossible": (gate, f"{note}: {'; '.join(found)}" if found else note)}
    return named, {"impossible": RuleFigure(len(found), groups, "statistics")} if groups else {}


def _of_table(day: date, table: str, footers: ParquetStatistics) -> Iterator[str]:
    nulls = {name: footers.nulls.get(name, 0) for name in _REQUIRED[table]}
    if any(nulls.values()):
        yield "nulls in " + ", ".join(f"{name} ({count:,})" for name, count in nulls.items() if count)
    if table != "book":
        yield from _numbers(footers, table)
    start = day_start_ns(day)
    for name in TIME_COLUMNS:
        times = footers.limits.get(name, np.empty((0, 2), np.int64)).ravel()
        if name == "timestamp":
            times = times[times > 0]  # 0 and less stand for unknown, and are counted by another rule
        if len(times) and not (start - NS_PER_DAY <= times.min() and times.max() < start + 2 * NS_PER_DAY):
            span = f"{iso_from_ns(int(times.min()))} to {iso_from_ns(int(times.max()))}"
            yield f"times of another day in {name}: {span}"


def _numbers(footers: ParquetStatistics, table: str) -> Iterator[str]:
    amount = "amount" if table == "trades" else "size"
    for name, zero_is_one in (("price", False), (amount, table == "book_delta_v2")):
        limits = footers.extremes(name)
        if limits is None:
            continue
        if limits[0] < 0 or (limits[0] == 0 and not zero_is_one):
            yield f"{name}s down to {limits[0] + 0.0:g}"  # files say −0 of 0
        if math.isinf(limits[1]):
            yield f"{name}s up to {limits[1]:g}"
