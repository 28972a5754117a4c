"""Reports for people: what cannot be read, what a machine lacks, and what a sample may say."""

from __future__ import annotations

from typing import Any

import pytest

from order_book_platform.assess.report.markdown import assessment_markdown, cost_here, validation_gate_holds


def test_a_day_that_could_not_be_read_is_a_heading_and_its_error() -> None:
    """There is nothing else to say of it."""
    report = {"symbol": "TEST:A", "day": "2024-01-02", "verdict": "damaged", "why": "X: broken", "error": {}}
    assert assessment_markdown(report) == "# TEST:A 2024-01-02: damaged\n\nX: broken\n"


@pytest.mark.parametrize(
    ("passed", "scan", "text"),
    [(False, "sample", "does not hold"), (True, "sample", "holds so far"), (True, "full", "holds")],
)
def test_a_sample_holds_so_far(passed: bool, scan: str, text: str) -> None:
    """Only a full scan may say that the gate holds."""
    assert validation_gate_holds({"validation_gate": {"passed": passed}, "scan": scan}) == text


def here(**changes: Any) -> dict[str, Any]:
    """What runs take on a machine with 2 cores."""
    return {
        "machine": {"cores": 2, "memory_bytes": 8e9, "free_disk_bytes": 50e9, "slowness": 1.25},
        "reference": "REF",
        "hours": 0.5,
        "parallel_runs": 2,
        "peak_bytes": 1e9,
        "disk_bytes": 2e9,
        "memory_fits": True,
        "disk_fits": True,
        **changes,
    }


def test_costs_have_units_that_suit_them() -> None:
    """Seconds below an hour, hours above; what does not fit stands out."""
    text = cost_here(here())
    assert text.startswith("1,800.0 s with 2 run(s) at a time on 2 cores, 1.00 GB of 8.0 GB memory,")
    assert text.endswith("(measured on REF; these cores take 1.25 of its time)")
    assert "**" not in text
    assert cost_here(here(hours=1_000)).startswith("1,000.0 hours")
    assert "memory; **too little memory**" in cost_here(here(memory_fits=False))
    assert "free disk; **too little disk**" in cost_here(here(disk_fits=False))
