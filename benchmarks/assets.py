"""How long each asset of one partition takes, and how much memory all of them need.

One process, a simulated BTC perpetual, files in the page cache.

Run: `obp bench assets [--json]`, or `python -m benchmarks.assets [--json]`.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from benchmarks.report import Report, arguments, run
from benchmarks.simulated import KEY, simulated_lake
from order_book_platform.assess import DataAssessor, GapReporter
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity import FidelityReporter
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct import Reconstructor
from order_book_platform.rl import FeatureBuilder
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeIngest
from order_book_platform.storage import DataStore

MESSAGES = 50_000
RUNS = 3


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


def main() -> None:
    """Measure and print."""
    chosen = arguments("assets", "Each asset of one partition.").parse_args()
    report = Report("assets")
    seconds: dict[str, list[float]] = {name: [] for name in COMPONENTS}
    with tempfile.TemporaryDirectory() as folder:
        store, settings = simulated_lake(Path(folder), MESSAGES)
        for _ in range(RUNS + 1):
            for name, component in COMPONENTS.items():
                start_ns = time.perf_counter_ns()
                component(store, settings).run(KEY)
                seconds[name].append((time.perf_counter_ns() - start_ns) / NS_PER_SECOND)
        rows = store.manifest("raw_deltas", KEY).rows["deltas.parquet"]
    work = f"{rows:,} deltas of {MESSAGES:,} messages"
    for name, times in seconds.items():
        report.add(name, work, "time", "s", times[1:])  # the first run compiles and warms up
    totals = [sum(run) for run in zip(*(times[1:] for times in seconds.values()), strict=True)]
    whole = report.add("all six assets", work, "throughput", "deltas/s", [rows / total for total in totals])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report.add("all six assets", work, "peak memory", "bytes", [float(peak)])
    report.bar("a day of 109.3 M deltas through all assets, s", 60, 109_300_000 / whole, at_most=True)
    report.bar("peak memory, bytes", 1_500_000_000, peak, at_most=True)
    report.show(as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(run(main))
