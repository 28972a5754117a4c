"""Judging data that have not been read yet: a day by sample, the same day by every row, a year by its footers.

The day is a simulated BTC perpetual as long as a real one. The year is 365 days of ten symbols, three tables each, in
small files of as many row groups as a real day has (104, 24 and 6); the files of one symbol are linked for the others.
All of it lies in the page cache.

Run: `obp bench assess [--json] [--messages N] [--days N] [--symbols N] [--latency-ms MS]`, or `python -m
benchmarks.assess …`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import date, timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.day import MESSAGES
from benchmarks.report import OURS, Report, arguments, run
from benchmarks.simulated import KEY, simulated_lake
from order_book_platform.assess import LakeAssessor, summarise_range
from order_book_platform.clock import NS_PER_DAY, NS_PER_SECOND, day_start_ns
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.settings import InstrumentSettings, Settings
from order_book_platform.simulate.lake_files import SCHEMAS

SAMPLE_S, FULL_S, RANGE_S = 5, 30, 60
FIRST_DAY = date(2024, 1, 1)
GROUPS = {"book_delta_v2": 104, "book": 24, "trades": 6}
"""Row groups of a table's file, as many as a busy day's have."""
GROUP_ROWS = 50


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall time and CPU time of a call, in s."""
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    work()
    return (
        (time.perf_counter_ns() - wall_ns) / NS_PER_SECOND,
        (time.process_time_ns() - cpu_ns) / NS_PER_SECOND,
    )


def day_table(table: str, day: date) -> pa.Table:
    """Rows over a day, row groups right after each other; prices and sizes are 1."""
    n, group_ns = GROUPS[table] * GROUP_ROWS, NS_PER_DAY // GROUPS[table]
    inside = np.arange(GROUP_ROWS) * ((group_ns - NS_PER_SECOND // 2) // (GROUP_ROWS - 1))
    starts = day_start_ns(day) + np.arange(GROUPS[table]) * group_ns
    times = pa.array((starts[:, None] + inside).ravel())
    columns = []
    for field in SCHEMAS[table]:
        if field.name in ("timestamp", "receipt_timestamp"):
            columns.append(times)
        elif pa.types.is_int64(field.type):
            columns.append(pa.array(np.arange(n)))
        elif field.name == "side":
            columns.append(pa.array(["buy"] * n))
        else:
            columns.append(pa.array(np.ones(n)).cast(field.type))
    return pa.table(columns, schema=SCHEMAS[table])


def write_year(root: Path, symbols: int, days: int) -> Settings:
    """A lake of so many symbols and days; gives settings that list them."""
    instruments = [Instrument("SIMULATED", f"S{number}-USDT") for number in range(symbols)]
    for number in range(days):
        day = FIRST_DAY + timedelta(days=number)
        for table in GROUPS:
            paths = [root / table / PartitionKey(each, day).path / "1.parquet" for each in instruments]
            for path in paths:
                path.parent.mkdir(parents=True)
            pq.write_table(day_table(table, day), paths[0], row_group_size=GROUP_ROWS)
            for path in paths[1:]:
                os.link(paths[0], path)
    return Settings(
        lake_root=root,
        data_root=root.parent / "store",
        first_day=FIRST_DAY,
        instruments=tuple(InstrumentSettings(symbol=each.key) for each in instruments),
    )


def late_opens(latency_ms: float) -> AbstractContextManager[object]:
    """Let each file be opened so much later, as an object store would have it; 0 changes nothing."""
    if not latency_ms:
        return nullcontext()
    real = pq.ParquetFile

    def late(path: Path) -> pq.ParquetFile:
        time.sleep(latency_ms / 1e3)
        return real(path)

    return patch.object(pq, "ParquetFile", late)


def add_day(report: Report, folder: Path, messages: int) -> tuple[float, float]:
    """Measure a day by sample and by every row; gives the wall time of both."""
    _, settings = simulated_lake(folder, messages)
    assessor = LakeAssessor(settings)
    rows = assessor.sampled(KEY)["availability"]["book_delta_v2"]["rows"]  # loops are compiled here
    work = f"{rows:,} deltas"
    times = {}
    for name, scan in (("sample", assessor.sampled), ("every row", assessor.full)):
        wall_s, cpu_s = timed(lambda scan=scan: scan(KEY))  # type: ignore[misc]
        report.add(OURS, f"{work}, {name}", "time", "s", [wall_s])
        report.add(OURS, f"{work}, {name}", "CPU time", "s", [cpu_s])
        times[name] = wall_s
    return times["sample"], times["every row"]


def add_year(report: Report, folder: Path, symbols: int, days: int, latency_ms: float) -> float:
    """Measure a range by its footers; gives its wall time."""
    settings = write_year(folder / "lake", symbols, days)
    every_day = [FIRST_DAY + timedelta(days=number) for number in range(days)]
    instruments = [each.instrument for each in settings.instruments]
    with late_opens(latency_ms):
        wall_s, cpu_s = timed(lambda: summarise_range(settings, instruments, every_day))
    late = f", {latency_ms:g} ms later each" if latency_ms else ""
    work = f"{symbols} symbols × {days} days, {3 * symbols * days:,} files{late}"
    report.add(OURS, work, "time", "s", [wall_s])
    report.add(OURS, work, "CPU time", "s", [cpu_s])
    return wall_s


def main() -> None:
    """Measure and print."""
    parser = arguments("assess", "Judging data before they are read: a day and a year.")
    parser.add_argument("--messages", type=int, default=MESSAGES, help="of the day (default: %(default)s)")
    parser.add_argument("--days", type=int, default=365, help="of the range (default: %(default)s)")
    parser.add_argument("--symbols", type=int, default=10, help="of the range (default: %(default)s)")
    parser.add_argument(
        "--latency-ms",
        type=float,
        default=0,
        help="that each file takes longer to open (default: %(default)s)",
    )
    chosen = parser.parse_args()
    if min(chosen.messages, chosen.days, chosen.symbols) < 1 or chosen.latency_ms < 0:
        parser.error("expected counts of 1 or more, and no negative latency")
    report = Report("assess")
    with tempfile.TemporaryDirectory() as folder:
        sample_s, full_s = add_day(report, Path(folder), chosen.messages)
    with tempfile.TemporaryDirectory() as folder:
        range_s = add_year(report, Path(folder), chosen.symbols, chosen.days, chosen.latency_ms)
    report.bar("a day by sample, s", SAMPLE_S, sample_s, at_most=True)
    report.bar("a day by every row, s", FULL_S, full_s, at_most=True)
    report.bar("a range by its footers, s", RANGE_S, range_s, at_most=True)
    report.show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
