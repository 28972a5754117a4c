"""Finding the depth snapshots that are unfit in themselves, by the rules of `model.snapshot_defect`, in one pass."""

from __future__ import annotations

import math

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.model.snapshot_defect import SnapshotDefect

_LEVELS = types.Array(types.int64, 3, "C", readonly=True)
_MISSING = MISSING_PIPS
_NONE, _EMPTY_SIDE, _UNSORTED, _CROSSED, _OFF_TICK, _BAD_SIZE = (int(defect) for defect in SnapshotDefect)


@kernel(types.boolean(_LEVELS, types.int64, types.int64))
def is_off_tick(price, row, tick):  # type: ignore[no-untyped-def]
    """Tell whether any price of the snapshot in `row` is not a whole number of ticks, by the remainder.

    The arrays are those of `find_defects`.
    """
    for s in range(2):
        for k in range(price.shape[2]):
            if price[row, s, k] != _MISSING and price[row, s, k] % tick != 0:
                return True
    return False


@kernel(types.void(_LEVELS, _LEVELS, types.int64, types.uint8[::1]))
def find_defects(price, size, tick, defects):  # type: ignore[no-untyped-def]
    """Write the defect of each snapshot: of those that apply, the first in the order of `SnapshotDefect`.

    Args:
        price: int64[n, 2, K] pips; `MISSING_PIPS` where there is no level.
        size: int64[n, 2, K] pips.
        tick: pips, above 0.
        defects: uint8[n], the caller's; written: `SnapshotDefect`.
    """
    inverse = 1.0 / tick
    for r in range(price.shape[0]):
        unsorted = off_tick = bad_size = 0
        for s in range(2):
            sign = -1 if s == 0 else 1
            for k in range(price.shape[2]):
                level_price = price[r, s, k]
                present = level_price != _MISSING
                bad_size |= int(present and size[r, s, k] <= 0)
                # A remainder would take three times as long. Where floats are coarse, the product may call a price off
                # the tick that is on it, and never the reverse; so the remainder is asked only of those.
                off_tick |= int(present and level_price != math.floor(level_price * inverse + 0.5) * tick)
                if k > 0:
                    unsorted |= int(present and (level_price - price[r, s, k - 1]) * sign <= 0)
        # The defects are collected without branches first, since nearly every snapshot has none.
        if off_tick:
            off_tick = is_off_tick(price, r, tick)
        if price.shape[2] == 0 or price[r, 0, 0] == _MISSING or price[r, 1, 0] == _MISSING:
            defects[r] = _EMPTY_SIDE
        elif unsorted:
            defects[r] = _UNSORTED
        elif price[r, 0, 0] >= price[r, 1, 0]:
            defects[r] = _CROSSED
        elif off_tick:
            defects[r] = _OFF_TICK
        elif bad_size:
            defects[r] = _BAD_SIZE
        else:
            defects[r] = _NONE
