"""The split of snapshots into those that shape a book and those that stay evidence."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.ingest.raw_columns import SnapshotDefect
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.replay.flag_timeline import RecoveryPoints
from order_book_platform.replay.snapshot_scheduler import (
    AllButEveryNth,
    DueSnapshots,
    EveryNthSnapshot,
    SnapshotScheduler,
    defect_counts,
    snapshot_defects,
)
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch, snapshot_batch

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


@st.composite
def days(draw: st.DrawFn) -> SnapshotBatch:
    """Snapshots of one or two levels a side; some of them crossed, some share a sequence number."""
    count = draw(st.integers(0, 25))
    steps = draw(st.lists(st.sampled_from([0, 1, 1, 4]), min_size=count, max_size=count))
    shapes = draw(
        st.lists(st.sampled_from(["sound", "sound", "deep", "crossed"]), min_size=count, max_size=count)
    )
    asks = {
        "sound": [(CENTRE + 1, 2)],
        "deep": [(CENTRE + 1, 2), (CENTRE + 2, 9)],
        "crossed": [(CENTRE - 1, 2)],
    }
    numbers = np.cumsum([5, *steps])[1:].tolist()
    if not count:
        return SnapshotBatch.nothing()
    return snapshot_batch(
        [(number, ([(CENTRE, 1)], asks[shape])) for number, shape in zip(numbers, shapes, strict=True)]
    )


def cut(day: SnapshotBatch, cuts: list[int]) -> Iterator[SnapshotBatch]:
    """The day in pieces, empty ones among them; each as deep as it has to be."""
    bounds = [0, *sorted(min(at, len(day)) for at in cuts), len(day)]
    for start, stop in pairwise(bounds):
        yield day.take(slice(start, stop))


def heads(due: list[DueSnapshots]) -> tuple[list[int], list[bool], list[int]]:
    """Sequence numbers that are used, which of them are forced, and those rejected."""
    return (
        [n for each in due for n in each.used.sequence_number.tolist()],
        [f for each in due for f in each.forced.tolist()],
        [n for each in due for n in each.rejected.sequence_number.tolist()],
    )


choices = st.sampled_from(
    [
        (EveryNthSnapshot, 0),
        (EveryNthSnapshot, 1),
        (EveryNthSnapshot, 3),
        (AllButEveryNth, 0),
        (AllButEveryNth, 2),
    ]
)


@given(
    days(),
    choices,
    st.lists(st.integers(0, 25), max_size=4),
    st.lists(st.integers(0, 60), max_size=5, unique=True),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(0, 60),
)
def test_pieces_and_restarts_change_nothing(
    day: SnapshotBatch,
    choice: tuple[type[EveryNthSnapshot | AllButEveryNth], int],
    cuts: list[int],
    asked: list[int],
    recover: list[int],
    restart: int,
) -> None:
    """Handed out up to any numbers, from any pieces, and gone on with from a position: as all at once."""
    kind, every = choice
    recover_from = np.array(sorted(recover), np.int64)
    wanted = heads(list(SnapshotScheduler(iter([day]), kind(every), recover_from, STEP).remaining(100)))

    scheduler = SnapshotScheduler(cut(day, cuts), kind(every), recover_from, STEP)
    found = []
    for number in sorted(asked):
        found.append(scheduler.due_by(delta_batch([[(True, CENTRE, 1)]], [number])))
        assert (found[-1].used.sequence_number <= number).all()
        if number >= restart:
            rest = day.take(slice(scheduler.position.snapshots, None))
            scheduler = SnapshotScheduler(
                cut(rest, cuts), kind(every), recover_from, STEP, scheduler.position
            )
    found += list(scheduler.remaining(4))
    assert heads(found) == wanted
    assert scheduler.position.snapshots == len(day)
    defects = snapshot_defects(day, STEP) if len(day) else np.empty(0, np.uint8)
    rows = kind(every).rows(defects)
    assert set(wanted[0]) == set(day.sequence_number[rows[defects[rows] == 0]].tolist())


@given(
    st.lists(st.integers(0, 30), max_size=6), st.lists(st.integers(0, 30), max_size=12), st.integers(0, 12)
)
def test_recoveries_in_pieces(recover: list[int], numbers: list[int], at: int) -> None:
    """A recovery point waits for the snapshot that meets it, also across pieces and restarts."""
    recover_from, sequence = np.array(sorted(recover), np.int64), np.array(sorted(numbers), np.int64)
    wanted = RecoveryPoints(recover_from).forced(sequence)
    first, second = sequence[:at], sequence[at:]
    whole = RecoveryPoints(recover_from)
    assert np.concatenate([whole.forced(first), whole.forced(second)]).tolist() == wanted.tolist()
    if len(first):
        again = RecoveryPoints(recover_from, after=int(first[-1]))
        assert again.forced(second).tolist() == wanted[at:].tolist()


@given(
    st.lists(st.integers(0, 30), max_size=6), st.lists(st.integers(0, 30), max_size=12), st.integers(1, 30)
)
def test_recoveries_told_as_they_are_found(recover: list[int], numbers: list[int], step: int) -> None:
    """Told in time for the snapshots behind them, recovery points do what they do when all are known at once."""
    recover_from, sequence = np.array(sorted(recover), np.int64), np.array(sorted(numbers), np.int64)
    wanted = RecoveryPoints(recover_from).forced(sequence)
    told, found = RecoveryPoints(np.empty(0, np.int64)), []
    for start in range(0, 31, step):
        told.add(recover_from[(recover_from >= start) & (recover_from < start + step)])
        found.append(told.forced(sequence[(sequence >= start) & (sequence < start + step)]))
    assert np.concatenate(found).tolist() == wanted.tolist()
