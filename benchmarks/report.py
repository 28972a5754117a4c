"""What a benchmark prints: one JSON object, or the same for people."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

NS_PER_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """A figure: the median of several runs.

    Attributes:
        system: what was measured.
        work: what it had to do.
        metric: such as `throughput`.
        value: median, in `unit`.
        min: of all runs.
        max: of all runs.
        runs: how many.
    """

    system: str
    work: str
    metric: str
    value: float
    unit: str
    min: float
    max: float
    runs: int


@dataclass(slots=True)
class Report:
    """All figures of one benchmark, with the machine and the versions they were taken on."""

    benchmark: str
    results: list[Result] = field(default_factory=list)
    ratios: list[dict[str, object]] = field(default_factory=list)
    bars: list[dict[str, Any]] = field(default_factory=list)

    def rate(
        self, system: str, work: str, amount: int, unit: str, run: Callable[[], object], runs: int = 5
    ) -> Result:
        """Time `run` several times after one that warms up; the figure is amount per second."""
        run()
        rates = []
        for _ in range(runs):
            start_ns = time.perf_counter_ns()
            run()
            rates.append(amount * NS_PER_SECOND / (time.perf_counter_ns() - start_ns))
        return self.add(system, work, "throughput", f"{unit}/s", rates)

    def add(self, system: str, work: str, metric: str, unit: str, values: list[float]) -> Result:
        """Take figures measured elsewhere."""
        result = Result(
            system, work, metric, statistics.median(values), unit, min(values), max(values), len(values)
        )
        self.results.append(result)
        return result

    def bar(self, what: str, required: float, reached: float, *, at_most: bool = False) -> None:
        """Hold a figure against what it has to reach."""
        holds = reached <= required if at_most else reached >= required
        self.bars.append({"what": what, "required": required, "reached": reached, "holds": holds})

    def document(self) -> dict[str, object]:
        """The JSON object."""
        return {
            "benchmark": self.benchmark,
            "machine": machine(),
            "versions": versions(),
            "commit": commit(),
            "results": [asdict(result) for result in self.results],
            "ratios": self.ratios,
            "bars": self.bars,
        }

    def show(self, arguments: list[str] | None = None) -> None:
        """Print as JSON if `--json` was given, else as lines."""
        if "--json" in (sys.argv[1:] if arguments is None else arguments):
            print(json.dumps(self.document(), indent=1))
            return
        where = machine()
        print(f"{self.benchmark} on {where['cpu']}, {where['cores']} cores")
        for each in self.results:
            spread = f"{each.min:,.4g} to {each.max:,.4g}, {each.runs} runs"
            print(f"  {each.system:<28} {each.work:<44} {each.value:>12,.4g} {each.unit:<10} ({spread})")
        for bar in self.bars:
            verdict = "holds" if bar["holds"] else "MISSED"
            print(
                f"  {verdict:<6} {bar['what']}: required {bar['required']:,}, reached {bar['reached']:,.4g}"
            )


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
    root = Path(__file__).parents[1]
    done = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+"],
        check=False,
        capture_output=True,
        text=True,
        cwd=root,
    )
    return done.stdout.strip() or "unknown"
