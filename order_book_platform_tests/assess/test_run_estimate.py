"""The estimate of a run: what was measured, what it grows with, and what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from order_book_platform.assess.run_estimate import DAY_DISK_BYTES, REFERENCE, RunEstimate, estimate_run

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
    assert RunEstimate.of({"basis": "estimate", **of(10**6).to_dict()}) == of(10**6)
