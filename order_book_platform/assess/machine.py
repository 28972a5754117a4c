"""Says what an estimate comes to on this machine, from its cores, their speed, its memory and its disk space."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from order_book_platform.assess.run_estimate import PARALLEL, REFERENCE, RunEstimate
from order_book_platform.kernels.ingest.raw_columns import to_pips
from order_book_platform.storage.disk import nearest_folder

REFERENCE_NS = 11_200_000
"""CPU time of `calibrate`'s work on the machine of benchmarks/results/day.json, which the estimates are of: twenty
calls of it gave 11.2 to 13.8 ms, 11.4 in the median. No committed result has it: measure it again with those."""
_VALUES, _RUNS = 250_000, 5


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine to run on.

    Attributes:
        cores: Cores that this process may use.
        memory_bytes: Memory of the machine.
        free_memory_bytes: Part of the memory that is not in use.
        free_disk_bytes: Free disk space where the data root is or will be.
        slowness: CPU time of `calibrate`'s work here by that on the machine of the estimates.
    """

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

    Args:
        estimates: Estimates for the reference machine, one a day.
        machine: Machine that the runs shall be on.
        limit_bytes: Memory that the platform may use.

    Returns:
        The machine, `parallel_runs`, `hours` of all runs, `cpu_hours`, `peak_bytes` of as many runs as go at once,
        `disk_bytes` of the outputs, and whether they fit: `memory_fits`, `disk_fits`.
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
