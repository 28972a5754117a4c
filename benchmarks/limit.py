"""Reconstruction within a memory limit: the memory that a process takes for half a day, a day and a double day.

Each day is simulated and ingested first. Then a process of its own reconstructs the books, once with the limit and once
with the default limit, which no day reaches. Both have to give the same rows.

Run: `obp bench limit [--json] [--messages N] [--limit BYTES]`, or `python -m benchmarks.limit …`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.day import COMPONENTS, MESSAGES, forget_peak, market_of, peak_bytes
from benchmarks.report import ROOT, Report, arguments, run
from benchmarks.simulated import KEY, simulated_lake
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import BenchmarkError
from order_book_platform.reconstruct import Reconstructor

LIMIT_BYTES = 512_000_000
BEFORE = ("raw_deltas", "sequence_gap_report", "data_assessment")
"""Datasets that the books are reconstructed from."""
BOOKS = "reconstructed_books"
GROWTH, CPU_RATIO = 0.1, 2.0
"""Largest allowed difference between the days' settled peaks, and ratio of CPU times with and without the limit."""
SETTLED = 0.1
"""Share of the day after which peaks are measured anew: loading the loops takes more memory than the replay, and
would hide a growth with the length of the day."""


def measure_here(folder: Path, limit_bytes: int | None) -> dict[str, Any]:
    """Reconstruct the books of an ingested day in this process, which has done nothing before.

    Args:
        folder: folder with the lake and the store.
        limit_bytes: `streaming.memory_limit`; None for the default.

    Returns:
        `deltas`, `replay_hash`, `cpu_s`, `wall_s`, `peak_bytes` of the whole run, and `settled_bytes`, the peak after
        a tenth of the day. The peaks are None where the system does not tell them.
    """
    store, settings = simulated_lake(folder, None)
    if limit_bytes is not None:
        streaming = settings.streaming.model_copy(update={"memory_limit": limit_bytes})
        settings = settings.model_copy(update={"streaming": streaming})
    peaks: list[int | None] = []

    def watch(stage: str, done: int, total: int, figures: object = None) -> None:
        if not peaks and done >= SETTLED * total:
            peaks.append(peak_bytes())
            forget_peak()

    forget_peak()
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    manifest = Reconstructor(store, settings).run(KEY, watch).manifest
    peaks.append(peak_bytes())
    return {
        "deltas": manifest.metadata["counts"]["deltas"],
        "replay_hash": manifest.metadata["replay_hash"],
        "wall_s": (time.perf_counter_ns() - wall_ns) / NS_PER_SECOND,
        "cpu_s": (time.process_time_ns() - cpu_ns) / NS_PER_SECOND,
        "peak_bytes": max((peak for peak in peaks if peak is not None), default=None),
        "settled_bytes": peaks[-1],
    }


def measure(folder: Path, limit_bytes: int | None) -> dict[str, Any]:
    """Call `measure_here` in a fresh process.

    Args:
        folder: folder with the lake and the store.
        limit_bytes: `streaming.memory_limit`; None for the default.

    Raises:
        BenchmarkError: the process failed.
    """
    command = [sys.executable, "-m", "benchmarks.limit", "--over", str(folder)]
    command += [] if limit_bytes is None else ["--limit", str(limit_bytes)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise BenchmarkError(
            expected="the books of a day",
            found=(done.stderr.strip().splitlines() or ["a process that failed"])[-1],
            where=" ".join(command[1:]),
            remedy="Look at what it says; a whole day needs some 3 GB of disk, a double one 6.",
        )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def add_day(report: Report, messages: int, limit_bytes: int) -> dict[str, Any]:
    """Measure one day with the limit and without, and add the figures to the report.

    Args:
        report: report of the benchmark.
        messages: length of the day in messages.
        limit_bytes: `streaming.memory_limit`.

    Returns:
        The figures of `measure_here` with the limit, and `cpu_ratio`, its CPU time divided by that without the limit.

    Raises:
        BenchmarkError: the limit changed a row.
    """
    with tempfile.TemporaryDirectory() as folder:
        store, settings = simulated_lake(Path(folder), messages, market_of(messages))
        for name in BEFORE:
            COMPONENTS[name](store, settings).run(KEY)
        within, plain = measure(Path(folder), limit_bytes), measure(Path(folder), None)
    work = f"{plain['deltas']:,} deltas of {messages:,} messages"
    if within["replay_hash"] != plain["replay_hash"]:
        raise BenchmarkError(
            expected=f"replay_hash {plain['replay_hash']}, as without a limit",
            found=within["replay_hash"],
            where=work,
            remedy="A limit of memory changed a row: please report it.",
        )
    limited = f"{BOOKS}, {limit_bytes / 1e6:,.0f} MB"
    for system, figures in ((limited, within), (f"{BOOKS}, default limit", plain)):
        report.add(system, work, "time", "s", [figures["wall_s"]])
        report.add(system, work, "CPU time", "s", [figures["cpu_s"]])
        for name, metric in (("peak_bytes", "peak memory"), ("settled_bytes", "peak after a tenth of it")):
            if figures[name] is None:
                report.missing(system, work, metric, "bytes", "needs Linux's /proc")
            else:
                report.add(system, work, metric, "bytes", [float(figures[name])])
    report.ratio(limited, f"{BOOKS}, default limit", f"CPU time, {work}", [within["cpu_s"]], [plain["cpu_s"]])
    return within | {"cpu_ratio": within["cpu_s"] / plain["cpu_s"]}


def main() -> None:
    """Measure the three days and print the report."""
    parser = arguments("limit", "Reconstruct half a day, a day and a double day within a memory limit.")
    parser.add_argument(
        "--messages",
        type=int,
        default=MESSAGES,
        help="messages of a day (default: %(default)s, 109 M deltas)",
    )
    parser.add_argument("--limit", type=int, help=f"memory limit in bytes (default: {LIMIT_BYTES:,})")
    parser.add_argument(
        "--over", type=Path, help="folder of an ingested day; the benchmark calls itself with it"
    )
    chosen = parser.parse_args()
    if chosen.messages < 2:
        parser.error("--messages: expected 2 or more")
    if chosen.over:
        sys.stdout.write(json.dumps(measure_here(chosen.over, chosen.limit)))
        return
    report, limit_bytes = Report("limit"), chosen.limit or LIMIT_BYTES
    half, whole, double = (
        add_day(report, messages, limit_bytes)
        for messages in (chosen.messages // 2, chosen.messages, 2 * chosen.messages)
    )
    for what, each in (("half a day", half), ("a day", whole), ("a double day", double)):
        report.bar(f"peak memory of {what}, bytes", limit_bytes, each["peak_bytes"], at_most=True)
    settled = [each["settled_bytes"] for each in (half, whole, double)]
    growth = None if None in settled else max(abs(each / settled[1] - 1) for each in settled)
    report.bar(
        "peak after a tenth of it, of half a day and of a double one: farthest from the day's",
        GROWTH,
        growth,
        at_most=True,
    )
    report.bar("CPU time of a day, times that without a limit", CPU_RATIO, whole["cpu_ratio"], at_most=True)
    report.show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
