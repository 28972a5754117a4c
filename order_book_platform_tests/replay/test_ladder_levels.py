"""Prices become ticks exactly or are refused, and a ladder gets the room that is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import BatchError
from order_book_platform.kernels.book.ladder import has_room, set_level
from order_book_platform.kernels.book.ladder_arrays import NO_TICK, Ladder
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.replay.book import Book
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.ladder_levels import live_levels, snapshot_ticks, with_room
from order_book_platform_tests.streams import CENTRE, STEP, Stream, cut, delta_batch, streams


def test_prices_become_ticks() -> None:
    """A multiple of the step is counted in steps; a missing level stays one."""
    prices = np.array([[[20, 10], [25, MISSING_PIPS]]])
    assert snapshot_ticks(prices, 5).tolist() == [[[4, 2], [5, NO_TICK]]]


@pytest.mark.parametrize("price", [0, -5, 7, 2**61 + 4])
def test_other_prices_are_refused(price: int) -> None:
    """The first of them is named."""
    with pytest.raises(BatchError, match=f"multiples of 5, found encoded price {price}"):
        snapshot_ticks(np.array([[[20], [price]]]), 5)


def test_room_is_made_without_moving_a_level() -> None:
    """Levels near and far are those of before, and so many more fit."""
    ladder = Ladder.empty(4096, 140)
    for key, size in ((50_000, 3), (50_001, 4), (900_000, 5)):
        set_level(ladder, 1, key, size, 7)
    assert not has_room(ladder, 10_000)
    grown = with_room(ladder, 10_000)
    assert has_room(grown, 10_000)
    for each in (ladder, grown):
        keys, sizes, seen = live_levels(each, 1)
        assert keys.tolist() == [50_000, 50_001, 900_000]
        assert (sizes.tolist(), seen.tolist()) == ([3, 4, 5], [7, 7, 7])
    assert len(live_levels(grown, 0).keys) == 0
    assert with_room(grown, 10) is grown


WINDOW = 4096


def fresh(stream: Stream) -> Book:
    """A book with the flag changes of a stream, and no snapshot yet."""
    book = Book(stream.step, depth=2, crossed_after_ns=1_000, window_slots=WINDOW)
    edges = np.array(stream.edges, np.int64).reshape(-1, 2)
    book.add_flag_changes(FlagChanges(edges[:, 0].copy(), edges[:, 1].copy()))
    return book


@given(streams(), st.integers(1, 4), st.integers(1, 30))
def test_a_resumed_book_goes_on(stream: Stream, every: int, after: int) -> None:
    """Rows, counts, outcomes and levels are those of a book that was left alone."""
    whole, book, shots = fresh(stream), fresh(stream), stream.snapshots
    done = 0
    for number, batch in enumerate(cut(stream.deltas, every), 1):
        stop = max(done, int(np.searchsorted(shots.sequence_number, batch.sequence_number[-1], "right")))
        due = shots.take(slice(done, stop))
        done = stop
        rows = []
        for each in (whole, book):
            each.add_snapshots(due, np.zeros(len(due), np.bool_))
            rows.append([piece.tolist() for piece in each.feed(batch)])
        assert rows[0] == rows[1]
        if number == after:
            saved, book = book.saved(), fresh(stream)
            book.resume(saved)
    assert book.counts == whole.counts
    np.testing.assert_array_equal(book.outcomes, whole.outcomes)
    for side in (0, 1):
        np.testing.assert_array_equal(book.levels(side).encoded_price, whole.levels(side).encoded_price)
        np.testing.assert_array_equal(book.levels(side).known, whole.levels(side).known)
    assert book.bounds == whole.bounds


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"state": np.zeros(3, np.int64)}, r"Book.resume: expected arrays of shapes"),
        ({"counts": None}, r"Book.resume: expected arrays of shapes"),
        ({"outcome": None}, r"Book.resume: expected outcomes of shape"),
        ({"outcome": np.zeros((2, 3), np.int64)}, r"Book.resume: expected outcomes of shape"),
        ({"bid_sizes": np.zeros(9, np.int64)}, "levels with keys, sizes and ages"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changed: dict[str, Any], said: str) -> None:
    """Nothing has changed then: the book can be resumed from the right ones."""
    book, other = Book(STEP, depth=1), Book(STEP, depth=1)
    list(book.feed(delta_batch([[(True, CENTRE, 1)], [(True, CENTRE - 1, 1)]], [10, 20])))
    saved = book.saved()
    wrong = {name: array for name, array in {**saved, **changed}.items() if array is not None}
    with pytest.raises(BatchError, match=said):
        other.resume(wrong)
    assert other.messages == 0
    other.resume(saved)
    assert other.levels(0).encoded_price.tolist() == [CENTRE * STEP, (CENTRE - 1) * STEP]


def test_what_was_saved_does_not_change() -> None:
    """The arrays are the checkpoint's own while the book goes on."""
    book = Book(STEP, depth=1)
    list(book.feed(delta_batch([[(True, CENTRE, 1)]], [10])))
    saved = book.saved()
    kept = {name: array.copy() for name, array in saved.items()}
    list(book.feed(delta_batch([[(True, CENTRE + 1, 1)]], [20])))
    for name, array in saved.items():
        np.testing.assert_array_equal(array, kept[name])
