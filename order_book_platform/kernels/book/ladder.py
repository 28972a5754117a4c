"""One side of a book: a dense, tick-indexed window with an occupancy bitmap, and blocks of far levels beyond it.

Both sides run through the same code: a *key* is the tick of an ask and minus the tick of a bid, so that the best level
has the lowest key on either side. Side 0 is the bids, side 1 the asks.

The window of a side holds the keys base … base + W − 1, base a multiple of 64. The slot of a key is key modulo W, so
the window moves with the price and no level in it has to: only those that leave it, or come in, are touched.

Invariants, which the property tests hold the code to:

- every live key is ≥ base; every far key is ≥ base + W (`far` says how those are kept);
- a slot's bit is set exactly where its size is not 0, a summary bit wherever its word is not 0;
- after `settle`, `best` is the lowest live key or NO_KEY; `low` is ≤ every key changed since it was last reset.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from order_book_platform.kernels.book.bits import lowest_bit
from order_book_platform.kernels.book.ladder_arrays import BLOCK_LEVELS, LADDER, NO_KEY
from order_book_platform.kernels.book.overflow_levels import far_level, far_next_key, set_far
from order_book_platform.kernels.compiled import kernel

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_SIX = np.uint64(6)
_LOW_SIX = np.uint64(63)


@njit(inline="always")
def set_slot(cells, words, summary, at, size, number):  # type: ignore[no-untyped-def]
    """Set the absolute size of a slot of the window, without a branch; gives the size before.

    Written into its callers: this is where nearly every delta ends, and whether a level comes, goes or changes is for
    a processor to guess wrong half of the time. A summary bit that has become untrue is left to `next_slot`.

    Args:
        cells, words, summary: of the ladder.
        at: uint64, since a signed index is asked each time whether it counts from the end (1 ns of 7).
        size: int64, pips.
        number: int64, of the message.
    """
    cell = at << _ONE
    before = cells[cell]
    cells[cell] = size
    cells[cell | _ONE] = number
    word = at >> _SIX
    bit = _ONE << (at & _LOW_SIX)
    filled = words[word] | bit
    words[word] = filled if size != 0 else filled ^ bit
    summary[word >> _SIX] |= _ONE << (word & _LOW_SIX)
    return before


@njit(inline="always")
def slot_of(s, key, slots):  # type: ignore[no-untyped-def]
    """Index (uint64) of a key of the window."""
    return np.uint64((key & (slots - 1)) + s * slots)


@kernel(types.int64(LADDER, types.int64, types.int64))
def next_slot(ladder, start, stop):  # type: ignore[no-untyped-def]
    """Lowest occupied index in start … stop − 1, or −1: one word, then the summary, never slot by slot.

    Args:
        ladder: both sides.
        start: slot of both sides, s·W + slot.
        stop: end of the side's slots, a multiple of 4096.
    """
    if start >= stop:
        return -1
    word = start >> 6
    rest = ladder.words[word] & (_ALL << np.uint64(start & 63))
    if rest != _ZERO:
        return (word << 6) + lowest_bit(rest)
    word += 1
    last_group = stop >> 12
    group = word >> 6
    if group >= last_group:
        return -1
    rest = ladder.summary[group] & (_ALL << np.uint64(word & 63))
    while True:
        while rest != _ZERO:
            word = (group << 6) + lowest_bit(rest)
            if ladder.words[word] != _ZERO:
                return (word << 6) + lowest_bit(ladder.words[word])
            ladder.summary[group] &= ~(_ONE << np.uint64(word & 63))
            rest &= rest - _ONE
        group += 1
        if group >= last_group:
            return -1
        rest = ladder.summary[group]


@kernel(types.int64(LADDER, types.int64, types.int64), forceinline=True)
def next_near_key(ladder, s, key):  # type: ignore[no-untyped-def]
    """Lowest key ≥ `key` in the window, or NO_KEY; `key` is ≥ base."""
    slots = ladder.cells.shape[0] >> 2
    beyond = ladder.base[s] + slots
    if key >= beyond:
        return NO_KEY
    first = s * slots
    slot = key & (slots - 1)
    found = next_slot(ladder, first + slot, first + slots)
    if found < 0:
        # Around the end of the array, to the slots of the highest keys.
        found = next_slot(ladder, first, first + slots)
        if found < 0:
            return NO_KEY
    key += (found - first - slot) & (slots - 1)
    return key if key < beyond else NO_KEY


@kernel(types.int64(LADDER, types.int64, types.int64), forceinline=True)
def next_key(ladder, s, key):  # type: ignore[no-untyped-def]
    """Lowest live key ≥ `key` on side s, or NO_KEY."""
    found = next_near_key(ladder, s, max(key, ladder.base[s]))
    return far_next_key(ladder, s, key) if found == NO_KEY else found


@kernel(types.UniTuple(types.int64, 2)(LADDER, types.int64, types.int64))
def level_at(ladder, s, key):  # type: ignore[no-untyped-def]
    """Size of the level at `key`, 0 where there is none, and the message that last named it."""
    slots = ladder.cells.shape[0] >> 2
    offset = key - ladder.base[s]
    if 0 <= offset < slots:
        at = slot_of(s, key, slots)
        return ladder.cells[at << _ONE], ladder.cells[at << _ONE | _ONE]
    return far_level(ladder, s, key)


@kernel(types.void(LADDER, types.int64, types.int64))
def lower_window(ladder, s, base):  # type: ignore[no-untyped-def]
    """Lower the base: the levels at the far end of the window become the nearest far levels."""
    slots = ladder.cells.shape[0] >> 2
    key = next_near_key(ladder, s, max(base + slots, ladder.base[s]))
    while key != NO_KEY:
        at = slot_of(s, key, slots)
        set_far(ladder, s, key, ladder.cells[at << _ONE], ladder.cells[at << _ONE | _ONE])
        set_slot(ladder.cells, ladder.words, ladder.summary, at, 0, 0)
        key = next_near_key(ladder, s, key + 1)
    ladder.base[s] = base


@kernel(types.void(LADDER, types.int64, types.int64))
def raise_window(ladder, s, base):  # type: ignore[no-untyped-def]
    """Raise the base, to at most the lowest live key: the nearest far levels come into the window."""
    slots = ladder.cells.shape[0] >> 2
    ladder.base[s] = base
    key = far_next_key(ladder, s, base)
    while key < base + slots:
        size, seen = far_level(ladder, s, key)
        set_far(ladder, s, key, 0, 0)
        set_slot(ladder.cells, ladder.words, ladder.summary, slot_of(s, key, slots), size, seen)
        key = far_next_key(ladder, s, key)


@kernel(types.boolean(LADDER, types.int64, types.int64, types.int64, types.int64))
def set_level(ladder, s, key, size, seen):  # type: ignore[no-untyped-def]
    """Set the absolute size of one level; 0 removes it. `settle` is due before `best` is asked for.

    Args:
        ladder: with room, see `has_room`.
        s: side.
        key: of the level.
        size: int64, pips.
        seen: number of the message that names the level.

    Returns:
        Whether the level changed.
    """
    slots = ladder.cells.shape[0] >> 2
    offset = key - ladder.base[s]
    if offset < 0:
        if size == 0:
            return False
        lower_window(ladder, s, (key - (slots >> 2)) & -64)
    elif offset >= slots:
        changed = set_far(ladder, s, key, size, seen)
        if changed:
            ladder.low[s] = min(ladder.low[s], key)
        return changed
    at = slot_of(s, key, slots)
    changed = set_slot(ladder.cells, ladder.words, ladder.summary, at, size, seen) != size
    if changed:
        ladder.low[s] = min(ladder.low[s], key)
    return changed


@kernel(types.void(LADDER, types.int64), forceinline=True)
def settle(ladder, s):  # type: ignore[no-untyped-def]
    """After changes: name the best level anew, and let the window follow when the price has drifted far.

    Nothing below `low` has changed, and nothing was below the best level; so if `low` is beyond it, the best stands.
    """
    if ladder.low[s] > ladder.best[s]:
        return
    slots = ladder.cells.shape[0] >> 2
    best = next_key(ladder, s, ladder.low[s])
    ladder.best[s] = best
    if best != NO_KEY and best - ladder.base[s] > slots >> 1:
        raise_window(ladder, s, (best - (slots >> 2)) & -64)


@kernel(types.void(LADDER, types.int64, types.int64[:, ::1]))
def read_levels(ladder, s, levels):  # type: ignore[no-untyped-def]
    """Write down every level of side s, by ascending key: best first.

    Args:
        ladder: stays as it is.
        s: side.
        levels: int64[3, n], n as `Ladder.occupied` says: gets keys, sizes, and the messages that last named them.
    """
    slots = ladder.cells.shape[0] >> 2
    n = 0
    key = next_near_key(ladder, s, ladder.base[s])
    while key != NO_KEY:
        at = slot_of(s, key, slots)
        levels[0, n] = key
        levels[1, n] = ladder.cells[at << _ONE]
        levels[2, n] = ladder.cells[at << _ONE | _ONE]
        n += 1
        key = next_near_key(ladder, s, key + 1)
    for place in range(ladder.blocks[s]):
        block = ladder.far_order[s, place]
        for i in range(ladder.far_fill[s, block]):
            levels[0, n] = ladder.far_keys[s, block, i]
            levels[1, n] = ladder.far_sizes[s, block, i]
            levels[2, n] = ladder.far_seen[s, block, i]
            n += 1


@kernel(types.boolean(LADDER, types.int64))
def has_room(ladder, levels):  # type: ignore[no-untyped-def]
    """Whether `levels` more levels, named in any order, surely find room on either side.

    Far blocks are what can run out. Each level may split a block that is full now, and each half block filled makes
    one more; a window that is left behind by the price turns into blocks at least half full.
    """
    slots = ladder.cells.shape[0] >> 2
    fresh = 2 * (slots + levels) // BLOCK_LEVELS + 4
    for s in range(2):
        blocks = ladder.blocks[s]
        if blocks + min(levels, blocks) + fresh > ladder.far_fill.shape[1]:
            return False
    return True
