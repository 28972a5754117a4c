"""Comparing a book with a depth snapshot, and taking a snapshot's levels over.

A snapshot's levels come as ticks, best first, int64[2, K]; `NO_TICK` where there is no level. What a side's snapshot
says reaches from the best price to its last level; of anything beyond it says nothing.
"""

from __future__ import annotations

from numba import njit, types

from order_book_platform.kernels.ladder import (
    BOUND,
    CHANGED,
    NO_KEY,
    NO_ROOM,
    next_key,
    set_level,
    size_at,
)

NO_TICK = -1

_LEVELS = types.Array(types.int64, 2, "C", readonly=True)
_I8_2 = types.int64[:, ::1]
_U8_2 = types.uint64[:, ::1]
_LADDER = (_I8_2, _U8_2, _U8_2, _I8_2, _I8_2, _I8_2)


@njit(types.int64(_LEVELS, types.int64), cache=True, nogil=True)
def count_levels(ticks, s):  # type: ignore[no-untyped-def]
    """How many levels the snapshot has on side s."""
    n = 0
    while n < ticks.shape[1] and ticks[s, n] != NO_TICK:
        n += 1
    return n


@njit(types.void(*_LADDER, _LEVELS, _LEVELS, types.int64[::1]), cache=True, nogil=True)
def compare_snapshot(sizes, words, summary, far_keys, far_sizes, side, ticks, level_sizes, out):  # type: ignore[no-untyped-def]
    """Count the levels that book and snapshot both claim to know, and those on which they differ.

    Args:
        sizes … side: the ladder.
        ticks: int64[2, K], best first.
        level_sizes: int64[2, K], pips.
        out: int64[2], written: levels compared (the union of both), levels wrong (missing, ghost or of another size).
    """
    out[0] = 0
    out[1] = 0
    for s in range(2):
        sign = -1 if s == 0 else 1
        n = count_levels(ticks, s)
        if n == 0:
            continue
        bound = min(side[s, BOUND], ticks[s, n - 1] * sign)
        key = next_key(words, summary, far_keys, side, s, -NO_KEY)
        i = 0
        while True:
            wanted = ticks[s, i] * sign if i < n else NO_KEY
            if min(key, wanted) > bound or min(key, wanted) == NO_KEY:
                break
            out[0] += 1
            if key == wanted:
                if size_at(sizes, far_keys, far_sizes, side, s, key) != level_sizes[s, i]:
                    out[1] += 1
                key = next_key(words, summary, far_keys, side, s, key)
                i += 1
            elif key < wanted:
                out[1] += 1
                key = next_key(words, summary, far_keys, side, s, key)
            else:
                out[1] += 1
                i += 1


@njit(types.int64(*_LADDER, _LEVELS, _LEVELS, types.boolean), cache=True, nogil=True)
def take_snapshot(sizes, words, summary, far_keys, far_sizes, side, ticks, level_sizes, forget):  # type: ignore[no-untyped-def]
    """Make the book equal to the snapshot within the snapshot's range.

    Args:
        sizes … side: the ladder; the far arrays have room for 2·K more levels.
        ticks: int64[2, K], best first.
        level_sizes: int64[2, K], pips.
        forget: drop the claim to know anything beyond the snapshot's range (seed and repair); otherwise the known
            range only grows (extension). Levels beyond stay as touched levels either way.

    Returns:
        Number of levels that changed, or NO_ROOM.
    """
    changes = 0
    for s in range(2):
        sign = -1 if s == 0 else 1
        n = count_levels(ticks, s)
        if n == 0:
            continue
        last = ticks[s, n - 1] * sign
        key = next_key(words, summary, far_keys, side, s, -NO_KEY)
        i = 0
        while key <= last:
            while i < n and ticks[s, i] * sign < key:
                i += 1
            if i == n or ticks[s, i] * sign != key:
                set_level(sizes, words, summary, far_keys, far_sizes, side, s, key, 0)
                changes += 1
            key = next_key(words, summary, far_keys, side, s, key)
        for i in range(n):
            status = set_level(
                sizes, words, summary, far_keys, far_sizes, side, s, ticks[s, i] * sign, level_sizes[s, i]
            )
            if status == NO_ROOM:
                return NO_ROOM
            if status == CHANGED:
                changes += 1
        if forget or last > side[s, BOUND]:
            side[s, BOUND] = last
    return changes
