"""Judges days by the footers of their files alone: what there is, what it covers, what no ingest takes, verdict."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from order_book_platform.assess.day_report import not_held
from order_book_platform.assess.rules import RULES, RuleFigure, day_coverage, judge
from order_book_platform.assess.run_estimate import RunEstimate, estimate_run
from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, day_start_ns, iso_from_ns
from order_book_platform.errors import SourceError
from order_book_platform.model import Instrument, PartitionKey, Severity
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeSource
from order_book_platform.sources.day_survey import TIME_COLUMNS, ParquetStatistics, read_statistics
from order_book_platform.sources.lake_source import TABLES

THIN = 0.2
"""Share of the usual rows a second below which a row group may lack something; a day's sample finds out."""
THREADS = 16
"""Days that are looked at at a time: footers are small, and a network disk answers late."""
VERDICTS = ("go", "go with repair", "no-go", "damaged", "missing")


def impossible_values(
    day: date, footers: Mapping[str, ParquetStatistics]
) -> tuple[list[str], dict[str, RuleFigure], dict[str, str]]:
    """Find in the footers of a UTC day what no row may hold, and readers refuse row by row (`sources.lake_source`).

    Returns every reason why an ingest of the day would be refused, one phrase each; the figure of the rule
    `impossible`, none if no footer has statistics; and the text behind the note of that rule, none if nothing was
    found.
    """
    found = [
        reason if table == "book_delta_v2" else f"{table}: {reason}"
        for table, each in footers.items()
        for reason in _of_table(day, table, each)
    ]
    groups = sum(len(each.group_rows) for each in footers.values() if each.nulls or each.limits)
    figure = {"impossible": RuleFigure(len(found), groups, "statistics")} if groups else {}
    return found, figure, {"impossible": f": {'; '.join(found)}"} if found else {}


def _of_table(day: date, table: str, footers: ParquetStatistics) -> Iterator[str]:
    # A level of `book` may be missing; a null elsewhere ends the ingest.
    nulls = {name: count for name, count in footers.nulls.items() if count and "_0_" not in name}
    if nulls:
        yield "nulls in " + ", ".join(f"{name} ({count:,})" for name, count in nulls.items())
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


@dataclass(frozen=True, slots=True)
class DaySummary:
    """Summary of one symbol and day, from the footers of its files.

    Attributes:
        verdict: One of `VERDICTS`; `go` means that nothing speaks against it so far.
        rows: Number of rows by table; None where a table is not there.
        coverage: Share of the UTC day between first and last delta, without the holes between row groups.
        holes: Number of these holes that are longer than `gaps.silence`.
        warnings: Absent tables and statistics (`no book`, `no trades`, `no statistics`), names of rules that only warn,
            and `thin row groups` if some have so few rows for their time that something may be missing inside.
        estimate: Estimate of a run; None where there are no deltas.
        rules: Rules with a figure, as in `rules` of a report.
        unmeasured: Names of the rules of which footers say nothing.
        error: Error that made the day `damaged`, in its parts.
    """

    symbol: str
    day: date
    verdict: str
    why: str
    rows: dict[str, int | None]
    size_bytes: int = 0
    coverage: float | None = None
    holes: int = 0
    longest_hole_s: float = 0.0
    warnings: tuple[str, ...] = ()
    estimate: RunEstimate | None = None
    rules: tuple[dict[str, Any], ...] = ()
    unmeasured: tuple[str, ...] = tuple(RULES)
    error: dict[str, str] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all fields by name, ready for JSON."""
        return {**asdict(self), "day": self.day.isoformat(), "basis": "statistics"}


def days_of(first: date, last: date) -> Iterator[date]:
    """Yield every day from the first to the last one."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def summarise_range(
    settings: Settings,
    instruments: Sequence[Instrument],
    days: Sequence[date],
    progress: Progress = silent,
    threads: int = THREADS,
) -> list[DaySummary]:
    """Summarise all days of all instruments, instrument by instrument and in the order given, in some threads."""
    keys = [PartitionKey(instrument, day) for instrument in instruments for day in days]
    done, lock = 0, threading.Lock()

    def one(key: PartitionKey) -> DaySummary:
        nonlocal done
        summary = summarise_day(settings, key)
        with lock:
            done += 1
            progress("days", done, len(keys))
        return summary

    with ThreadPoolExecutor(threads, "footers") as pool:
        return list(pool.map(one, keys))


