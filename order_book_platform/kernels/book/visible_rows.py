"""The visible book as a row, kept up to date at the cost of what was touched.

A row is int64[ROW_HEAD + 4·K]: origin_time, received_time, sequence_number, flags, known_bid_levels, known_ask_levels,
then price and size of each bid and each ask level, best first, as pips; (`MISSING_PIPS`, 0) where there is no level.
That is also the form `replay_hash` is taken over.
"""

from __future__ import annotations

import numpy as np
from numba import types

from order_book_platform.kernels.book.bits import lowest_bit
from order_book_platform.kernels.book.ladder import level_at, next_key
from order_book_platform.kernels.book.ladder_arrays import LADDER, MEMORY, NO_KEY
from order_book_platform.kernels.book.overflow_levels import far_level
from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.flags import PROVEN_LOSS, BookFlag
from order_book_platform.model.levels import MISSING_PIPS

ROW_HEAD = 6

PARAM_STEP, PARAM_CADENCE, PARAM_GRID_NS, PARAM_CROSSED_NS, PARAM_WARM_UP_NS, PARAM_SILENCE_NS = range(6)
PARAMS = 6

(
    STATE_LAST_ORIGIN,
    STATE_LAST_RECEIVED,
    STATE_LAST_SEQUENCE,
    STATE_NEXT_GRID,
    STATE_EVALUATE,
    STATE_REPAIR_PENDING,
    STATE_SEEDED,
    STATE_DOUBT,
    STATE_CANDIDATE,
    STATE_EDGE,
    STATE_MESSAGES,
    STATE_CROSSED_SINCE,
    STATE_FORCE,
    STATE_FIRST_ORIGIN,
    STATE_WARM,
) = range(15)
STATES = 15
"""What a replay remembers; int64 each. STATE_CANDIDATE and STATE_EDGE are positions in the steps."""

_SEEDED = int(BookFlag.SEEDED)
_REPAIRED = int(BookFlag.REPAIRED)
_CROSSED = int(BookFlag.CROSSED)
_LOCKED = int(BookFlag.LOCKED)
_UNKNOWN = int(BookFlag.UNKNOWN_DEPTH)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)


@kernel(types.boolean(LADDER, MEMORY, types.int64, types.int64, types.int64), forceinline=True)
def write_levels(ladder, memory, s, n, key):  # type: ignore[no-untyped-def]
    """Write the levels of side s from the lowest live key ≥ `key` on as levels n … depth − 1.

    Returns:
        Whether any of them differs from what stood there.
    """
    last, top = memory.last, memory.top
    depth = top.shape[1]
    slots = ladder.cells.shape[0] >> 2
    beyond = ladder.base[s] + slots
    sign = memory.params[PARAM_STEP] * (2 * s - 1)
    at = ROW_HEAD + 2 * depth * s + 2 * n
    changed = False
    while n < depth:
        key = next_key(ladder, s, key)
        if key >= beyond:
            if key == NO_KEY:
                break
            size = far_level(ladder, s, key)[0]
            changed |= (last[at] != key * sign) | (last[at + 1] != size)
            last[at] = key * sign
            last[at + 1] = size
            top[s, n] = key
            n += 1
            at += 2
            key += 1
            continue
        # The whole word at once: a level costs a bit, not a search.
        slot = s * slots + (key & (slots - 1))
        rest = ladder.words[slot >> 6] & (_ALL << np.uint64(slot & 63))
        slot &= -64
        key &= -64
        while rest != _ZERO and n < depth:
            bit = lowest_bit(rest)
            rest &= rest - _ONE
            price = (key + bit) * sign
            size = ladder.cells[(slot + bit) << 1]
            changed |= (last[at] != price) | (last[at + 1] != size)
            last[at] = price
            last[at + 1] = size
            top[s, n] = key + bit
            n += 1
            at += 2
        key += 64
    while n < depth:
        changed |= last[at] != MISSING_PIPS
        last[at] = MISSING_PIPS
        last[at + 1] = 0
        top[s, n] = NO_KEY
        n += 1
        at += 2
    return changed


