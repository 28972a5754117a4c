"""Estimates memory, time and disk space of a day from its row counts, and what that comes to on this machine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA
from order_book_platform.kernels.ingest.raw_columns import to_pips
from order_book_platform.model.decimal_encoding import SIZE_BYTES
from order_book_platform.storage.disk import nearest_folder

BASE_BYTES = 385 * 10**6
"""Resident memory of an idle process that has imported all components and the Dagster definitions and compiled the
loops: measured 381 MB; 305 MB when the loops come from the cache."""
CPU_NS_PER_DELTA = 350
"""CPU time of a delta in all six assets together: `obp bench day --flat` took 40.9 s of CPU time for 108.7 M deltas,
377 ns each, 389 for half as many and 311 for twice as many (benchmarks/results/day.json)."""
PARALLEL = 1.48
"""CPU time by wall time of one run on two cores, which took 27.7 s for the same day."""
REFERENCE = "AMD EPYC, 2 cores"
"""Machine of these figures."""
ASSETS_BYTES = 100 * 10**6
"""Memory that the largest asset takes besides its batches: windows of the fidelity report, rows of the books."""
SNAPSHOT_BYTES = 100
"""Memory of the numbers, defect and outcome of a snapshot; levels are not kept. With it a day of 108.7 M deltas and
800,000 snapshots is estimated at 853 MB and took 786 (`obp bench day --flat`), half of it at 813 and took 740."""
BYTES_PER_DELTA = {"raw_deltas": 4.2, "reconstructed_books": 4.4}
"""Disk space of a delta: recorded days of three markets took 3.7 to 5.2 and 2.2 to 6.4, the simulated perpetual 3.8 and
2.4."""
SNAPSHOT_DISK_BYTES = 90
"""Disk space of a snapshot of 20 levels a side: recorded days took 67 to 122."""
DAY_DISK_BYTES = 60 * 10**6
"""Disk space of the features and reports of a whole day, which depend on its length."""
DELTA_ROW_BYTES = 8 * len(RAW_DELTAS_SCHEMA)
DECIMAL_ROW_BYTES = 2 * 8
"""Memory that a row takes in addition where its price and size are decimals."""
DECIMAL_TIMES = 3
"""Factor by which decimals take longer: `python -m benchmarks.precision` measured 2 to 4."""
COPIES = 4
"""Copies of a batch that exist at once: decoded, as pips, the joined remainder, and the row group being written."""
REFERENCE_NS = 11_200_000
"""CPU time of `calibrate`'s work on the machine of benchmarks/results/day.json, which the estimates are of: twenty
calls of it gave 11.2 to 13.8 ms, 11.4 in the median. No committed result has it: measure it again with those."""
_VALUES, _RUNS = 250_000, 5


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Expected cost of all assets of a partition.

    Attributes:
        peak_bytes: Resident memory; it does not grow with the length of the day, except for the snapshots.
        seconds: Wall time of one run on the reference machine.
        cpu_seconds: CPU time of that run.
        disk_bytes: Disk space of the published partitions.
    """

    peak_bytes: int
    seconds: float
    cpu_seconds: float
    disk_bytes: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> RunEstimate:
        """Make the estimate that a report has; other keys are ignored."""
        return cls(**{field.name: report[field.name] for field in fields(cls)})


def estimate_run(
    *,
    deltas: int,
    snapshots: int,
    batch_rows: int,
    decimal_sizes: int | None = None,
    day_share: float | None = None,
) -> RunEstimate:
    """Estimate memory, time and disk space of all assets of a partition.

    Args:
        deltas: Rows of `raw_deltas`.
        snapshots: Rows of `snapshots`.
        batch_rows: Rows decoded at a time.
        decimal_sizes: Number of different sizes of a day of decimals, which take twice the disk space, and of whose
            sizes a replay keeps a list; None for pips.
        day_share: Share of the day that the deltas span, on which the size of the features depends; None counts as 1.
    """
    decimal = decimal_sizes is not None
    row_bytes = DELTA_ROW_BYTES + (DECIMAL_ROW_BYTES if decimal else 0)
    batches = COPIES * row_bytes * min(batch_rows, max(deltas, 1))
    sizes = SIZE_BYTES * (decimal_sizes or 0)
    cpu_s = deltas * CPU_NS_PER_DELTA / NS_PER_SECOND * (DECIMAL_TIMES if decimal else 1)
    by_time = DAY_DISK_BYTES * (1.0 if day_share is None else day_share)
    disk = deltas * sum(BYTES_PER_DELTA.values()) + snapshots * SNAPSHOT_DISK_BYTES + by_time
    return RunEstimate(
        BASE_BYTES + ASSETS_BYTES + batches + snapshots * SNAPSHOT_BYTES + sizes,
        round(cpu_s / PARALLEL, 3),
        round(cpu_s, 3),
        round(disk * (2 if decimal else 1)),
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine to run on; `slowness` is the CPU time of `calibrate`'s work by that on the machine of the estimates."""

    cores: int
    memory_bytes: int
    free_memory_bytes: int
    free_disk_bytes: int
    slowness: float


def this_machine(data_root: Path) -> Machine:
    """Look at the machine and measure one of its cores for some 0.1 s."""
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = shutil.disk_usage(nearest_folder(data_root)).free
    return Machine(cores, memory.total, memory.available, free, round(calibrate() / REFERENCE_NS, 3))


def calibrate() -> int:
    """Measure the CPU time in ns of work like the platform's: making floats pips and sorting them.

    It is the CPU time of the best of some runs, so that other work of the machine counts as little as possible.
    """
    prices = np.random.default_rng(1).integers(1, 10**7, _VALUES) / 100
    pips = np.empty(_VALUES, np.int64)
    times = []
    for _ in range(_RUNS):
        before = time.thread_time_ns()
        to_pips(prices, 100.0, 2.0**51, pips)
        np.sort(pips)
        times.append(time.thread_time_ns() - before)
    return min(times)


def on_machine(estimates: Sequence[RunEstimate], machine: Machine, limit_bytes: int) -> dict[str, Any]:
    """Return what the runs of some days take on a machine, with as many at once as cores and memory allow.

    No more memory is used than `limit_bytes`. The result has the machine, `parallel_runs`, `hours` of all runs,
    `cpu_hours`, `peak_bytes` of as many runs as go at once, `disk_bytes` of the outputs, and whether they fit.
    """
    peak = max((each.peak_bytes for each in estimates), default=0)
    usable = min(limit_bytes, machine.memory_bytes)
    runs = max(min(machine.cores, usable // peak if peak else 1, len(estimates)), 1)
    cpu_s = sum(each.cpu_seconds for each in estimates) * machine.slowness
    # A run reads ahead in threads of its own, so that alone it uses more than one core, but never more than there are.
    busy = min(runs * PARALLEL, machine.cores)
    disk = sum(each.disk_bytes for each in estimates)
    return {
        "machine": asdict(machine),
        "reference": REFERENCE,
        "days": len(estimates),
        "parallel_runs": runs,
        "cpu_hours": cpu_s / 3_600,
        "hours": cpu_s / busy / 3_600,
        "peak_bytes": peak * runs,
        "disk_bytes": disk,
        "memory_fits": peak <= usable,
        "disk_fits": disk <= machine.free_disk_bytes,
    }
