"""The split of snapshots into those that shape a book and those that stay evidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.model.snapshot_defect import SnapshotDefect
from order_book_platform.replay.snapshot_selection import EveryNthSnapshot, defect_counts, snapshot_defects

SOUND = ([[100, 90, 80], [110, 120, 130]], [[1, 2, 3], [4, 5, 6]])


def one(prices: list[list[int]], sizes: list[list[int]]) -> SnapshotBatch:
    """A single snapshot of three levels a side."""
    zero = np.zeros(1, dtype=np.int64)
    return SnapshotBatch(zero, zero, zero, np.array([prices], np.int64), np.array([sizes], np.int64))


@pytest.mark.parametrize(
    ("prices", "sizes", "defect"),
    [
        (*SOUND, SnapshotDefect.NONE),
        ([[100, 90, MISSING_PIPS], [110, 120, 130]], [[1, 2, 0], [4, 5, 6]], SnapshotDefect.NONE),
        ([[100, MISSING_PIPS, MISSING_PIPS], [110, 120, 130]], [[1, 0, 0], [4, 5, 6]], SnapshotDefect.NONE),
        ([[MISSING_PIPS] * 3, [110, 120, 130]], [[0] * 3, [4, 5, 6]], SnapshotDefect.EMPTY_SIDE),
        ([[100, 90, 80], [MISSING_PIPS] * 3], [[1, 2, 3], [0] * 3], SnapshotDefect.EMPTY_SIDE),
        ([[100, 100, 80], [110, 120, 130]], SOUND[1], SnapshotDefect.UNSORTED),
        ([[100, 90, 80], [110, 130, 120]], SOUND[1], SnapshotDefect.UNSORTED),
        ([[110, 90, 80], [110, 120, 130]], SOUND[1], SnapshotDefect.CROSSED),
        ([[100, 90, 80], [90, 120, 130]], SOUND[1], SnapshotDefect.CROSSED),
        ([[100, 95, 80], [110, 120, 130]], SOUND[1], SnapshotDefect.OFF_TICK),
        (SOUND[0], [[1, 0, 3], [4, 5, 6]], SnapshotDefect.BAD_SIZE),
        (SOUND[0], [[1, 2, 3], [4, 5, -6]], SnapshotDefect.BAD_SIZE),
    ],
)
def test_each_defect(prices: list[list[int]], sizes: list[list[int]], defect: SnapshotDefect) -> None:
    """A sound snapshot has none, on either side, whether all its levels are there or not."""
    assert snapshot_defects(one(prices, sizes), tick_pips=10).tolist() == [defect]


def test_counts_name_what_is_wrong() -> None:
    """By name, without the sound ones and without zeros."""
    defects = np.array([0, 3, 0, 3, 5], dtype=np.uint8)
    assert defect_counts(defects) == {"crossed": 2, "bad_size": 1}
    assert defect_counts(defects[:1]) == {}


@given(st.lists(st.sampled_from([0, 0, 0, 1, 4]), max_size=60), st.integers(0, 12))
def test_candidates_are_fixed_by_position(defects: list[int], extend_every: int) -> None:
    """The first sound one and every n-th after it; an unsound one in that place is not replaced by a neighbour."""
    found = EveryNthSnapshot(extend_every).rows(np.array(defects, dtype=np.uint8)).tolist()
    if 0 not in defects:
        assert found == []
        return
    seed = defects.index(0)
    expected = [seed] if extend_every == 0 else list(range(seed, len(defects), extend_every))
    assert found == expected


@given(st.lists(st.sampled_from([0, 1]), max_size=40), st.lists(st.sampled_from([0, 1]), max_size=40))
def test_later_snapshots_change_nothing(defects: list[int], later: list[int]) -> None:
    """A longer day starts with the same candidates: nothing is decided by looking ahead."""
    short = EveryNthSnapshot(3).rows(np.array(defects, dtype=np.uint8)).tolist()
    long = EveryNthSnapshot(3).rows(np.array(defects + later, dtype=np.uint8)).tolist()
    assert long[: len(short)] == short
