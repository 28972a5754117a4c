"""The visible book as a row, kept up to date at the cost of what was touched.

A row is int64[ROW_HEAD + 4·depth]: origin_time, received_time, sequence_number, flags, known_bid_levels,
known_ask_levels, then price and size in pips of each bid and of each ask level, best first; (`MISSING_PIPS`, 0) where
there is no level. `replay_hash` is taken over rows in this form.

`Memory.visible_row` is the row of the last comparison and `Memory.visible_keys` the keys of its levels. To bring them
up to date, nothing is looked up that cannot have changed: levels better than `Ladder.changed_from` stand, a change
beyond the last visible level is not visible at all, and where a single level has changed, those behind it are moved and
not looked up. Whether the row differs from the one before is found while it is written, level by level.
"""

from __future__ import annotations

import numpy as np
from numba import types

from order_book_platform.kernels.book import replay_arrays as m
from order_book_platform.kernels.book.bits import lowest_bit
from order_book_platform.kernels.book.ladder import level_at, next_key
from order_book_platform.kernels.book.ladder_arrays import LADDER, NO_KEY
from order_book_platform.kernels.book.overflow_levels import overflow_level
from order_book_platform.kernels.book.replay_arrays import MEMORY, ROW_HEAD
from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.flags import PROVEN_LOSS, BookFlag

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
    """Write the live levels of side s from `key` on as its visible levels n … depth − 1; the book is settled.

    Returns:
        Whether any of them differs from what stood there.
    """
    row, visible_keys = memory.visible_row, memory.visible_keys
    depth = visible_keys.shape[1]
    slots = ladder.cells.shape[0] >> 2
    beyond = ladder.base[s] + slots
    sign = memory.params[m.PARAM_STEP] * (2 * s - 1)
    at = ROW_HEAD + 2 * depth * s + 2 * n
    changed = False
    while n < depth:
        key = next_key(ladder, s, key)
        # Overflow levels have no bitmap: each is looked up by itself.
        if key >= beyond:
            if key == NO_KEY:
                break
            size = overflow_level(ladder, s, key)[0]
            changed |= (row[at] != key * sign) | (row[at + 1] != size)
            row[at] = key * sign
            row[at + 1] = size
            visible_keys[s, n] = key
            n += 1
            at += 2
            key += 1
            continue
        # All levels of one word of the bitmap in one go: each next level costs a bit operation, not a search.
        slot = s * slots + (key & (slots - 1))
        rest = ladder.words[slot >> 6] & (_ALL << np.uint64(slot & 63))
        slot &= -64
        key &= -64
        while rest != _ZERO and n < depth:
            bit = lowest_bit(rest)
            rest &= rest - _ONE
            price = (key + bit) * sign
            size = ladder.cells[(slot + bit) << 1]
            changed |= (row[at] != price) | (row[at + 1] != size)
            row[at] = price
            row[at + 1] = size
            visible_keys[s, n] = key + bit
            n += 1
            at += 2
        key += 64
    # A side with fewer levels than the depth ends with missing ones.
    while n < depth:
        changed |= row[at] != MISSING_PIPS
        row[at] = MISSING_PIPS
        row[at + 1] = 0
        visible_keys[s, n] = NO_KEY
        n += 1
        at += 2
    return changed


@kernel(types.boolean(LADDER, MEMORY, types.int64, types.int64, types.int64), forceinline=True)
def write_changed_level(ladder, memory, s, n, key):  # type: ignore[no-untyped-def]
    """Bring the visible levels of a side up to date where the level at `key` is the only one that has changed.

    If it came or went, the visible levels behind it move by one place. Only the one that comes into view at the end,
    after a removal, is looked up in the book. Messages of a single delta take this way.

    Args:
        ladder, memory, s: see `write_row`.
        n: number of visible levels better than `key`, less than depth.
        key: of the level.

    Returns:
        Whether a visible level changed.
    """
    row, visible_keys = memory.visible_row, memory.visible_keys
    depth = visible_keys.shape[1]
    at = ROW_HEAD + 2 * depth * s + 2 * n
    end = ROW_HEAD + 2 * depth * (s + 1)
    size = level_at(ladder, s, key)[0]
    if size == 0:
        if visible_keys[s, n] != key:
            return False  # it came and went since the last row
        for i in range(n, depth - 1):
            visible_keys[s, i] = visible_keys[s, i + 1]
        for i in range(at, end - 2):
            row[i] = row[i + 2]
        # The last place is free now. A level comes into it unless the places before it are not filled either.
        if depth == 1 or visible_keys[s, depth - 2] != NO_KEY:
            write_levels(ladder, memory, s, depth - 1, key if depth == 1 else visible_keys[s, depth - 2] + 1)
        else:
            visible_keys[s, depth - 1] = NO_KEY
            row[end - 2] = MISSING_PIPS
            row[end - 1] = 0
        return True
    # A new level: those behind it make room, and the last one goes out of view.
    if visible_keys[s, n] != key:
        for i in range(depth - 1, n, -1):
            visible_keys[s, i] = visible_keys[s, i - 1]
        for i in range(end - 1, at + 1, -1):
            row[i] = row[i - 2]
        visible_keys[s, n] = key
        row[at] = key * memory.params[m.PARAM_STEP] * (2 * s - 1)
    elif row[at + 1] == size:
        return False
    row[at + 1] = size
    return True


