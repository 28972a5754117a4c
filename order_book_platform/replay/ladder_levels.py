"""Levels between a book and the arrays of its ladder: prices become ticks, live levels are read, space is made.

A ladder holds each side by ascending key, best level first: the key is the price in steps for asks and its negative for
bids. A checkpoint has the loop's memory and the live levels, and not the ladder's own arrays, which are mostly empty.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from order_book_platform.errors import BatchError
from order_book_platform.kernels.book.ladder import fill_side, has_room, read_levels
from order_book_platform.kernels.book.ladder_arrays import LARGEST_TICK, NO_TICK, Ladder, LiveLevels
from order_book_platform.kernels.book.replay_arrays import STATE_NEXT_SNAPSHOT, Memory
from order_book_platform.model.arrays import MISSING_PIPS, Int64Array


def require(holds: bool, expected: str, found: str, where: str) -> None:
    """Raise a BatchError that names the call unless a condition holds."""
    if not holds:
        raise BatchError(
            expected=expected,
            found=found,
            where=where,
            remedy="Correct the call; its docstring says what it takes.",
        )


def snapshot_ticks(encoded_price: Int64Array, price_step: int) -> Int64Array:
    """Return the prices int64[m, 2, K] of snapshots in steps, `NO_TICK` where there is no level.

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


_SIDES = ("bid", "ask")


def save(ladder: Ladder, memory: Memory, outcomes: Int64Array) -> dict[str, Int64Array]:
    """Return copies of all arrays that a book needs to go on; `outcomes` int64[m, 4] are those of its snapshots."""
    saved = {name: array.copy() for name, array in _of_fixed_shape(ladder, memory).items()}
    saved["state"][STATE_NEXT_SNAPSHOT] = 0  # a position among the scheduled snapshots, which are not saved
    saved["outcome"] = outcomes
    for s, side in enumerate(_SIDES):
        saved |= {f"{side}_{name}": values for name, values in live_levels(ladder, s)._asdict().items()}
    return saved


def load(saved: Mapping[str, Int64Array], ladder: Ladder, memory: Memory) -> Ladder:
    """Put the int64 arrays of `save` into a new book's ladder and memory; return the ladder, which may have grown.

    Raises:
        BatchError: An array is missing, or has another shape; nothing has changed.
    """
    nothing = np.empty(0, np.int64)
    sides = [
        LiveLevels(*(saved.get(f"{side}_{name}", nothing) for name in LiveLevels._fields)) for side in _SIDES
    ]
    fixed = _of_fixed_shape(ladder, memory)
    wanted = {name: array.shape for name, array in fixed.items()}
    found = {name: saved[name].shape for name in wanted if name in saved}
    require(found == wanted, f"arrays of shapes {wanted}", str(found), "Book.resume")
    outcome = saved.get("outcome", nothing)
    require(outcome.shape[1:] == (4,), "outcomes of shape (m, 4)", str(outcome.shape), "Book.resume")
    for levels in sides:
        lengths = {len(array) for array in levels}
        require(len(lengths) == 1, "levels with keys, sizes and ages", str(lengths), "Book.resume")
    grown = with_room(ladder, max(len(levels.keys) for levels in sides))
    for s, levels in enumerate(sides):
        fill_side(grown, s, *levels)
    for name, array in fixed.items():
        array[...] = saved[name]
    return grown


def _of_fixed_shape(ladder: Ladder, memory: Memory) -> dict[str, Int64Array]:
    """Return the arrays whose shapes depend on the depth alone."""
    arrays = {name: getattr(memory, name) for name in ("state", "counts", "visible_row", "visible_keys")}
    return arrays | {"changed_from": ladder.changed_from, "known_until": ladder.known_until}
