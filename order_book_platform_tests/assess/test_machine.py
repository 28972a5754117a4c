"""Estimates brought to a machine: what fits, how many runs at once, how long."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from order_book_platform.assess.machine import Machine, on_machine, this_machine
from order_book_platform.assess.run_estimate import RunEstimate, estimate_run

GB = 10**9
DAY = RunEstimate(peak_bytes=GB, seconds=36, cpu_seconds=47, disk_bytes=GB)
MACHINE = Machine(
    cores=4, memory_bytes=16 * GB, free_memory_bytes=8 * GB, free_disk_bytes=100 * GB, slowness=1.0
)


@pytest.mark.parametrize(
    ("cores", "memory", "limit", "days", "runs"),
    [(4, 16, 24, 10, 4), (4, 16, 24, 2, 2), (8, 3, 24, 10, 3), (8, 16, 2, 10, 2), (4, 16, 0.5, 10, 1)],
    ids=["a run a core", "few days", "little memory", "a low limit", "none fits"],
)
def test_runs_at_once(cores: int, memory: float, limit: float, days: int, runs: int) -> None:
    """As many as cores, memory, its limit and days allow, and one at least."""
    machine = replace(MACHINE, cores=cores, memory_bytes=int(memory * GB))
    found = on_machine([DAY] * days, machine, int(limit * GB))
    assert found["parallel_runs"] == runs
    assert found["memory_fits"] == (limit >= 1)


def test_time_and_disk_add_up() -> None:
    """Hours of CPU time shared by the cores; a slower machine takes longer; disk is held against what is free."""
    found = on_machine([DAY] * 100, MACHINE, 24 * GB)
    assert found["cpu_hours"] == pytest.approx(4_700 / 3_600)
    assert found["hours"] == pytest.approx(4_700 / 3_600 / 4)
    assert found["disk_bytes"] == 100 * GB
    assert found["disk_fits"]
    slow = on_machine([DAY] * 101, replace(MACHINE, slowness=2.0), 24 * GB)
    assert slow["cpu_hours"] == pytest.approx(2 * 4_747 / 3_600)
    assert not slow["disk_fits"]


def test_one_run_cannot_use_all_cores() -> None:
    """Alone it reads ahead and no more: the time is that of the committed benchmark."""
    day = estimate_run(deltas=108_682_617, snapshots=797_796, batch_rows=1_000_000)
    found = on_machine([day], replace(MACHINE, cores=64), 24 * GB)
    assert found["hours"] * 3_600 == pytest.approx(day.seconds, rel=0.001)


def test_no_days_cost_nothing() -> None:
    """Nothing to do, on any machine."""
    found = on_machine([], MACHINE, 24 * GB)
    assert (found["hours"], found["disk_bytes"], found["parallel_runs"]) == (0, 0, 1)


def test_this_machine(tmp_path: Path) -> None:
    """Whatever it has is above nothing; the data root need not exist yet."""
    machine = this_machine(tmp_path / "not" / "there")
    assert min(machine.cores, machine.memory_bytes, machine.free_disk_bytes) > 0
    assert 0.01 < machine.slowness < 100
