"""How long a process takes from its start to the first rows of a book.

Warm: the compiled loops are kept, and so is the bytecode of all packages, as pip leaves it; one core. Cold: nothing is
compiled yet; once, and with eight processes at once on all cores, of which one compiles and the others wait for it. The
time of a warm start is its core's own, so that other programs on it do not count; the time that passed is beside it.

Run: `obp bench start [--json]`, or `python -m benchmarks.start [--json]`.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import OURS, ROOT, Report, arguments, run, stay_on_one_core
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import BenchmarkError

RUNS = 7
AT_ONCE = 8

PROCESS = """
import json, sys, time
marks = {}
def mark(name):
    marks[name] = time.monotonic_ns(), time.process_time_ns()
mark("starting Python")
import numpy as np
mark("importing numpy")
import pyarrow
mark("importing pyarrow")
import order_book_platform.kernels.compiled as compiled
mark("importing numba")
compiled.cpu_target.target_context.refresh()
mark("numba's knowledge of Python and numpy")
if sys.argv[1] == "imports":
    raise SystemExit
from order_book_platform.replay.book import Book
from order_book_platform.datasets.raw_deltas import DeltaBatch
mark("importing the book")
numbers = np.arange(1, 5)
columns = {name: numbers for name in DeltaBatch.__slots__} | {"is_bid": numbers % 2 == 0}
columns["encoded_price"] = np.array([101, 100, 102, 99])
assert sum(len(rows) for rows in Book(1, depth=2).feed(DeltaBatch(**columns))) == 4
mark("loading loops and the first rows")
print(json.dumps(marks))
"""


class Started:
    """A process on its way to its first rows.

    Args:
        scratch: where bytecode and loops are kept.
        kept: name of the folder for the loops, below it.
        until: `rows`, or `imports` to stop before the loops.
    """

    def __init__(self, scratch: Path, kept: str, until: str = "rows") -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        environment |= {
            "PYTHONPYCACHEPREFIX": str(scratch / "bytecode"),
            "NUMBA_CACHE_DIR": str(scratch / kept),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._start_ns = time.monotonic_ns()
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, until],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=ROOT,
        )

    def finish(self) -> dict[str, float]:
        """Seconds: each step on its core, and to the first `rows`; that `passed` until then, and until the `exit`."""
        printed, _ = self._process.communicate()
        exit_ns = time.monotonic_ns()
        if self._process.returncode != 0:
            raise BenchmarkError(
                expected="a process that replays a batch",
                found=f"exit code {self._process.returncode}",
                where="benchmarks.start.PROCESS",
                remedy="Its traceback is above.",
            )
        marks: dict[str, list[int]] = json.loads(printed or "{}")
        steps, now_ns, core_ns = {}, self._start_ns, 0
        for name, reached in marks.items():
            steps[name] = (reached[1] - core_ns) / NS_PER_SECOND
            now_ns, core_ns = reached
        return steps | {
            "rows": core_ns / NS_PER_SECOND,
            "passed": (now_ns - self._start_ns) / NS_PER_SECOND,
            "exit": (exit_ns - self._start_ns) / NS_PER_SECOND,
        }


def at_once(scratch: Path, kept: str) -> list[float]:
    """Seconds until each of several processes started together has its first rows, longest last."""
    return sorted(each.finish()["passed"] for each in [Started(scratch, kept) for _ in range(AT_ONCE)])


def main() -> None:
    """Measure and print."""
    chosen = arguments("start", "From the start of a process to its first rows.").parse_args()
    report = Report("start")
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        Started(scratch, "none", "imports").finish()
        cold_together = at_once(scratch, "together")
        warm_together = at_once(scratch, "together")
        stay_on_one_core()
        cold = Started(scratch, "alone").finish()
        warm = [Started(scratch, "alone").finish() for _ in range(RUNS + 1)][1:]
    works = {
        "rows": ("warm start to the first rows", "core time"),
        "passed": ("warm start to the first rows", "time"),
        "exit": ("warm start to the end of the process", "time"),
    }
    for name in warm[0]:
        work, metric = works.get(name, (f"of a warm start: {name}", "core time"))
        report.add(OURS, work, metric, "s", [each[name] for each in warm])
    report.add(OURS, "cold start to the first rows", "core time", "s", [cold["rows"]])
    for state, seconds in (("cold", cold_together), ("warm", warm_together)):
        report.add(
            OURS, f"{state} start of {AT_ONCE} at once, all cores, the last", "time", "s", seconds[-1:]
        )
    for name, clock in (("rows", "core time"), ("passed", "time that passed")):
        reached = statistics.median(each[name] for each in warm)
        report.bar(f"warm start to the first rows, one core, {clock}, s", 1.0, reached, at_most=True)
    report.show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
