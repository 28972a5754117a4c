"""What checkpoints cost a reconstruction: the same books with and without them, in turn.

A simulated BTC perpetual, inputs in the page cache, both cores, one process. The order changes from turn to turn, so
that what drifts favours nobody. Beside the time that passes stands the CPU time, which other programs disturb less.

Run: `obp bench checkpoints [--json] [--messages N] [--turns N]`, or `python -m benchmarks.checkpoints …`.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.report import Report, arguments, run
from benchmarks.simulated import KEY, simulated_store
from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import BenchmarkError
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore

MESSAGES = 400_000
"""Some 27 M deltas; a checkpoint as often as the settings have it."""
TURNS = 15
COST = 0.02
WITH, WITHOUT = "with checkpoints", "without"


def rebuilt(store: DataStore, settings: Settings, *, events: int) -> tuple[float, float, int]:
    """Rebuild the day: seconds that passed, seconds of CPU time, checkpoints written."""
    sparse = settings.reconstruct.model_copy(update={"checkpoint_events": events})
    reconstructor = Reconstructor(store, settings.model_copy(update={"reconstruct": sparse}))
    wall_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    result = reconstructor.run(KEY)
    wall_ns, cpu_ns = time.perf_counter_ns() - wall_ns, time.process_time_ns() - cpu_ns
    return wall_ns / NS_PER_SECOND, cpu_ns / NS_PER_SECOND, result.run.checkpoints_written


def measure(report: Report, messages: int, turns: int) -> None:
    """Take both in turn and hold the difference against the bar.

    Raises:
        BenchmarkError: the day is too short for a checkpoint.
    """
    walls, cpus = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    written = 0
    with tempfile.TemporaryDirectory() as folder:
        store, settings = simulated_store(Path(folder), messages)
        GapReporter(store, settings).run(KEY)
        DataAssessor(store, settings).run(KEY)
        events = {WITH: settings.reconstruct.checkpoint_events, WITHOUT: 0}
        rebuilt(store, settings, events=0)
        for turn in range(turns):
            for name in (WITH, WITHOUT) if turn % 2 else (WITHOUT, WITH):
                wall, cpu, count = rebuilt(store, settings, events=events[name])
                walls[name].append(wall)
                cpus[name].append(cpu)
                written = max(written, count)
        deltas = store.manifest("raw_deltas", KEY).main_rows
    if not written:
        raise BenchmarkError(
            expected=f"a day with a checkpoint, that is, more than {events[WITH]:,} deltas",
            found=f"{deltas:,} deltas",
            where="--messages",
            remedy="Ask for more messages.",
        )
    work = f"reconstructed_books of {deltas:,} deltas, {written} checkpoints or none"
    for name in (WITH, WITHOUT):
        report.add(name, work, "time", "s", walls[name])
        report.add(name, work, "CPU time", "s", cpus[name])
    report.ratio(WITH, WITHOUT, f"{work}: CPU time", cpus[WITH], cpus[WITHOUT])
    ratio = report.ratio(WITH, WITHOUT, f"{work}: time", walls[WITH], walls[WITHOUT])
    report.bar("checkpoints, share of the time without", COST, ratio - 1, at_most=True)


def main() -> None:
    """Measure and print."""
    parser = arguments("checkpoints", "What checkpoints cost a reconstruction.")
    parser.add_argument(
        "--messages", type=int, default=MESSAGES, help="of the day (default: %(default)s, 27 M deltas)"
    )
    parser.add_argument("--turns", type=int, default=TURNS, help="runs of each (default: %(default)s)")
    chosen = parser.parse_args()
    for name in ("messages", "turns"):
        if getattr(chosen, name) < 1:
            parser.error(f"--{name}: expected 1 or more")
    report = Report("checkpoints")
    measure(report, chosen.messages, chosen.turns)
    report.show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
