"""Prices become ticks exactly or are refused, and a ladder gets the room that is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.errors import BatchError
from order_book_platform.kernels.book.ladder import has_room, set_level
from order_book_platform.kernels.book.ladder_arrays import NO_TICK, Ladder
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.replay.ladder_levels import live_levels, snapshot_ticks, with_room


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