@kernel(types.boolean(LADDER, MEMORY, types.int64, types.boolean), forceinline=True)
def refresh_side(ladder, memory, s, single_change):  # type: ignore[no-untyped-def]
    """Bring the visible levels of side s up to date, and reset its `changed_from`.

    `single_change` says that at most one level of the side has changed since the last call.

    Returns:
        Whether a visible level changed.
    """
    visible_keys = memory.visible_keys
    depth = visible_keys.shape[1]
    changed_from = ladder.changed_from[s]
    ladder.changed_from[s] = NO_KEY
    if changed_from == NO_KEY or changed_from > visible_keys[s, depth - 1]:
        return False
    # Counting all visible keys below it has no branch to be guessed, which a search would have.
    better = 0
    for i in range(depth):
        better += visible_keys[s, i] < changed_from
    if single_change:
        return write_changed_level(ladder, memory, s, better, changed_from)
    return write_levels(ladder, memory, s, better, changed_from)


@kernel(types.int64(LADDER, MEMORY, types.int64), forceinline=True)
def count_known_levels(ladder, memory, s):  # type: ignore[no-untyped-def]
    """Count the visible levels of a side within the known range; none where a loss of messages is proven."""
    if memory.state[m.STATE_FLAG_BITS] & PROVEN_LOSS:
        return 0
    visible_keys = memory.visible_keys
    known_until = ladder.known_until[s]
    depth = visible_keys.shape[1]
    # Mostly all visible levels are known, which the last one alone tells.
    if visible_keys[s, depth - 1] <= known_until:
        return depth
    known = 0
    for i in range(depth):
        known += visible_keys[s, i] <= known_until
    return known


@kernel(
    types.boolean(LADDER, MEMORY, types.int64[:, ::1], types.int64, types.boolean, types.boolean),
    forceinline=True,
)
def write_row(ladder, memory, rows, n_rows, single_change, always):  # type: ignore[no-untyped-def]
    """Bring the visible book up to date and append it to the rows if it changed, or in any case.

    Args:
        ladder: the book, settled; `changed_from` of both sides is reset.
        memory: of the replay; its visible row, keys and state are written.
        rows: int64[capacity, ROW_HEAD + 4·depth], the caller's; row n_rows is written.
        n_rows: rows in use, less than capacity.
        single_change: whether at most one level of each side has changed since the last call.
        always: append the row even if nothing changed.

    Returns:
        Whether a row was appended.
    """
    state, visible = memory.state, memory.visible_row
    changed = refresh_side(ladder, memory, 0, single_change)
    changed |= refresh_side(ladder, memory, 1, single_change)
    depth = memory.visible_keys.shape[1]
    known_bids = count_known_levels(ladder, memory, 0)
    known_asks = count_known_levels(ladder, memory, 1)
    flags = state[m.STATE_FLAG_BITS] & 0xFF  # without PROVEN_LOSS, which is no flag of a row
    if state[m.STATE_SEEDED] != 0 or state[m.STATE_WARMED_UP] != 0:
        flags |= _SEEDED
    if known_bids < depth or known_asks < depth:
        flags |= _UNKNOWN
    best_bid, best_ask = ladder.best[0], ladder.best[1]
    if best_bid != NO_KEY and best_ask != NO_KEY:
        if -best_bid > best_ask:
            flags |= _CROSSED
        elif -best_bid == best_ask:
            flags |= _LOCKED
    state[m.STATE_ROW_DUE] = 0
    changed |= (
        (known_bids != visible[m.ROW_KNOWN_BIDS])
        | (known_asks != visible[m.ROW_KNOWN_ASKS])
        | (flags != visible[m.ROW_FLAGS])
    )
    changed |= state[m.STATE_REPAIRED_DUE] != 0
    # REPAIRED is a flag of one row only and is not remembered: the row after it would differ and be written for
    # nothing.
    visible[m.ROW_FLAGS] = flags
    visible[m.ROW_KNOWN_BIDS] = known_bids
    visible[m.ROW_KNOWN_ASKS] = known_asks
    if not (changed or always):
        return False
    # Copied from column 0 on, also the head that is set below: then the compiler knows that no index is negative and
    # moves eight numbers at a time, which takes 15 ns instead of 70.
    row = rows[n_rows]
    for i in range(visible.shape[0]):
        row[i] = visible[i]
    row[m.ROW_ORIGIN] = state[m.STATE_LAST_ORIGIN]
    row[m.ROW_RECEIVED] = state[m.STATE_LAST_RECEIVED]
    row[m.ROW_SEQUENCE] = state[m.STATE_LAST_SEQUENCE]
    if state[m.STATE_REPAIRED_DUE] != 0:
        row[m.ROW_FLAGS] |= _REPAIRED
        state[m.STATE_REPAIRED_DUE] = 0
    return True


BLOCK_ROWS = 64
"""Rows turned at a time. 64 rows of 86 int64 are 44 KB, which stay in the L2 cache while each column is read from
them."""


@kernel("void(i8[:, ::1], i8[:, ::1], i8)")
def rows_to_columns(rows, columns, n):  # type: ignore[no-untyped-def]
    """Write the first n rows int64[at least n, c] transposed to int64[c, at least n], the caller's."""
    # Column by column through all rows would fetch every cache line of `rows` once for each column.
    for first in range(0, n, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, n)
        for c in range(rows.shape[1]):
            for r in range(first, last):
                columns[c, r] = rows[r, c]
