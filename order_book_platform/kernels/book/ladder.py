"""One side of a book: a dense window of levels indexed by tick, with a bitmap of what is occupied, and overflow levels.

Keys. Both sides run through the same code: the *key* of a level is its tick for an ask and minus its tick for a bid, so
the best level has the lowest key on either side. Side 0 is the bids, side 1 the asks.

Window. The window of a side holds the keys base … base + W − 1, base being a multiple of 64. The slot of a key is key
modulo W, so a level is found without a search. The window is circular: when the price moves, `base` changes and the
levels stay where they are; only those that leave the window or come into it are touched. Base lies a quarter of the
window below the best key when it is set, so the price can go either way before it is set again.

Bitmap. The next level after one that has been removed may be thousands of slots away. One bit a slot (`words`) lets a
search skip 64 slots at a time, and one bit a word (`summary`) 4,096 at a time; with W = 524,288 a side has 8,192 words
and 128 words of summary. A search looks at one word, then at the summary, and never at slots one by one. A third level
is not needed: the whole summary of a side is one KB, and books are dense near the best price, where most searches end.

Overflow levels. Levels beyond the window are kept in sorted blocks, see `overflow_levels`; few deltas name such levels
(1 to 3 % of the recorded ones, see `WINDOW_SLOTS`).

Invariants, which the property tests hold the code to:

- Every live key is at least base, and every overflow key at least base + W.
- The bit of a slot is set exactly where its size is not 0. A summary bit is set wherever its word is not 0; it may also
  be set where the word is 0, since a removal does not clear it. A search that comes upon such a bit clears it.
- After `settle`, `best` is the lowest live key or NO_KEY. `changed_from` is at or below every key that has changed
  since it was last reset to NO_KEY.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from order_book_platform.kernels.book.bits import lowest_bit
from order_book_platform.kernels.book.ladder_arrays import BLOCK_LEVELS, LADDER, NO_KEY
from order_book_platform.kernels.book.overflow_levels import (
    next_overflow_key,
    overflow_level,
    set_overflow_level,
)
from order_book_platform.kernels.compiled import kernel

_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_SIX = np.uint64(6)
_LOW_SIX = np.uint64(63)
_I8_IN = types.Array(types.int64, 1, "C", readonly=True)


@njit(inline="always")
def set_slot(cells, words, summary, at, size, number):  # type: ignore[no-untyped-def]
    """Set the absolute size of a slot of the window, without a branch, and give the size before.

    Nearly every delta ends here, so it is written into its callers. Whether a level comes, goes or changes is close to
    random, and a processor that guesses a branch wrong loses as much time as the whole delta takes (docs/adr/0007). So
    there are only loads and stores, and the bit is chosen by arithmetic. For the same reason the summary bit is set
    and never cleared: to clear it one would have to ask whether the word is empty. `next_slot` clears it when it finds
    it untrue.

    `at` is s·W + slot, unsigned because a signed index is tested each time for counting from the end, which took 1 ns
    of 7. `number` is that of the message.
    """
    # Size and message of a slot are neighbours, so both stores go to one cache line.
    cell = at << _ONE
    before = cells[cell]
    cells[cell] = size
    cells[cell | _ONE] = number
    word = at >> _SIX
    bit = _ONE << (at & _LOW_SIX)
    # The bit is set first and then cleared if the size is 0. Both values are there before the choice, so the compiler
    # can make it a conditional move and not a jump.
    filled = words[word] | bit
    words[word] = filled if size != 0 else filled ^ bit
    summary[word >> _SIX] |= _ONE << (word & _LOW_SIX)
    return before


@njit(inline="always")
def slot_of(s, key, slots):  # type: ignore[no-untyped-def]
    """Give the index (uint64) among the slots of both sides of a key that lies in the window of side s."""
    return np.uint64((key & (slots - 1)) + s * slots)


@kernel(types.int64(LADDER, types.int64, types.int64))
def next_slot(ladder, start, stop):  # type: ignore[no-untyped-def]
    """Find the lowest occupied slot in start … stop − 1: in one word, then by the summary, never slot by slot.

    Both are indices among the slots of both sides, s·W + slot, and `stop` is a multiple of 4096. Untrue bits of the
    summary are cleared on the way.

    Returns:
        The index, or −1 where there is none.
    """
    if start >= stop:
        return -1
    # The word of the start itself, without the bits below the start: near the best price the search often ends here.
    word = start >> 6
    rest = ladder.words[word] & (_ALL << np.uint64(start & 63))
    if rest != _ZERO:
        return (word << 6) + lowest_bit(rest)
    word += 1
    # Then the summary, of which one word stands for 4,096 slots, from the next word on.
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
            # Every level of this word has been removed; the next search shall not come here again.
            ladder.summary[group] &= ~(_ONE << np.uint64(word & 63))
            rest &= rest - _ONE
        group += 1
        if group >= last_group:
            return -1
        rest = ladder.summary[group]


@kernel(types.int64(LADDER, types.int64, types.int64), forceinline=True)
def next_window_key(ladder, s, key):  # type: ignore[no-untyped-def]
    """Give the lowest occupied key of at least `key` in the window, or NO_KEY; `key` is at least base."""
    slots = ladder.cells.shape[0] >> 2
    beyond = ladder.base[s] + slots
    if key >= beyond:
        return NO_KEY
    first = s * slots
    slot = key & (slots - 1)
    found = next_slot(ladder, first + slot, first + slots)
    if found < 0:
        # The window is circular: behind the end of the array its highest keys go on at the side's first slot. Either
        # search may also come upon a level below `key`; counted upwards, that one is at or above `beyond`.
        found = next_slot(ladder, first, first + slots)
        if found < 0:
            return NO_KEY
    # Counted upwards from the slot of `key`, around the end of the array.
    key += (found - first - slot) & (slots - 1)
    return key if key < beyond else NO_KEY


@kernel(types.int64(LADDER, types.int64, types.int64), forceinline=True)
def next_key(ladder, s, key):  # type: ignore[no-untyped-def]
    """Give the lowest live key of at least `key` on side s, in the window or beyond it, or NO_KEY."""
    # Every key of the window is below every overflow key, so those are asked only where the window has nothing.
    found = next_window_key(ladder, s, max(key, ladder.base[s]))
    return next_overflow_key(ladder, s, key) if found == NO_KEY else found


@kernel(types.UniTuple(types.int64, 2)(LADDER, types.int64, types.int64))
def level_at(ladder, s, key):  # type: ignore[no-untyped-def]
    """Give the size of a level, 0 where there is none, and the number of the message that last set it."""
    slots = ladder.cells.shape[0] >> 2
    offset = key - ladder.base[s]
    if 0 <= offset < slots:
        at = slot_of(s, key, slots)
        return ladder.cells[at << _ONE], ladder.cells[at << _ONE | _ONE]
    return overflow_level(ladder, s, key)


@kernel(types.void(LADDER, types.int64, types.int64))
def lower_window(ladder, s, base):  # type: ignore[no-untyped-def]
    """Lower the base of a window to a multiple of 64: levels at its far end become overflow levels.

    Their slots are those of the lowest keys of the new window, so they have to be empty first.
    """
    slots = ladder.cells.shape[0] >> 2
    # Where the window moves by more than its length, all of its levels leave it.
    key = next_window_key(ladder, s, max(base + slots, ladder.base[s]))
    while key != NO_KEY:
        at = slot_of(s, key, slots)
        set_overflow_level(ladder, s, key, ladder.cells[at << _ONE], ladder.cells[at << _ONE | _ONE])
        set_slot(ladder.cells, ladder.words, ladder.summary, at, 0, 0)
        key = next_window_key(ladder, s, key + 1)
    ladder.base[s] = base


@kernel(types.void(LADDER, types.int64, types.int64))
def raise_window(ladder, s, base):  # type: ignore[no-untyped-def]
    """Raise the base of a window to a multiple of 64: the nearest overflow levels come into it.

    No live key is below the new base, so the slots that they take are free.
    """
    slots = ladder.cells.shape[0] >> 2
    ladder.base[s] = base
    key = next_overflow_key(ladder, s, base)
    while key < base + slots:
        size, seen = overflow_level(ladder, s, key)
        set_overflow_level(ladder, s, key, 0, 0)
        set_slot(ladder.cells, ladder.words, ladder.summary, slot_of(s, key, slots), size, seen)
        key = next_overflow_key(ladder, s, key)


@kernel(types.boolean(LADDER, types.int64, types.int64, types.int64, types.int64))
def set_level(ladder, s, key, size, seen):  # type: ignore[no-untyped-def]
    """Set the absolute size of one level, in the window or beyond it; 0 removes it.

    `best` is left as it was: `settle` has to be called before it is read again, once after any number of changes. There
    have to be enough free overflow blocks, see `has_room`. `seen` is the number of the message that sets the level.

    Returns:
        Whether the size changed.
    """
    slots = ladder.cells.shape[0] >> 2
    offset = key - ladder.base[s]
    if offset < 0:
        if size == 0:
            return False  # no live key is below base, so there is nothing to remove
        # The new best level is put a quarter of the window above base, so that the next ones find room on either side.
        lower_window(ladder, s, (key - (slots >> 2)) & -64)
    elif offset >= slots:
        # No level of the window changes, and the window follows the best price alone, so a far price does not move it.
        changed = set_overflow_level(ladder, s, key, size, seen)
        if changed:
            ladder.changed_from[s] = min(ladder.changed_from[s], key)
        return changed
    at = slot_of(s, key, slots)
    changed = set_slot(ladder.cells, ladder.words, ladder.summary, at, size, seen) != size
    if changed:
        ladder.changed_from[s] = min(ladder.changed_from[s], key)
    return changed


@kernel(types.void(LADDER, types.int64), forceinline=True)
def settle(ladder, s):  # type: ignore[no-untyped-def]
    """Find the best level of a side anew after changes, and let the window follow the price.

    Due once after a run of `set_level` or `set_slot` and before `best` is read: within a message best levels come and
    go, and only the one at its end counts. Nothing below `changed_from` has changed and nothing was below the best
    level, so where `changed_from` is above the best level, that is still the best and nothing is looked up. The window
    is raised only when the best level has passed its middle, and then to a quarter below it, so a price that goes to
    and fro does not move it each time.
    """
    if ladder.changed_from[s] > ladder.best[s]:
        return
    slots = ladder.cells.shape[0] >> 2
    best = next_key(ladder, s, ladder.changed_from[s])
    ladder.best[s] = best
    if best != NO_KEY and best - ladder.base[s] > slots >> 1:
        raise_window(ladder, s, (best - (slots >> 2)) & -64)


@kernel(types.void(LADDER, types.int64, types.int64[:, ::1]))
def read_levels(ladder, s, levels):  # type: ignore[no-untyped-def]
    """Write every level of side s by ascending key, which is best first.

    `levels` is int64[3, n], the caller's, n being `Ladder.occupied(s)`: keys, encoded sizes, and the numbers of the
    messages that last set them.
    """
    slots = ladder.cells.shape[0] >> 2
    # The window holds the lower keys and the blocks the higher ones, so the order is right without sorting.
    n = 0
    key = next_window_key(ladder, s, ladder.base[s])
    while key != NO_KEY:
        at = slot_of(s, key, slots)
        levels[0, n] = key
        levels[1, n] = ladder.cells[at << _ONE]
        levels[2, n] = ladder.cells[at << _ONE | _ONE]
        n += 1
        key = next_window_key(ladder, s, key + 1)
    for place in range(ladder.overflow_blocks[s]):
        block = ladder.overflow_order[s, place]
        for i in range(ladder.overflow_fill[s, block]):
            levels[0, n] = ladder.overflow_keys[s, block, i]
            levels[1, n] = ladder.overflow_sizes[s, block, i]
            levels[2, n] = ladder.overflow_seen[s, block, i]
            n += 1


@kernel(types.void(LADDER, types.int64, _I8_IN, _I8_IN, _I8_IN))
def fill_side(ladder, s, keys, sizes, seen):  # type: ignore[no-untyped-def]
    """Put levels that `read_levels` wrote of a saved side on an empty side that has room for them."""
    for i in range(keys.shape[0]):
        set_level(ladder, s, keys[i], sizes[i], seen[i])
        settle(ladder, s)  # the window follows the best level before the others come


@kernel(types.boolean(LADDER, types.int64))
def has_room(ladder, levels):  # type: ignore[no-untyped-def]
    """Tell whether `levels` more levels surely fit on either side, whatever their keys and their order.

    Overflow blocks are what can run out, and a loop cannot allocate more, so this is asked before a message is begun.
    Each level may split a block that is full now. Besides, all slots of a window that the price leaves behind and all
    new levels may become overflow levels, in blocks that are at least half full; those make the term `fresh`. Where it
    is false, `Ladder.with_blocks` has to be called first.
    """
    slots = ladder.cells.shape[0] >> 2
    fresh = 2 * (slots + levels) // BLOCK_LEVELS + 4
    for s in range(2):
        blocks = ladder.overflow_blocks[s]
        if blocks + min(levels, blocks) + fresh > ladder.overflow_fill.shape[1]:
            return False
    return True
