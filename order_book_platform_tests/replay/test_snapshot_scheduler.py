"""Snapshots that come in batches are scheduled like the whole day, however it is cut and wherever it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.replay.flag_timeline import RecoveryPoints
from order_book_platform.replay.snapshot_scheduler import DueSnapshots, SnapshotScheduler
from order_book_platform.replay.snapshot_selection import AllButEveryNth, EveryNthSnapshot, snapshot_defects
from order_book_platform_tests.streams import CENTRE, STEP, snapshot_batch


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
        found.append(scheduler.due_by(number))
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
