"""Origin times that cannot be are those of the row before."""

from __future__ import annotations

import numpy as np

from order_book_platform.fidelity.rows import BookHeads
from order_book_platform.fidelity.times import held_times, hold_times

PLAUSIBLE = (100, 200)


def test_a_time_that_cannot_be_is_that_of_the_row_before() -> None:
    """Whether it lies before or after what can be; the first rows have the time that is given."""
    times = np.array([0, 100, 99, 150, 201, 10**18, 120, -1])
    assert held_times(times, PLAUSIBLE, 7).tolist() == [7, 100, 100, 150, 150, 150, 120, 120]


def test_sound_times_are_not_touched() -> None:
    """Both ends belong to what can be, and nothing is copied."""
    times = np.array([100, 200, 150])
    assert held_times(times, PLAUSIBLE, 7) is times
    assert len(held_times(times[:0], PLAUSIBLE, 7)) == 0


def test_streams_are_held_across_their_parts() -> None:
    """However a stream is cut, its times are those of the whole; the other columns stay."""
    times = np.array([0, 130, 0, 0, 500, 140, 0])
    rows = BookHeads(np.arange(7), times, np.zeros(7, np.uint8), np.zeros((7, 2), np.int64))
    wanted = held_times(times, PLAUSIBLE, 110)
    for cut in range(8):
        parts = iter([rows.take(slice(0, cut)), rows.take(slice(cut, 7))])
        found = BookHeads.concat(list(hold_times(parts, PLAUSIBLE, 110)))
        assert found.time_ns.tolist() == wanted.tolist()
        assert found.sequence_number.tolist() == list(range(7))
