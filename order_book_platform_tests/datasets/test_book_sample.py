"""A day of books, thinned out to a sample."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.book_sample import sample_books, time_steps
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform_tests.plots.frames import START_NS, book_frame


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30).map(sorted), st.integers(1, 12), st.data())
def test_each_step_shows_the_last_row_up_to_its_end(
    times: list[int], columns: int, data: st.DataObject
) -> None:
    """Steps without rows hold the book before; flags of all rows of a step are kept."""
    flags = data.draw(st.lists(st.sampled_from([1, 3, 65]), min_size=len(times), max_size=len(times)))
    frame = book_frame(len(times), depth=2).with_columns(
        origin_time=pl.Series(times, dtype=pl.Int64), flags=pl.Series(flags, dtype=pl.UInt8)
    )
    sample = sample_books(frame, columns)
    first, last = times[0], times[-1]
    for step in range(columns):
        here = [
            row for row, time in enumerate(times) if (time - first) * columns // (last - first + 1) == step
        ]
        upto = [
            row for row, time in enumerate(times) if (time - first) * columns // (last - first + 1) <= step
        ]
        row = upto[-1]
        assert sample.price_pips[step, 1, 0] == frame["ask_0_price_pips"][row]
        assert sample.size_pips[step, 0, 1] == frame["bid_1_size_pips"][row]
        assert sample.flags[step] == np.bitwise_or.reduce([flags[at] for at in here or [row]])


def test_a_lazy_frame_gives_the_same_sample() -> None:
    """A file that is scanned is thinned out like a frame in memory."""
    frame = book_frame()
    ours, theirs = sample_books(frame), sample_books(frame.lazy())
    assert np.array_equal(ours.price_pips, theirs.price_pips)
    assert np.array_equal(ours.flags, theirs.flags)


def test_missing_levels_stay_missing() -> None:
    """Null becomes `MISSING_PIPS` without size."""
    sample = sample_books(book_frame(20).with_columns(ask_4_price_pips=None, ask_4_size_pips=None), 10)
    assert (sample.price_pips[:, 1, 4] == MISSING_PIPS).all()
    assert (sample.size_pips[:, 1, 4] == 0).all()


def test_time_that_runs_back_is_held() -> None:
    """A row with an earlier time is drawn at the time of the row before it."""
    frame = book_frame(3).with_columns(origin_time=pl.Series([START_NS, START_NS + 50, START_NS + 20]))
    sample = sample_books(frame, 10)
    assert sample.last_ns == START_NS + 50
    assert sample.price_pips[-1, 0, 0] == frame["bid_0_price_pips"][2]


def test_chosen_rows_are_enough_for_a_sample() -> None:
    """The steps taken from times and flags, and the books of their rows alone, give what the whole frame gives."""
    frame = book_frame(1_000)
    steps = time_steps(frame["origin_time"].to_numpy(), frame["flags"].to_numpy(), 70)
    ours, theirs = steps.sample(frame[steps.rows.tolist()]), sample_books(frame, 70)
    assert len(steps.rows) == 70
    for name in ("first_ns", "last_ns", "price_pips", "size_pips", "flags"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
