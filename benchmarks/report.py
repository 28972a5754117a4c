"""What a benchmark prints: one JSON object, or tables for people."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.text import Text

from order_book_platform.cli.group import EXIT_FAILED, show_error
from order_book_platform.cli.output import print_json, stdout, table
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import OrderBookPlatformError

ROOT = Path(__file__).parents[1]
"""The source checkout."""

OURS = "order_book_platform"


@dataclass(frozen=True, slots=True)
class Result:
    """A figure: the median of several runs.

    Attributes:
        system: what was measured.
        work: what it had to do.
        metric: such as `throughput`.
        value: median, in `unit`; None where nothing was measured, and `work` says why.
        min: of all runs.
        max: of all runs.
        runs: how many; 0 where nothing was measured.
    """

    system: str
    work: str
    metric: str
    value: float | None
    unit: str
    min: float | None
    max: float | None
    runs: int


@dataclass(slots=True)
class Report:
    """All figures of one benchmark, with the machine and the versions they were taken on.

    Attributes:
        benchmark: its name.
        results: figures.
        ratios: of two systems at the same work.
        bars: figures against what they have to reach.
        versions: of packages that only this benchmark knows, added to everybody's.
    """

    benchmark: str
    results: list[Result] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    bars: list[dict[str, Any]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def add(self, system: str, work: str, metric: str, unit: str, values: list[float]) -> float:
        """Take a figure from its runs; gives their median, which is what counts."""
        value = statistics.median(values)
        self.results.append(Result(system, work, metric, value, unit, min(values), max(values), len(values)))
        return value

    def missing(self, system: str, work: str, metric: str, unit: str, remedy: str) -> None:
        """Say in place of a figure that it could not be taken, and what to do about it."""
        text = f"{work}; not measured: {remedy}"
        self.results.append(Result(system, text, metric, None, unit, None, None, 0))

    def ratio(
        self, numerator: str, denominator: str, work: str, over: list[float], under: list[float]
    ) -> float:
        """How many times one system's figure is another's: the median over runs taken in turn.

        Args:
            numerator: the one system.
            denominator: the other.
            work: what both had to do.
            over: figures of the one.
            under: figures of the other; those at the same place come from the same turn.
        """
        value = statistics.median(above / below for above, below in zip(over, under, strict=True))
        self.ratios.append({"numerator": numerator, "denominator": denominator, "work": work, "value": value})
        return value

    def bar(self, what: str, required: float, reached: float | None, *, at_most: bool = False) -> None:
        """Hold a figure against what it has to reach; one that was not measured does not, and is shown as that."""
        holds = reached is not None and (reached <= required if at_most else reached >= required)
        self.bars.append({"what": what, "required": required, "reached": reached, "holds": holds})

    def document(self) -> dict[str, object]:
        """The JSON object."""
        return {
            "benchmark": self.benchmark,
            "machine": machine(),
            "versions": versions() | self.versions,
            "commit": commit(),
            "results": [asdict(result) for result in self.results],
            "ratios": self.ratios,
            "bars": self.bars,
        }

    def show(self, *, as_json: bool) -> None:
        """Print the JSON object, or tables."""
        if as_json:
            print_json(self.document())
            return
        where = machine()
        console = stdout()
        console.print(f"{self.benchmark} on {where['cpu']}, {where['cores']} cores, commit {commit()}")
        console.print(_results_table(self.results))
        if self.ratios:
            console.print(_ratios_table(self.ratios))
        if self.bars:
            console.print(_bars_table(self.bars))


def _results_table(results: list[Result]) -> Any:
    rows = [
        (each.system, each.work, each.metric, _figure(each.value), each.unit, _span(each)) for each in results
    ]
    return table("Results", ("system", "work", "metric", "median", "unit", "runs"), rows, right=("median",))


def _span(result: Result) -> str:
    if result.runs < 2:
        return str(result.runs)
    return f"{_figure(result.min)} to {_figure(result.max)}, {result.runs} runs"


def _ratios_table(ratios: list[dict[str, Any]]) -> Any:
    rows = [(each["work"], each["numerator"], each["denominator"], f"{each['value']:.2f}") for each in ratios]
    return table("Ratios", ("work", "of", "to", "times"), rows, right=("times",))


def _bars_table(bars: list[dict[str, Any]]) -> Any:
    rows = [
        (
            _outcome(bar),
            bar["what"],
            _figure(bar["required"]),
            _figure(bar["reached"]),
        )
        for bar in bars
    ]
    return table("Bars", ("", "what", "required", "reached"), rows, right=("required", "reached"))


def _outcome(bar: dict[str, Any]) -> Text:
    if bar["reached"] is None:
        return Text("not measured", "dim")
    return Text("holds", "green") if bar["holds"] else Text("MISSED", "bold red")


def _figure(value: float | None) -> str:
    """Four significant digits, never with an exponent; `-` where there is none."""
    if value is None:
        return "-"
    return f"{float(f'{value:.4g}'):,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"


def in_turn(contestants: Mapping[str, Callable[[], int]], runs: int) -> dict[str, list[int]]:
    """Run several systems one after the other, again and again, so that what disturbs one disturbs all.

    Each runs twice in its turn, and the second time counts: while the others ran, its stream left the caches, and a
    machine short of memory may have put it aside.

    Args:
        contestants: what to run; gives its own time in ns.
        runs: turns.

    Returns:
        Times in ns of each, in order of the turns.
    """
    times: dict[str, list[int]] = {name: [] for name in contestants}
    for _ in range(runs):
        for name, run in contestants.items():
            run()
            times[name].append(run())
    return times


def rates(amount: int, times_ns: list[int]) -> list[float]:
    """Amount per second of each time."""
    return [amount * NS_PER_SECOND / each for each in times_ns]


def timed(run: Callable[[], object]) -> int:
    """How long a call takes on its core, ns: another program that gets the core meanwhile does not count."""
    start_ns = time.thread_time_ns()
    run()
    return time.thread_time_ns() - start_ns


def stay_on_one_core() -> None:
    """Keep this process, and those it starts, on one core and to one thread each; a Linux matter."""
    for threads in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[threads] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # interrupts favour the first core


def arguments(benchmark: str, description: str) -> argparse.ArgumentParser:
    """What every benchmark takes: `--json` and `--help`; more can be added."""
    parser = argparse.ArgumentParser(prog=f"obp bench {benchmark}", description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    return parser


def run(main: Callable[[], None]) -> int:
    """Run a benchmark as a program; what the user can put right is a block on stderr and exit code 1."""
    try:
        main()
    except OrderBookPlatformError as error:
        show_error(error)
        return EXIT_FAILED
    return 0


def machine() -> dict[str, object]:
    """Processor, usable cores and memory."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def versions() -> dict[str, str]:
    """Python and the packages that decide the speed."""
    packages = ("order-book-platform", "numba", "numpy", "polars", "pyarrow")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}


def commit() -> str:
    """The commit that was measured, with a plus where files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    return done.stdout.strip() or "unknown"
