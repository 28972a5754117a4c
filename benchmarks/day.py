"""A whole day through all six assets: time, CPU time and peak memory of each, in one process as a run has it.

A simulated BTC perpetual in Crypto Lake's layout, as long as a real day of one; files in the page cache, both cores.
Each day has a process of its own. `--flat` takes half of the day and a double day as well, and asks whether
memory grows.

Run: `obp bench day [--json] [--messages N] [--flat]`, or `python -m benchmarks.day …`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from benchmarks.report import ROOT, Report, arguments, run
from benchmarks.simulated import KEY, PROFILE, TWICE_AS_BUSY, simulated_lake
from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import BenchmarkError
from order_book_platform.fidelity import FidelityReporter
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.rl import FeatureBuilder
from order_book_platform.settings import Settings
from order_book_platform.simulate import MarketProfile, MarketSimulator
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore

MESSAGES = 1_590_000
"""Some 109 M deltas, as many as BTC-USDT-PERP had on 2026-04-01; and as many messages as fit into a simulated day."""
WHOLE = "all six assets"
WALL_S, CPU_S, PEAK_BYTES, GROWTH, JUDGING = 60, 90, 1_500_000_000, 0.1, 0.25


class Component(Protocol):
    """What every component has in common."""

    def run(self, key: PartitionKey) -> object:
        """Publish one partition."""


COMPONENTS: dict[str, Callable[[DataStore, Settings], Component]] = {
    "raw_deltas": LakeIngest,
    "sequence_gap_report": GapReporter,
    "data_assessment": DataAssessor,
    "reconstructed_books": Reconstructor,
    "fidelity_report": FidelityReporter,
    "rl_features": FeatureBuilder,
}


def forget_peak() -> None:
    """Let the kernel count this process's peak memory anew, where it can (Linux)."""
    file = Path("/proc/self/clear_refs")
    if file.exists():
        file.write_text("5", encoding="ascii")


def peak_bytes() -> int | None:
    """The most memory this process has occupied since; None where the kernel does not say."""
    file = Path("/proc/self/status")
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)


def measure_here(folder: Path) -> dict[str, Any]:
    """All assets of a simulated day whose lake is in the folder, in this process.

    Returns:
        `deltas`, and by asset `wall_s`, `cpu_s`, `peak_bytes`.
    """
    store, settings = simulated_lake(folder, None)
    figures: dict[str, Any] = {}
    for name, component in COMPONENTS.items():
        forget_peak()
        wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
        component(store, settings).run(KEY)
        figures[name] = {
            "wall_s": (time.perf_counter_ns() - wall_ns) / NS_PER_SECOND,
            "cpu_s": (time.process_time_ns() - cpu_ns) / NS_PER_SECOND,
            "peak_bytes": peak_bytes(),
        }
    return {"deltas": store.manifest("raw_deltas", KEY).main_rows, "assets": figures}


def market_of(messages: int) -> MarketProfile:
    """The perpetual; one twice as busy where that many messages do not fit into a day of it."""
    return PROFILE if messages <= MarketSimulator(PROFILE, 1).messages_per_day else TWICE_AS_BUSY


def measure(messages: int) -> dict[str, Any]:
    """The same in a fresh process, over a lake that is simulated first.

    Raises:
        BenchmarkError: the process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        simulated_lake(Path(folder), messages, market_of(messages))
        command = [sys.executable, "-m", "benchmarks.day", "--over", folder]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise BenchmarkError(
                expected="six assets",
                found=done.stderr.strip().splitlines()[-1]
                if done.stderr.strip()
                else "a process that failed",
                where=" ".join(command[1:]),
                remedy="Look at what it says; a whole day needs some 3 GB of disk, a double one 6.",
            )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


class Day(NamedTuple):
    """All assets of a day.

    Attributes:
        wall_s, cpu_s: time.
        peak_bytes: memory, where the system says.
        judging: time of the fidelity report by that of the books.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: float | None
    judging: float


def add_day(report: Report, messages: int) -> Day:
    """Measure one day."""
    figures = measure(messages)
    market = market_of(messages)
    often = "" if market is PROFILE else f", one every {market.mean_interval_ms:.0f} ms, twice as often"
    work = f"{figures['deltas']:,} deltas of {messages:,} messages{often}"
    assets = figures["assets"]
    totals = {name: sum(each[name] for each in assets.values()) for name in ("wall_s", "cpu_s")}
    peaks = [each["peak_bytes"] for each in assets.values()]
    whole = {**totals, "peak_bytes": None if None in peaks else max(peaks)}
    for name, each in {**assets, WHOLE: whole}.items():
        report.add(name, work, "time", "s", [each["wall_s"]])
        report.add(name, work, "CPU time", "s", [each["cpu_s"]])
        if each["peak_bytes"] is None:
            report.missing(name, work, "peak memory", "bytes", "needs Linux's /proc")
        else:
            report.add(name, work, "peak memory", "bytes", [float(each["peak_bytes"])])
    report.add(WHOLE, work, "throughput", "deltas/s", [figures["deltas"] / totals["wall_s"]])
    judging = assets["fidelity_report"]["wall_s"] / assets["reconstructed_books"]["wall_s"]
    return Day(whole["wall_s"], whole["cpu_s"], whole["peak_bytes"], judging)


def main() -> None:
    """Measure and print."""
    parser = arguments("day", "A whole day through all six assets: time and memory of each.")
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="of the day (default: %(default)s, 109 M deltas)"
    )
    parser.add_argument(
        "--flat", action="store_true", help="half of the day and a double one as well: does memory grow?"
    )
    parser.add_argument(
        "--over", type=Path, help="what the benchmark calls itself with: a folder with a lake"
    )
    chosen = parser.parse_args()
    if chosen.messages < 1:
        parser.error("--messages: expected 1 or more")
    if chosen.over:
        sys.stdout.write(json.dumps(measure_here(chosen.over)))
        return
    report = Report("day")
    day = add_day(report, chosen.messages)
    report.bar(f"{WHOLE}, both cores, s", WALL_S, day.wall_s, at_most=True)
    report.bar(f"{WHOLE}, CPU time, s", CPU_S, day.cpu_s, at_most=True)
    report.bar(f"{WHOLE}, peak memory, bytes", PEAK_BYTES, day.peak_bytes, at_most=True)
    report.bar("fidelity_report, time by that of reconstructed_books", JUDGING, day.judging, at_most=True)
    if chosen.flat:
        peaks = [
            day.peak_bytes,
            *(
                add_day(report, messages).peak_bytes
                for messages in (chosen.messages // 2, 2 * chosen.messages)
            ),
        ]
        known = [each for each in peaks if each is not None]
        growth = max(abs(each / known[0] - 1) for each in known) if len(known) == len(peaks) else None
        report.bar(
            "peak memory of half of the day and of a double one: farthest from the day's",
            GROWTH,
            growth,
            at_most=True,
        )
    report.show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
