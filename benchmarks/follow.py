"""Following a live capture: how fast a log that is there is caught up with, and how far behind a growing one rows are.

A simulated BTC perpetual, some 70 rows a message, a row of the book after every message. For the delay another process
appends one message at a time at a fixed pace and notes when; it counts until the row of that message has been
appended, and so can be read. Each process uses whatever cores there are.

Run: `obp bench follow [--json] [--messages N] [--pace N]`, or `python -m benchmarks.follow …`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.report import OURS, ROOT, Report, arguments, run
from benchmarks.simulated import KEY, simulated_lake, simulated_store
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA, SnapshotBatch
from order_book_platform.errors import BenchmarkError
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, LogWriter
from order_book_platform.storage.log.idempotent_log import IdempotentLog

MESSAGES = 20_000
"""Some 1.4 M deltas."""
PACE = 100_000
"""Deltas a second."""
LOOK_S = 0.0005
"""How often the follower looks for something new while there is nothing."""
CATCH_UP, DELAY_MS = 5 * PACE, 100.0
PERCENTILES = (50, 95, 99)
TIMES = "times.npy"


def capture(folder: Path, store: DataStore, pace: float | None) -> NDArray[np.int64]:
    """Append a published day as a capture does, a message at a time.

    Args:
        folder: gets both logs.
        store: has the day.
        pace: deltas a second; None for as fast as can be.

    Returns:
        int64[m, 2]: number of each message, and the monotonic time right before it was appended, ns.
    """
    deltas = DeltaBatch.from_arrow(store.table("raw_deltas", KEY))
    shots = SnapshotBatch.from_arrow(store.table("snapshots", KEY))
    point = store.manifest("raw_deltas", KEY).fixed_point
    metadata = {"symbol": KEY.instrument.key, **{k: str(v) for k, v in point.to_metadata().items()}}
    records = deltas.to_arrow().combine_chunks().to_batches()[0]
    starts = np.flatnonzero(np.diff(deltas.sequence_number, prepend=-1)).tolist()
    clock = np.maximum.accumulate(deltas.received_time)
    times, done, synced = np.zeros((len(starts), 2), np.int64), 0, 0
    times[:, 0] = deltas.sequence_number[starts]
    with (
        LogWriter(folder / "snapshots", SNAPSHOTS_SCHEMA.with_metadata(metadata)) as snapshot_log,
        LogWriter(folder / "raw_deltas", RAW_DELTAS_SCHEMA.with_metadata(metadata)) as delta_log,
    ):
        begin_ns = time.monotonic_ns()
        for i, (start, stop) in enumerate(zip(starts, [*starts[1:], len(deltas)], strict=True)):
            if pace is not None:
                due_ns = begin_ns + int(start / pace * NS_PER_SECOND)
                time.sleep(max(0, due_ns - time.monotonic_ns()) / NS_PER_SECOND)
            count = int(np.searchsorted(shots.received_time, clock[stop - 1], "right"))
            if count > done:
                for batch in shots.take(slice(done, count)).to_arrow().combine_chunks().to_batches():
                    snapshot_log.append(batch)
                done = count
            times[i, 1] = time.monotonic_ns()
            delta_log.append(records.slice(start, stop - start), whole=True)
            if time.monotonic_ns() - synced > NS_PER_SECOND:
                snapshot_log.sync()
                delta_log.sync()
                synced = time.monotonic_ns()
    return times


class Visible:
    """When rows became visible: the number of the last one of each append, and the time when it was over."""

    def __init__(self) -> None:
        self.appends: list[tuple[int, int]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note every append of books within the block."""
        write = IdempotentLog.write

        def noted(log: IdempotentLog, table: pa.Table) -> None:
            write(log, table)
            if "flags" in table.column_names and table.num_rows:
                number = int(table.column("sequence_number")[-1].as_py())
                self.appends.append((number, time.monotonic_ns()))

        IdempotentLog.write = noted  # type: ignore[method-assign, assignment]
        try:
            yield
        finally:
            IdempotentLog.write = write  # type: ignore[method-assign]

    def delays_ms(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each message, from right before its append to the end of that of its row."""
        table = np.array(self.appends, np.int64)
        at = np.searchsorted(table[:, 0], times[:, 0], "left")
        return np.asarray((table[at, 1] - times[:, 1]) / 1e6)


def catch_up(folder: Path, store: DataStore, settings: Settings) -> tuple[int, float, float]:
    """Follow a capture that is there to its end; gives deltas, wall and CPU time in s."""
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    with tempfile.TemporaryDirectory(dir=folder) as output:
        found = Reconstructor(store, settings).follow(
            KEY.instrument, folder / "whole", Path(output), lambda: False
        )
    wall_s = (time.perf_counter_ns() - wall_ns) / NS_PER_SECOND
    return found.deltas, wall_s, (time.process_time_ns() - cpu_ns) / NS_PER_SECOND


def keep_up(folder: Path, store: DataStore, settings: Settings, pace: int) -> NDArray[np.float64]:
    """Follow a capture that grows; gives the delay of each message in ms.

    Raises:
        BenchmarkError: the process that appends failed, or the follower has not had all of it.
    """
    growing, visible = folder / "growing", Visible()
    for name in ("raw_deltas", "snapshots"):
        (growing / name).mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.follow", "--append", str(folder), "--pace", str(pace)]
    with subprocess.Popen(command, cwd=ROOT) as writer, visible.watching():

        def wait() -> bool:
            time.sleep(LOOK_S)
            return writer.poll() is None

        found = Reconstructor(store, settings).follow(KEY.instrument, growing, folder / "out", wait)
    times = np.load(folder / TIMES) if (folder / TIMES).exists() else np.empty((0, 2), np.int64)
    if writer.returncode or found.messages != len(times):
        raise BenchmarkError(
            expected="a process that appends, and all of its messages followed",
            found=f"exit code {writer.returncode}, {found.messages} of {len(times)} messages",
            where=" ".join(command[1:]),
            remedy="Its traceback is above.",
        )
    return visible.delays_ms(times)


def main() -> None:
    """Measure and print."""
    parser = arguments("follow", "Following a live capture: catching up, and how far behind rows are.")
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="of the capture (default: %(default)s)"
    )
    parser.add_argument("--pace", type=int, default=PACE, help="deltas a second (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of catching up (default: %(default)s)")
    parser.add_argument("--append", type=Path, help="what the benchmark calls itself with: where the day is")
    chosen = parser.parse_args()
    if min(chosen.messages, chosen.pace, chosen.runs) < 1:
        parser.error("--messages, --pace, --runs: expected 1 or more")
    if chosen.append:
        store, _ = simulated_lake(chosen.append, None)
        times = capture(chosen.append / "growing", store, chosen.pace)
        np.save(chosen.append / TIMES, times)
        return
    report = Report("follow")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        store, settings = simulated_store(folder, chosen.messages)
        settings = settings.model_copy(
            update={"reconstruct": settings.reconstruct.model_copy(update={"cadence": "message"})}
        )
        capture(folder / "whole", store, None)
        measure(report, folder, store, settings, chosen.pace, chosen.runs)
    report.show(as_json=chosen.json)


def measure(report: Report, folder: Path, store: DataStore, settings: Settings, pace: int, runs: int) -> None:
    """Take all figures."""
    catch_up(folder, store, settings)
    figures = [catch_up(folder, store, settings) for _ in range(runs)]
    work = f"a log of {figures[0][0]:,} deltas, a row a message"
    rates = [deltas / wall_s for deltas, wall_s, _ in figures]
    rate = report.add(OURS, work, "throughput", "deltas/s", rates)
    report.add(OURS, work, "CPU time", "s", [cpu_s for _, _, cpu_s in figures])
    delays: Any = keep_up(folder, store, settings, pace)
    work = f"a log that grows by {pace:,} deltas/s, {len(delays):,} messages"
    found = {each: float(np.percentile(delays, each)) for each in PERCENTILES}
    for each, value in found.items():
        report.add(OURS, work, f"append to row visible, P{each}", "ms", [value])
    report.bar("catching up with a log, deltas/s", CATCH_UP, rate)
    report.bar(f"append to row visible at {pace:,} deltas/s, P95, ms", DELAY_MS, found[95], at_most=True)


if __name__ == "__main__":
    sys.exit(run(main))
