"""The full state of a book as arrays by name, for checkpoints: the loop's memory, and the live levels of both sides.

The ladder's own arrays are not saved: they are mostly empty, and the levels are put into a fresh ladder on loading.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from order_book_platform.kernels.book.ladder_arrays import Ladder, LiveLevels
from order_book_platform.kernels.book.replay_arrays import STATE_NEXT_SNAPSHOT, Memory
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.ladder_levels import live_levels, with_room
from order_book_platform.replay.scheduled_inputs import require

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
    """Put saved arrays into a new book's ladder and memory.

    Returns:
        The ladder to go on with, which may have more room.

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
    for levels in sides:
        lengths = {len(array) for array in levels}
        require(len(lengths) == 1, "levels with keys, sizes and ages", str(lengths), "Book.resume")
    grown = with_room(ladder, max(len(levels.keys) for levels in sides))
    for s, levels in enumerate(sides):
        grown.fill(s, levels)
    for name, array in fixed.items():
        array[...] = saved[name]
    return grown


def _of_fixed_shape(ladder: Ladder, memory: Memory) -> dict[str, Int64Array]:
    """Return the arrays whose shapes depend on the depth alone."""
    arrays = {name: getattr(memory, name) for name in ("state", "counts", "visible_row", "visible_keys")}
    return arrays | {"changed_from": ladder.changed_from, "known_until": ladder.known_until}
