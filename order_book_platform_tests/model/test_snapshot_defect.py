"""Defects of snapshots: the numbers that the loops write are those of the names."""

from __future__ import annotations

from order_book_platform.kernels.ingest import snapshot_defects
from order_book_platform.model.snapshot_defect import SnapshotDefect


def test_the_loops_write_these_numbers() -> None:
    """Every defect but NONE has a constant of the same name and value beside the loop that finds it."""
    for defect in SnapshotDefect:
        assert getattr(snapshot_defects, defect.name) == defect
