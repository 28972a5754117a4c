"""Levels between a book and the arrays of its ladder: prices become ticks, live levels are read, space is made.

A ladder holds each side by ascending key, best level first: the key is the price in steps for asks and its negative for
bids.
"""

from __future__ import annotations

import numpy as np

from order_book_platform.errors import BatchError
from order_book_platform.kernels.book.ladder import has_room, read_levels
from order_book_platform.kernels.book.ladder_arrays import LARGEST_TICK, NO_TICK, Ladder, LiveLevels
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.levels import MISSING_PIPS


def snapshot_ticks(encoded_price: Int64Array, price_step: int) -> Int64Array:
    """Return the prices of snapshots in steps, `NO_TICK` where there is no level.

    Args:
        encoded_price: int64[m, 2, K] of a `SnapshotBatch`.
        price_step: Divides every price.

    Raises:
        BatchError: A price is not a positive multiple of the step, or not below 2^61.
    """
    ticks = encoded_price // price_step
    missing = encoded_price == MISSING_PIPS
    wrong = (ticks * price_step != encoded_price) | (ticks < 1) | (ticks > LARGEST_TICK // price_step)
    refused = encoded_price[wrong & ~missing]
    if len(refused):
        raise BatchError(
            expected=f"positive snapshot prices below 2^61 in multiples of {price_step}",
            found=f"encoded price {refused[0]}",
            where="snapshots of a replay",
            remedy="Leave out snapshots that fail their quality gate.",
        )
    ticks[missing] = NO_TICK
    return np.ascontiguousarray(ticks)


def live_levels(ladder: Ladder, side: int) -> LiveLevels:
    """Return all live levels of side 0 (bids) or 1 (asks), best first."""
    levels = np.empty((3, ladder.occupied(side)), np.int64)
    read_levels(ladder, side, levels)
    return LiveLevels(*levels)


def with_room(ladder: Ladder, levels: int) -> Ladder:
    """Return a ladder of the same levels in which so many more can be set on either side, wherever they lie."""
    blocks = ladder.overflow_fill.shape[1]
    while not has_room(ladder, levels):
        blocks *= 2
        ladder = ladder.with_blocks(blocks)
    return ladder