@kernel(types.boolean(LADDER, MEMORY, types.int64, types.int64, types.int64), forceinline=True)
def write_one(ladder, memory, s, n, key):  # type: ignore[no-untyped-def]
    """The same where only the level at `key` has changed: what lies behind moves, and is not looked up again.

    Args:
        ladder: the book.
        memory: of the replay; its `top` tells what is visible.
        s: side.
        n: visible levels better than `key`, less than depth.
        key: of the level.
    """
    last, top = memory.last, memory.top
    depth = top.shape[1]
    at = ROW_HEAD + 2 * depth * s + 2 * n
    end = ROW_HEAD + 2 * depth * (s + 1)
    size = level_at(ladder, s, key)[0]
    if size == 0:
        if top[s, n] != key:
            return False
        for i in range(n, depth - 1):
            top[s, i] = top[s, i + 1]
        for i in range(at, end - 2):
            last[i] = last[i + 2]
        if depth == 1 or top[s, depth - 2] != NO_KEY:
            write_levels(ladder, memory, s, depth - 1, key if depth == 1 else top[s, depth - 2] + 1)
        else:
            top[s, depth - 1] = NO_KEY
            last[end - 2] = MISSING_PIPS
            last[end - 1] = 0
        return True
    if top[s, n] != key:
        for i in range(depth - 1, n, -1):
            top[s, i] = top[s, i - 1]
        for i in range(end - 1, at + 1, -1):
            last[i] = last[i - 2]
        top[s, n] = key
        last[at] = key * memory.params[PARAM_STEP] * (2 * s - 1)
    elif last[at + 1] == size:
        return False
    last[at + 1] = size
    return True


@kernel(types.boolean(LADDER, MEMORY, types.int64, types.boolean), forceinline=True)
def refresh_side(ladder, memory, s, one):  # type: ignore[no-untyped-def]
    """Bring the visible levels of side s up to date.

    Args:
        ladder: the book.
        memory: of the replay.
        s: side.
        one: whether at most one level of it has changed since the last time.

    Returns:
        Whether a visible level changed.
    """
    top = memory.top
    depth = top.shape[1]
    low = ladder.low[s]
    ladder.low[s] = NO_KEY
    if low == NO_KEY or low > top[s, depth - 1]:
        return False
    better = 0
    for i in range(depth):
        better += top[s, i] < low
    if one:
        return write_one(ladder, memory, s, better, low)
    return write_levels(ladder, memory, s, better, low)


@kernel(types.int64(LADDER, MEMORY, types.int64), forceinline=True)
def known_levels(ladder, memory, s):  # type: ignore[no-untyped-def]
    """How many of the visible levels lie in the range the book vouches for."""
    if memory.state[STATE_DOUBT] & PROVEN_LOSS:
        return 0
    top = memory.top
    bound = ladder.bound[s]
    depth = top.shape[1]
    if top[s, depth - 1] <= bound:
        return depth
    known = 0
    for i in range(depth):
        known += top[s, i] <= bound
    return known


@kernel(
    types.boolean(LADDER, MEMORY, types.int64[:, ::1], types.int64, types.boolean, types.boolean),
    forceinline=True,
)
def write_row(ladder, memory, rows, n_rows, one, always):  # type: ignore[no-untyped-def]
    """Bring the visible book up to date and append it if it changed (or `always`).

    Args:
        ladder: the book, settled.
        memory: of the replay.
        rows: int64[capacity, ROW_HEAD + 4·depth].
        n_rows: rows in use, less than capacity.
        one: whether at most one level has changed since the last time.
        always: append even if nothing changed.

    Returns:
        Whether a row was appended.
    """
    state, last = memory.state, memory.last
    changed = refresh_side(ladder, memory, 0, one)
    changed |= refresh_side(ladder, memory, 1, one)
    depth = memory.top.shape[1]
    known_bids = known_levels(ladder, memory, 0)
    known_asks = known_levels(ladder, memory, 1)
    flags = state[STATE_DOUBT] & 0xFF
    if state[STATE_SEEDED] != 0 or state[STATE_WARM] != 0:
        flags |= _SEEDED
    if known_bids < depth or known_asks < depth:
        flags |= _UNKNOWN
    best_bid, best_ask = ladder.best[0], ladder.best[1]
    if best_bid != NO_KEY and best_ask != NO_KEY:
        if -best_bid > best_ask:
            flags |= _CROSSED
        elif -best_bid == best_ask:
            flags |= _LOCKED
    state[STATE_EVALUATE] = 0
    changed |= (known_bids != last[4]) | (known_asks != last[5]) | (flags != last[3])
    changed |= state[STATE_REPAIR_PENDING] != 0
    # Without REPAIRED, which is of one row: the row after it would differ and be written for nothing.
    last[3] = flags
    last[4] = known_bids
    last[5] = known_asks
    if not (changed or always):
        return False
    # From 0 on, so that the compiler sees no negative index and moves eight numbers at a time: 15 ns, not 70.
    row = rows[n_rows]
    for i in range(last.shape[0]):
        row[i] = last[i]
    row[0] = state[STATE_LAST_ORIGIN]
    row[1] = state[STATE_LAST_RECEIVED]
    row[2] = state[STATE_LAST_SEQUENCE]
    if state[STATE_REPAIR_PENDING] != 0:
        row[3] |= _REPAIRED
        state[STATE_REPAIR_PENDING] = 0
    return True
