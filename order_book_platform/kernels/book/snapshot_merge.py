"""A snapshot beside a book: where the two differ, and the book made equal to the snapshot as far as that reaches.

A snapshot of K levels says everything about a side from its best price to its last level, and nothing about prices
beyond: a level of the book that the snapshot lacks is wrong within that range, and may be right beyond it. A book keeps
the same knowledge of itself in `known_until`: all levels up to this key are known, levels beyond it are those that
deltas happened to name. So a comparison counts only what lies within both ranges, and a merge touches only what lies
within the snapshot's.

The arrays of a snapshot are int64[2, K], bids first: prices in steps, best first, `NO_TICK` where there is no level,
and sizes in pips. The last level of a side may have size 0: it is gone, and marks how far the side is known. The arrays
belong to the caller and are only read.
"""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.book.ladder import level_at, next_key, set_level, settle
from order_book_platform.kernels.book.ladder_arrays import LADDER, NO_KEY, NO_TICK
from order_book_platform.kernels.compiled import kernel

_I8_2 = types.int64[:, ::1]


@kernel(types.int64(_I8_2, types.int64))
def count_levels(ticks, s):  # type: ignore[no-untyped-def]
    """Count the levels that a snapshot has on side s; `ticks` is int64[2, K]."""
    n = 0
    while n < ticks.shape[1] and ticks[s, n] != NO_TICK:
        n += 1
    return n


@kernel(types.void(LADDER, _I8_2, _I8_2, types.int64[::1]))
def compare_snapshot(ladder, ticks, level_sizes, out):  # type: ignore[no-untyped-def]
    """Count the levels that book and snapshot both claim to know, and those on which they differ.

    A side that the snapshot does not have is not compared. The ladder is settled and stays as it is.

    Args:
        ladder, ticks, level_sizes: the book and the snapshot.
        out: int64[2], the caller's, written: levels compared, which are all that either of the two has in the range
            that both know; and those that are wrong: missing from the book, in the book alone, or of another size.
    """
    out[0] = 0
    out[1] = 0
    for s in range(2):
        sign = -1 if s == 0 else 1
        n = count_levels(ticks, s)
        if n == 0:
            continue
        # Beyond the nearer of both ends one of the two does not claim to know, and a difference proves nothing.
        last_comparable = min(ladder.known_until[s], ticks[s, n - 1] * sign)
        key = next_key(ladder, s, -NO_KEY)
        i = 0
        while True:
            # Both lists are walked by ascending key, the lower of the two keys first.
            shown = ticks[s, i] * sign if i < n else NO_KEY
            nearest = min(key, shown)
            if nearest > last_comparable or nearest == NO_KEY:
                break
            # A level that only marks the end of the range is none, and agrees with a book that has none there.
            if key == nearest or level_sizes[s, i] != 0:
                out[0] += 1
                if key != shown or level_at(ladder, s, key)[0] != level_sizes[s, i]:
                    out[1] += 1
            if shown == nearest:
                i += 1
            if key == nearest:
                key = next_key(ladder, s, key + 1)


@kernel(types.int64(LADDER, _I8_2, _I8_2, types.boolean, types.int64))
def merge_snapshot(ladder, ticks, level_sizes, forget, seen):  # type: ignore[no-untyped-def]
    """Make the book equal to the snapshot within the snapshot's range, and settle it.

    Levels beyond the range stay in the book, whatever happens to the known bound: deltas have named them, and later
    deltas go on from their sizes. A side that the snapshot does not have is left alone.

    Args:
        ladder, ticks, level_sizes: the book, with overflow blocks for K more levels, and the snapshot.
        forget: set the known bound to the end of the snapshot's range, as a seed and a repair do, since the book cannot
            vouch for more; otherwise the bound only grows, as by an extension, which confirmed what was known.
        seen: number of the message at which the snapshot comes.

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
        # Levels in the range that the snapshot does not show are gone; the others are set below.
        key = next_key(ladder, s, -NO_KEY)
        i = 0
        while key <= last:
            while i < n and ticks[s, i] * sign < key:
                i += 1
            # The level is set to 0 while the search goes on by key, which needs no settling in between.
            if i == n or ticks[s, i] * sign != key:
                set_level(ladder, s, key, 0, seen)
                changes += 1
            key = next_key(ladder, s, key + 1)
        for i in range(n):
            changes += set_level(ladder, s, ticks[s, i] * sign, level_sizes[s, i], seen)
        # Levels between the old bound and the snapshot's end are the snapshot's now, so a longer range is known as
        # well.
        if forget or last > ladder.known_until[s]:
            ladder.known_until[s] = last
        settle(ladder, s)
    return changes
