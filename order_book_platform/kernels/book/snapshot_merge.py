"""Comparing a book with a depth snapshot, and taking a snapshot's levels over.

A snapshot's levels come as ticks, best first, int64[2, K]; `NO_TICK` where there is no level. What a side's snapshot
says reaches from the best price to its last level; of anything beyond it says nothing.
"""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.book.ladder import level_at, next_key, set_level, settle
from order_book_platform.kernels.book.ladder_arrays import LADDER, NO_KEY, NO_TICK
from order_book_platform.kernels.compiled import kernel

_LEVELS = types.int64[:, ::1]


@kernel(types.int64(_LEVELS, types.int64))
def count_levels(ticks, s):  # type: ignore[no-untyped-def]
    """How many levels the snapshot has on side s."""
    n = 0
    while n < ticks.shape[1] and ticks[s, n] != NO_TICK:
        n += 1
    return n


@kernel(types.void(LADDER, _LEVELS, _LEVELS, types.int64[::1]))
def compare_snapshot(ladder, ticks, level_sizes, out):  # type: ignore[no-untyped-def]
    """Count the levels that book and snapshot both claim to know, and those on which they differ.

    Args:
        ladder: the book.
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
        bound = min(ladder.bound[s], ticks[s, n - 1] * sign)
        key = next_key(ladder, s, -NO_KEY)
        i = 0
        while True:
            wanted = ticks[s, i] * sign if i < n else NO_KEY
            nearest = min(key, wanted)
            if nearest > bound or nearest == NO_KEY:
                break
            out[0] += 1
            if key != wanted or level_at(ladder, s, key)[0] != level_sizes[s, i]:
                out[1] += 1
            if wanted == nearest:
                i += 1
            if key == nearest:
                key = next_key(ladder, s, key + 1)


@kernel(types.int64(LADDER, _LEVELS, _LEVELS, types.boolean, types.int64))
def take_snapshot(ladder, ticks, level_sizes, forget, seen):  # type: ignore[no-untyped-def]
    """Make the book equal to the snapshot within the snapshot's range.

    Args:
        ladder: the book, with room for K more levels.
        ticks: int64[2, K], best first.
        level_sizes: int64[2, K], pips.
        forget: drop the claim to know anything beyond the snapshot's range (seed and repair); otherwise the known
            range only grows (extension). Levels beyond stay as touched levels either way.
        seen: number of the message at which it comes.

    Returns:
        Number of levels that changed.
    """
    changes = 0
    for s in range(2):
        sign = -1 if s == 0 else 1
        n = count_levels(ticks, s)
        if n == 0:
            continue
        last = ticks[s, n - 1] * sign
        key = next_key(ladder, s, -NO_KEY)
        i = 0
        while key <= last:
            while i < n and ticks[s, i] * sign < key:
                i += 1
            if i == n or ticks[s, i] * sign != key:
                set_level(ladder, s, key, 0, seen)
                changes += 1
            key = next_key(ladder, s, key + 1)
        for i in range(n):
            changes += set_level(ladder, s, ticks[s, i] * sign, level_sizes[s, i], seen)
        if forget or last > ladder.bound[s]:
            ladder.bound[s] = last
        settle(ladder, s)
    return changes
