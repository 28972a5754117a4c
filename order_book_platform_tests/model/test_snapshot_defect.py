"""Defects of snapshots: their numbers are contiguous, since loops write them as uint8 and count them by number."""

from __future__ import annotations

from order_book_platform.model.snapshot_defect import SnapshotDefect


def test_numbers_count_from_zero_and_zero_is_no_defect() -> None:
    """Counting by number needs no holes; a sound snapshot is false."""
    assert [int(defect) for defect in SnapshotDefect] == list(range(len(SnapshotDefect)))
    assert not SnapshotDefect.NONE
