"""Many days of many symbols, judged by their files' footers alone: what there is, what it covers, verdict so far."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from order_book_platform.assess.estimate import RunEstimate, estimate_run
from order_book_platform.assess.impossible import impossible_rule, impossible_values
from order_book_platform.assess.rules import RULES, Measured, day_coverage, held_against, verdict_of
from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND
from order_book_platform.errors import SourceError
from order_book_platform.model import Instrument, PartitionKey, Severity
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeSource
from order_book_platform.sources.footers import Footers, read_footers
from order_book_platform.sources.lake import TABLES

THIN = 0.2
"""Share of the usual rows a second below which a row group may lack something: a day's sample finds out."""
THREADS = 16
"""Footers are small, and a network disk answers late: while one waits, others work."""
VERDICTS = ("go", "go with repair", "no-go", "damaged", "missing")


@dataclass(frozen=True, slots=True)
class DaySummary:
    """What the footers of one symbol and day say.

    Attributes:
        symbol, day: which.
        verdict: one of `VERDICTS`; `go` means that nothing speaks against it so far.
        why: what decided.
        rows: by table; None where it is not there.
        size_bytes: of all files.
        coverage: share of the UTC day between first and last delta, without the holes between row groups.
        holes: how many of these are longer than `gaps.silence`.
        longest_hole_s: the longest.
        warnings: tables that are absent, names of rules that would only warn, and `thin row groups`: inside of some
            there are so few rows for their time that something may be missing.
        estimate: of a run; None where there are no deltas.
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

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {**asdict(self), "day": self.day.isoformat(), "basis": "statistics"}


def days_of(first: date, last: date) -> Iterator[date]:
    """Every day from the first to the last one."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def summarise_range(
    settings: Settings,
    instruments: Sequence[Instrument],
    days: Sequence[date],
    progress: Progress = silent,
    threads: int = THREADS,
) -> list[DaySummary]:
    """All days of all instruments, instrument by instrument.

    Args:
        settings: `lake_root`, `gaps`, `sources`.
        instruments: in order.
        days: in order.
        progress: told as days are done.
        threads: how many days are looked at at a time.

    Raises:
        SourceAccessError: a folder may not be read.
    """
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
    """One day by its footers; a file that cannot be opened makes it `damaged`.

    Raises:
        SourceAccessError: a folder may not be read.
    """
    source = LakeSource(settings.lake_root, settings.sources.batch_rows)
    footers: dict[str, Footers] = {}
    present = [table for table in TABLES if source.has(table, key)]
    rows: dict[str, int | None] = dict.fromkeys(TABLES)
    try:
        for table in present:
            files = source.files(table, key)
            footers[table] = read_footers(table, files)
            for file in files:
                file.parquet.close()
            rows[table] = footers[table].rows
    except SourceError as error:
        why = f"{type(error).__name__}: {error}"
        return DaySummary(key.instrument.key, key.day, "damaged", why, rows)
    if "book_delta_v2" not in footers:
        rest = ", ".join(table for table in present) or "nothing"
        why = f"no book_delta_v2; there is {rest}"
        return DaySummary(key.instrument.key, key.day, "missing", why, rows)
    return _judged(settings, key, footers, rows)


def _judged(
    settings: Settings, key: PartitionKey, footers: dict[str, Footers], rows: dict[str, int | None]
) -> DaySummary:
    deltas, gaps = footers["book_delta_v2"], settings.gaps
    holes = [end - begin for begin, end in deltas.holes(gaps.silence)]
    estimate = estimate_run(
        deltas=deltas.rows, snapshots=rows["book"] or 0, batch_rows=settings.sources.batch_rows
    )
    span = deltas.span
    figures = {
        "deltas": Measured(deltas.rows, deltas.rows, "statistics"),
        "memory": Measured(estimate.peak_bytes, deltas.rows, "estimate"),
    }
    coverage = None
    if span is not None:
        silent_ns = sum(hole - gaps.silence for hole in holes)
        whole, groups = max(span[1] - span[0], 1), len(deltas.group_rows)
        coverage = max(day_coverage(key, *span) - sum(holes) / NS_PER_DAY, 0.0)
        figures["origin_coverage"] = Measured(1 - silent_ns / whole, groups, "statistics")
        figures["day_coverage"] = Measured(day_coverage(key, *span), groups, "statistics")
    back = deltas.groups_back("sequence_number")
    if back is not None:
        figures["unsorted"] = Measured(back, len(deltas.group_rows), "statistics")
    refused = impossible_values(key.day, footers)
    rules, figure = impossible_rule(RULES, refused, footers)
    gates = held_against(rules, {**figures, **figure})
    repairs = sum(hole > gaps.recover_after for hole in holes)
    verdict, why = verdict_of(gates, {"recover": repairs})
    if refused:
        why = "; ".join(refused)
    absent = [f"no {table}" for table in ("book", "trades") if rows[table] is None]
    warned = [gate.name for gate in gates if not gate.passed and gate.severity is Severity.WARN]
    thin = ["thin row groups"] if deltas.thin(THIN) else []
    return DaySummary(
        key.instrument.key,
        key.day,
        verdict,
        why,
        rows,
        sum(each.size_bytes for each in footers.values()),
        coverage,
        len(holes),
        max(holes, default=0) / NS_PER_SECOND,
        (*absent, *warned, *thin),
        estimate,
    )
