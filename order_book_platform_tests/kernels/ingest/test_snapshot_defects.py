"""Defects of snapshots found in one pass, against the rules one at a time, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.ingest.snapshot_defects import find_defects
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.model.snapshot_defect import SnapshotDefect
from order_book_platform_tests.oracle import snapshot_defects

TICK = 5

prices = st.one_of(st.just(MISSING_PIPS), st.sampled_from([5, 10, 15, 20, 25, 7]))
sound = st.permutations([5, 10, 15, 20, 25, 30]).map(
    lambda ticks: [sorted(ticks[:3], reverse=True), sorted(ticks[3:])]
)
snapshots = st.lists(
    st.tuples(
        st.one_of(sound, st.lists(st.lists(prices, min_size=3, max_size=3), min_size=2, max_size=2)),
        st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=2),
    ),
    max_size=6,
)


@pytest.mark.parametrize(
    "find", [find_defects, getattr(find_defects, "py_func", find_defects)], ids=["compiled", "interpreted"]
)
@given(drawn=snapshots)
def test_defects_equal_those_of_the_rules(
    find: Callable[..., None], drawn: list[tuple[list[list[int]], list[list[int]]]]
) -> None:
    """Whatever is wrong with a snapshot, and however much of it, the same defect is charged."""
    price, size = (
        np.array([pair[part] for pair in drawn], np.int64).reshape(len(drawn), 2, 3) for part in range(2)
    )
    times = np.zeros(len(drawn), np.int64)
    found = np.full(len(drawn), 99, np.uint8)
    find(price, size, TICK, found)
    assert found.tolist() == snapshot_defects(SnapshotBatch(times, times, times, price, size), TICK).tolist()


@pytest.mark.parametrize(
    ("bids", "asks", "size", "defect"),
    [
        ([20, 15], [25, 30], 1, SnapshotDefect.NONE),
        ([20, MISSING_PIPS], [25, MISSING_PIPS], 1, SnapshotDefect.NONE),
        ([MISSING_PIPS, 15], [25, 30], 1, SnapshotDefect.EMPTY_SIDE),
        ([15, 20], [25, 30], 1, SnapshotDefect.UNSORTED),
        ([25, 20], [25, 30], 1, SnapshotDefect.CROSSED),
        ([20, 15], [25, 31], 1, SnapshotDefect.OFF_TICK),
        ([20, 15], [25, 30], 0, SnapshotDefect.BAD_SIZE),
    ],
)
def test_each_defect_is_told(bids: list[int], asks: list[int], size: int, defect: SnapshotDefect) -> None:
    """One example of each, of the first that applies."""
    price = np.array([[bids, asks]], np.int64)
    found = np.full(1, 99, np.uint8)
    find_defects(price, np.full_like(price, size), TICK, found)
    assert found[0] == defect


@pytest.mark.parametrize("find", [find_defects, getattr(find_defects, "py_func", find_defects)])
@pytest.mark.parametrize("tick", [1, 2, 3, 7, 10**7])
def test_ticks_are_told_where_floats_end(find: Callable[..., None], tick: int) -> None:
    """Of prices up to the largest, each multiple of a tick passes, and what lies beside it fails."""
    ticks = np.unique(np.array([2**bits // tick for bits in range(30, 63)]))[1:]
    for beside in range(-1, 2):
        asks = ticks * tick + beside
        price = np.stack([np.full_like(asks, tick), asks], 1)[:, :, None]
        found = np.full(len(asks), 99, np.uint8)
        find(price, np.ones_like(price), tick, found)
        wrong = SnapshotDefect.OFF_TICK if beside % tick else SnapshotDefect.NONE
        assert set(found.tolist()) == {int(wrong)}


def test_snapshots_without_levels() -> None:
    """A snapshot of depth 0 has an empty side, and nothing beyond its array is read."""
    price = np.empty((2, 2, 0), np.int64)
    found = np.full(2, 99, np.uint8)
    find_defects(price, price, TICK, found)
    assert found.tolist() == [SnapshotDefect.EMPTY_SIDE] * 2
