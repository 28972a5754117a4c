"""The estimate of a run: what was measured, what it grows with, and what it does not."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from order_book_platform.assess.run_estimate import (
    DAY_DISK_BYTES,
    REFERENCE,
    Machine,
    RunEstimate,
    estimate_run,
    on_machine,
    this_machine,
)

MEASURED = Path(__file__).parents[2] / "benchmarks/results/day.json"
SNAPSHOTS_PER_DELTA = 797_796 / 108_682_617


def measured(metric: str) -> list[tuple[int, float]]:
    """Deltas and figure of each day in the committed results."""
    results = json.loads(MEASURED.read_text(encoding="utf-8"))["results"]
    return [
        (int(each["work"].split()[0].replace(",", "")), each["value"])
        for each in results
        if each["system"] == "all six assets" and each["metric"] == metric
    ]


def of(deltas: int) -> RunEstimate:
    """A simulated perpetual's day with so many deltas."""
    return estimate_run(deltas=deltas, snapshots=round(deltas * SNAPSHOTS_PER_DELTA), batch_rows=1_000_000)


@pytest.mark.parametrize(("metric", "name"), [("time", "seconds"), ("CPU time", "cpu_seconds")])
def test_time_is_that_of_the_committed_benchmark(metric: str, name: str) -> None:
    """Within a fifth, for every day that was measured: constants that are stale fail here."""
    assert measured(metric)
    for deltas, value in measured(metric):
        assert getattr(of(deltas), name) == pytest.approx(value, rel=0.2)


def test_the_machine_is_that_of_the_committed_benchmark() -> None:
    """What estimates are said to be measured on is what the results were measured on."""
    machine = json.loads(MEASURED.read_text(encoding="utf-8"))["machine"]
    assert f"{machine['cpu']}, {machine['cores']} cores" == REFERENCE


def test_memory_is_enough_and_not_much_more() -> None:
    """Above every measured peak, by a quarter at most: a limit held against it has to mean something."""
    for deltas, value in measured("peak memory"):
        assert value <= of(deltas).peak_bytes <= 1.25 * value


def test_memory_does_not_grow_with_deltas() -> None:
    """Only with snapshots, of which some bytes are kept, and with batches."""
    one, ten = (estimate_run(deltas=n, snapshots=800_000, batch_rows=1_000_000) for n in (10**8, 10**9))
    assert ten.peak_bytes == one.peak_bytes
    assert ten.cpu_seconds == pytest.approx(10 * one.cpu_seconds)
    assert estimate_run(deltas=10**8, snapshots=0, batch_rows=2_000_000).peak_bytes > one.peak_bytes


def test_decimals_take_more_of_everything() -> None:
    """Memory, time and disk."""
    pips = estimate_run(deltas=10**8, snapshots=10**6, batch_rows=10**6)
    decimals = estimate_run(deltas=10**8, snapshots=10**6, batch_rows=10**6, decimal_sizes=10**5)
    for name in ("peak_bytes", "seconds", "cpu_seconds", "disk_bytes"):
        assert getattr(decimals, name) > getattr(pips, name)


def test_what_goes_by_time_goes_by_the_share_of_the_day() -> None:
    """A few minutes do not take the features of a whole day; a share that is not known counts as all of it."""
    none, half, whole, unknown = (
        estimate_run(deltas=1_000, snapshots=0, batch_rows=10**6, day_share=share).disk_bytes
        for share in (0.0, 0.5, 1.0, None)
    )
    assert whole == unknown
    assert (whole - none, half - none) == (DAY_DISK_BYTES, DAY_DISK_BYTES // 2)


def test_from_a_report() -> None:
    """What a report says of it is enough to have it again."""
    assert RunEstimate.of({"basis": "estimate", **asdict(of(10**6))}) == of(10**6)


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
