"""Floats to pips in one pass, against numpy's steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import FixedPointRangeError
from order_book_platform.kernels.ingest import raw_columns
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect, find_defects
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.fixed_point import EXACT_PIPS, float_to_pips
from order_book_platform_tests.oracle import snapshot_defects

decimals = st.integers(0, 18)
numbers = st.one_of(
    st.decimals(0, 10**6, places=8).map(float),
    st.floats(0, 1e6),
    st.floats(),
    st.sampled_from([0.0, -0.0, 0.5, 1.5, 2.5, math.inf, math.nan, float(EXACT_PIPS), EXACT_PIPS + 1.0]),
)


@given(st.lists(numbers, max_size=30), decimals)
def test_pips_are_those_of_the_plain_way(values: list[float], places: int) -> None:
    """The same pips and the same off-grid values, or the same value refused."""
    floats = np.array(values, np.float64)
    pips = np.full(len(floats), -1, np.int64)
    with np.errstate(over="ignore"):
        beyond, off, first_off = raw_columns.to_pips(floats, 10.0**places, float(EXACT_PIPS), pips)
        if beyond < len(floats):
            with pytest.raises(FixedPointRangeError) as caught:
                float_to_pips(floats, places)
            assert caught.value.found == repr(float(floats[beyond]))
        wanted, wrong = float_to_pips(floats[:beyond], places)
    assert pips[:beyond].tolist() == wanted.tolist()
    assert off == wrong.sum()
    assert first_off == (wrong.argmax() if wrong.any() else len(floats))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, EXACT_PIPS + 1.0])
def test_it_stops_at_what_does_not_fit(bad: float) -> None:
    """And says where."""
    pips = np.empty(3, np.int64)
    assert raw_columns.to_pips(np.array([1.0, bad, 2.0]), 1.0, float(EXACT_PIPS), pips) == (1, 0, 3)


@given(st.lists(st.one_of(numbers, st.just(math.nan)), max_size=30), decimals)
def test_levels_are_missing_wrong_or_exact(values: list[float], places: int) -> None:
    """NaN is no level; zero, less, too much and what is off the grid are wrong."""
    floats = np.array(values, np.float64)
    pips, wrong = np.empty(len(floats), np.int64), np.empty(len(floats), np.bool_)
    with np.errstate(over="ignore"):
        raw_columns.levels_to_pips(floats, 10.0**places, float(EXACT_PIPS), pips, wrong)
        for value, found, is_wrong in zip(floats, pips, wrong, strict=True):
            wanted, off = MISSING_PIPS, not math.isnan(value)
            # Beyond the limit by less than half a pip is beyond it: nothing is rounded down to it.
            if value > 0 and value * 10.0**places <= EXACT_PIPS:
                ((wanted,), (off,)) = float_to_pips(np.array([value]), places)
            assert (found, is_wrong) == (wanted, off)


Row = tuple[int, bool, int, int, int, int]
rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.booleans(),
        st.integers(1, 4),
        st.integers(0, 2),
        st.integers(0, 1),
        st.integers(-1, 5),
    ),
    max_size=60,
)
"""Sequence number, side, tick, size, arrival, origin time."""


def audited(made: list[Row], cuts: list[int], slots: int = 1024) -> tuple[np.ndarray, int]:
    """Counts of rows that come in batches of whole messages, and how often the table was too small."""
    sequence, is_bid, tick, size, received, origin = (
        np.array([row[at] for row in made], np.bool_ if at == 1 else np.int64) for at in range(6)
    )
    price = tick * 10**7
    counts, grown = np.zeros(raw_columns.AUDIT_COUNTS, np.int64), 0
    starts = np.searchsorted(sequence, cuts).tolist()
    for start, stop in pairwise([0, *sorted(starts), len(made)]):
        columns = [each[start:stop] for each in (origin, received, sequence, is_bid, price, price, size)]
        row, table = 0, (np.zeros(slots, np.int64), np.full(slots, -1, np.int64))
        while row < stop - start:
            row = raw_columns.audit_messages(*columns, row, *table, counts)
            if row < stop - start:
                grown += 1
                table = np.zeros(1024, np.int64), np.full(1024, -1, np.int64)
    return counts, grown


@given(rows, st.lists(st.integers(0, 4), max_size=3))
def test_everything_that_is_counted(made: list[Row], cuts: list[int]) -> None:
    """A row like an earlier one of its message is a duplicate, the same level set otherwise is repeated."""
    made = sorted(made, key=lambda row: row[0])
    counts, _ = audited(made, cuts)
    last: dict[tuple[int, bool, int], tuple[int, int, int]] = {}
    duplicates = repeated = 0
    for number, bid, tick, *said in made:
        before = last.get((number, bid, tick))
        duplicates += before == tuple(said)
        repeated += before not in (None, tuple(said))
        last[number, bid, tick] = (said[0], said[1], said[2])
    assert counts[raw_columns.DUPLICATES] == duplicates
    assert counts[raw_columns.REPEATED_LEVELS] == repeated
    assert counts[raw_columns.DELETIONS] == sum(row[3] == 0 for row in made)
    messages = [[row for row in made if row[0] == number] for number in sorted({row[0] for row in made})]
    assert counts[raw_columns.MESSAGES] == len(messages)
    assert counts[raw_columns.LONGEST] == max((len(message) for message in messages), default=0)
    assert counts[raw_columns.ORIGIN_BACK] == sum(
        after[0][5] < before[0][5] for before, after in pairwise(messages)
    )
    known = [row[5] for row in made if row[5] > 0]
    extremes = {
        raw_columns.FIRST_ORIGIN: min(known, default=0),
        raw_columns.LAST_ORIGIN: max(known, default=0),
        raw_columns.FIRST_RECEIVED: min((row[4] for row in made), default=0),
        raw_columns.LAST_RECEIVED: max((row[4] for row in made), default=0),
        raw_columns.SMALLEST_PRICE: min((row[2] * 10**7 for row in made), default=0),
        raw_columns.LARGEST_PRICE: max((row[2] * 10**7 for row in made), default=0),
        raw_columns.LARGEST_SIZE: max((row[3] for row in made), default=0),
    }
    assert {which: counts[which] for which in extremes} == extremes


def test_a_table_that_is_too_small_is_asked_for() -> None:
    """A long message out of order needs one; one in order of price does not."""
    long: list[Row] = [(1, True, tick, 1, 1, 1) for tick in (*range(1, 40), 7)]
    counts, grown = audited(long, [], slots=64)
    assert (
        grown,
        counts[raw_columns.REPEATED_LEVELS] + counts[raw_columns.DUPLICATES],
        counts[raw_columns.MESSAGES],
    ) == (
        1,
        1,
        1,
    )
    assert audited(long[:-1], [], slots=64)[1] == 0


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