def summarise_day(settings: Settings, key: PartitionKey) -> DaySummary:
    """Summarise one day by its footers; a file that cannot be opened makes it `damaged`."""
    source = LakeSource(settings.lake_root, settings.sources.batch_rows)
    footers: dict[str, ParquetStatistics] = {}
    present = [table for table in TABLES if source.has(table, key)]
    rows: dict[str, int | None] = dict.fromkeys(TABLES)
    try:
        for table in present:
            files = source.files(table, key)
            footers[table] = read_statistics(table, files)
            for file in files:
                file.parquet.close()
            rows[table] = footers[table].rows
    except SourceError as error:
        why = f"{type(error).__name__}: {error}"
        return DaySummary(
            key.instrument.key,
            key.day,
            "damaged",
            why,
            rows,
            error={"class": type(error).__name__, **vars(error)},
        )
    if "book_delta_v2" not in footers:
        rest = ", ".join(table for table in present) or "nothing"
        why = f"no book_delta_v2; there is {rest}"
        return DaySummary(key.instrument.key, key.day, "missing", why, rows)
    return _judged(settings, key, footers, rows)


def _judged(
    settings: Settings, key: PartitionKey, footers: dict[str, ParquetStatistics], rows: dict[str, int | None]
) -> DaySummary:
    deltas, gaps = footers["book_delta_v2"], settings.gaps
    holes = [end - begin for begin, end in deltas.holes(gaps.silence)]
    span = deltas.span
    estimate = estimate_run(
        deltas=deltas.rows,
        snapshots=rows["book"] or 0,
        batch_rows=settings.sources.batch_rows,
        day_share=span and day_coverage(key, *span),
    )
    refused, impossible, notes = impossible_values(key.day, footers)
    silent_ns = sum(hole - gaps.silence for hole in holes)
    figures = _figures(key, deltas, silent_ns, estimate) | impossible
    repairs = {"recover": sum(hole > gaps.recover_after for hole in holes)}
    gates, verdict, why, told = judge(figures, repairs, notes)
    if refused:
        why = "; ".join(refused)
    elif verdict == "no-go":
        why = "required rules do not hold: " + ", ".join(not_held([told["rules"]], Severity.ERROR))
    absent = [f"no {table}" for table in ("book", "trades") if rows[table] is None]
    if span is None:
        absent.append("no statistics")
    warned = [gate.name for gate in gates if not gate.passed and gate.severity is Severity.WARN]
    thin = ["thin row groups"] if deltas.thin_groups(THIN) else []
    return DaySummary(
        symbol=key.instrument.key,
        day=key.day,
        verdict=verdict,
        why=why,
        rows=rows,
        size_bytes=sum(each.size_bytes for each in footers.values()),
        coverage=span and max(day_coverage(key, *span) - sum(holes) / NS_PER_DAY, 0.0),
        holes=len(holes),
        longest_hole_s=max(holes, default=0) / NS_PER_SECOND,
        warnings=(*absent, *warned, *thin),
        estimate=estimate,
        rules=tuple(told["rules"]),
        unmeasured=tuple(told["unmeasured"]),
    )


def _figures(
    key: PartitionKey, deltas: ParquetStatistics, silent_ns: int, estimate: RunEstimate
) -> dict[str, RuleFigure]:
    """Return the figures that footers show; `silent_ns` is the time that the holes have beyond `gaps.silence`."""
    figures = {
        "deltas": RuleFigure(deltas.rows, deltas.rows, "statistics"),
        "memory": RuleFigure(estimate.peak_bytes, deltas.rows, "estimate"),
    }
    span, groups = deltas.span, len(deltas.group_rows)
    if span is not None:
        whole = max(span[1] - span[0], 1)
        figures["origin_coverage"] = RuleFigure(1 - silent_ns / whole, groups, "statistics")
        figures["day_coverage"] = RuleFigure(day_coverage(key, *span), groups, "statistics")
    back = deltas.groups_back("sequence_number")
    if back is not None:
        figures["unsorted"] = RuleFigure(back, groups, "statistics")
    return figures
