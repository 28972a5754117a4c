"""Snapshots and flag changes wait in order, and what the loop has passed is let go of."""

from __future__ import annotations

import numpy as np

from order_book_platform.kernels.book.replay_arrays import STATE_NEXT_EDGE, STATE_NEXT_SNAPSHOT, STATES
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.scheduled_inputs import GrowableArray, ScheduledInputs
from order_book_platform_tests.streams import CENTRE, STEP, snapshot_batch


def test_snapshots_that_are_passed_leave_their_outcomes() -> None:
    """Adding more drops the arrays of those applied; their outcomes stay until they are taken."""
    state = np.zeros(STATES, np.int64)
    inputs = ScheduledInputs(STEP, state)
    side, deep = [(CENTRE, 1)], [(CENTRE, 1), (CENTRE - 1, 2)]
    inputs.add_snapshots(snapshot_batch([(10, (side, side)), (20, (side, side))]), np.array([False, True]))
    inputs.arrays.outcome[0] = [1, 2, 3, 4]
    state[STATE_NEXT_SNAPSHOT] = 1  # as the loop leaves it
    inputs.add_snapshots(snapshot_batch([(30, (deep, side))]), np.zeros(1, np.bool_))
    assert state[STATE_NEXT_SNAPSHOT] == 0
    assert inputs.arrays.sequence.tolist() == [20, 30]
    assert inputs.arrays.forced.tolist() == [True, False]
    assert inputs.arrays.ticks.shape == (2, 2, 2)
    assert inputs.outcomes.tolist() == [[1, 2, 3, 4]]
    assert inputs.take_outcomes().tolist() == [[1, 2, 3, 4]]
    assert len(inputs.outcomes) == 0
    assert inputs.arrays.sequence.tolist() == [20, 30]


def test_flag_changes_that_are_passed_are_dropped() -> None:
    """The loop's position is set back with them."""
    state = np.zeros(STATES, np.int64)
    inputs = ScheduledInputs(STEP, state)
    inputs.add_flag_changes(FlagChanges(np.array([10, 20]), np.array([2, 0])))
    state[STATE_NEXT_EDGE] = 1
    inputs.add_flag_changes(FlagChanges(np.array([30]), np.array([66])))
    assert state[STATE_NEXT_EDGE] == 0
    assert inputs.arrays.edge_sequence.tolist() == [20, 30]
    assert inputs.arrays.edge_flag_bits.tolist() == [0, 66]


def test_the_callers_arrays_are_not_kept() -> None:
    """A change afterwards reaches no book."""
    snapshots = snapshot_batch([(10, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    inputs = ScheduledInputs(STEP, np.zeros(STATES, np.int64))
    inputs.add_snapshots(snapshots, np.zeros(1, np.bool_))
    snapshots.sequence_number[0] = 99
    snapshots.encoded_size[:] = 77
    assert inputs.arrays.sequence.tolist() == [10]
    assert inputs.arrays.sizes.max() == 1


def test_views_stay_as_they_were_whatever_is_added() -> None:
    """Across many reallocations, each view has the rows of its moment."""
    growing = GrowableArray(2, np.array([[0, 0]]))
    views = []
    for number in range(1, 5_000):
        views.append(growing.rows)
        growing.add(np.full((number % 3, 2), number))
    wanted = np.concatenate([np.zeros((1, 2), np.int64), *(np.full((n % 3, 2), n) for n in range(1, 5_000))])
    assert len(growing) == len(wanted)
    np.testing.assert_array_equal(growing.rows, wanted)
    for view in views:
        np.testing.assert_array_equal(view, wanted[: len(view)])
