"""Which snapshots are unfit in themselves: the rules of `model.snapshots.snapshot_defects` in one pass."""

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
    """Whether any price of a snapshot is no whole number of ticks."""
    for s in range(2):
        for k in range(price.shape[2]):
            if price[row, s, k] != _MISSING and price[row, s, k] % tick != 0:
                return True
    return False


@kernel(types.void(_LEVELS, _LEVELS, types.int64, types.uint8[::1]))
def find_defects(price, size, tick, defects):  # type: ignore[no-untyped-def]
    """Charge each snapshot with the first defect that applies.

    Args:
        price: int64[n, 2, K] pips, K > 0; `MISSING_PIPS` where there is no level.
        size: int64[n, 2, K] pips.
        tick: pips, above 0.
        defects: uint8[n], written: `SnapshotDefect`.
    """
    each = 1.0 / tick
    for r in range(price.shape[0]):
        unsorted = off_tick = bad_size = 0
        for s in range(2):
            sign = -1 if s == 0 else 1
            for k in range(price.shape[2]):
                here = price[r, s, k]
                there = here != _MISSING
                bad_size |= int(there and size[r, s, k] <= 0)
                # A remainder takes three times as long. Where floats are coarse this may call a price off the tick
                # that is on it, never the reverse; a remainder has the last word.
                off_tick |= int(there and here != math.floor(here * each + 0.5) * tick)
                if k > 0:
                    unsorted |= int(there and (here - price[r, s, k - 1]) * sign <= 0)
        if off_tick:
            off_tick = is_off_tick(price, r, tick)
        if price[r, 0, 0] == _MISSING or price[r, 1, 0] == _MISSING:
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
