"""Levels beyond the window of a ladder's side, in sorted blocks by ascending key; keys are those of `ladder`.

The arrays are those of `ladder_arrays.Ladder`. There may be many such levels, though few deltas name one. Setting one
costs two binary searches, for the block and within it, and a move within one block, however many levels there are; one
sorted array would move half of all levels. Reordering the blocks moves their numbers, never the levels. A nearly empty
block joins a neighbour where both fit well into one block, so n levels never hold more than 8·n/B + 2 blocks. Blocks
are not allocated here, since a loop cannot allocate: the caller makes sure that enough are free (`ladder.has_room`),
and nothing here checks it.
"""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.book.ladder_arrays import BLOCK_LEVELS, LADDER, NO_KEY
from order_book_platform.kernels.compiled import kernel

_FEW = BLOCK_LEVELS // 4
_WELL_FILLED = BLOCK_LEVELS * 3 // 4
"""A block of fewer than `_FEW` levels joins a neighbour if both together have at most `_WELL_FILLED`. The gap between
the two, and to a full block, keeps a level that comes and goes from splitting and joining blocks each time."""


@kernel(types.UniTuple(types.int64, 2)(LADDER, types.int64, types.int64))
def overflow_position(ladder, s, key):  # type: ignore[no-untyped-def]
    """Find the first overflow key of at least `key`, on a side that has overflow levels.

    Returns:
        Place of its block in `overflow_order`, and its index in the block; the index may be the end of the block.
    """
    # First the block: the last one whose first key is not above the key. The key may also lie behind its last level.
    low = 0
    high = ladder.overflow_blocks[s]
    while low < high:
        middle = (low + high) >> 1
        if ladder.overflow_keys[s, ladder.overflow_order[s, middle], 0] <= key:
            low = middle + 1
        else:
            high = middle
    # A key below every block belongs to the front of the first one.
    place = max(low - 1, 0)
    block = ladder.overflow_order[s, place]
    low = 0
    high = ladder.overflow_fill[s, block]
    while low < high:
        middle = (low + high) >> 1
        if ladder.overflow_keys[s, block, middle] < key:
            low = middle + 1
        else:
            high = middle
    return place, low


@kernel(types.int64(LADDER, types.int64, types.int64))
def next_overflow_key(ladder, s, key):  # type: ignore[no-untyped-def]
    """Give the lowest overflow key of at least `key`, or NO_KEY."""
    blocks = ladder.overflow_blocks[s]
    if blocks == 0:
        return NO_KEY
    place, at = overflow_position(ladder, s, key)
    # Behind the last level of its block, the next key is the first one of the next block.
    if at == ladder.overflow_fill[s, ladder.overflow_order[s, place]]:
        place += 1
        at = 0
        if place == blocks:
            return NO_KEY
    return ladder.overflow_keys[s, ladder.overflow_order[s, place], at]


@kernel(types.UniTuple(types.int64, 2)(LADDER, types.int64, types.int64))
def overflow_level(ladder, s, key):  # type: ignore[no-untyped-def]
    """Give the size in pips of an overflow level, 0 where there is none, and the message that last set it."""
    if ladder.overflow_blocks[s] > 0:
        place, at = overflow_position(ladder, s, key)
        block = ladder.overflow_order[s, place]
        if at < ladder.overflow_fill[s, block] and ladder.overflow_keys[s, block, at] == key:
            return ladder.overflow_sizes[s, block, at], ladder.overflow_seen[s, block, at]
    return 0, 0


@kernel(types.void(LADDER, types.int64, types.int64))
def _free_block(ladder, s, place):  # type: ignore[no-untyped-def]
    """Take an empty block out of the order."""
    blocks = ladder.overflow_blocks[s]
    block = ladder.overflow_order[s, place]
    # The number of the block goes to the end of those in use, from where it is given out again first.
    for i in range(place, blocks - 1):
        ladder.overflow_order[s, i] = ladder.overflow_order[s, i + 1]
    ladder.overflow_order[s, blocks - 1] = block
    ladder.overflow_blocks[s] = blocks - 1


@kernel(types.int64(LADDER, types.int64, types.int64))
def _new_block(ladder, s, place):  # type: ignore[no-untyped-def]
    """Put a free block into the order at `place`; gives the block's number."""
    blocks = ladder.overflow_blocks[s]
    block = ladder.overflow_order[s, blocks]
    for i in range(blocks, place, -1):
        ladder.overflow_order[s, i] = ladder.overflow_order[s, i - 1]
    ladder.overflow_order[s, place] = block
    ladder.overflow_fill[s, block] = 0
    ladder.overflow_blocks[s] = blocks + 1
    return block


@kernel(types.void(LADDER, types.int64, types.int64, types.int64, types.int64))
def _move_levels(ladder, s, source, first, target):  # type: ignore[no-untyped-def]
    """Append the levels of a block from index `first` on to another block."""
    fill = ladder.overflow_fill[s, target]
    count = ladder.overflow_fill[s, source] - first
    for i in range(count):
        ladder.overflow_keys[s, target, fill + i] = ladder.overflow_keys[s, source, first + i]
        ladder.overflow_sizes[s, target, fill + i] = ladder.overflow_sizes[s, source, first + i]
        ladder.overflow_seen[s, target, fill + i] = ladder.overflow_seen[s, source, first + i]
    ladder.overflow_fill[s, target] = fill + count
    ladder.overflow_fill[s, source] = first


@kernel(types.void(LADDER, types.int64, types.int64, types.int64))
def _remove(ladder, s, place, at):  # type: ignore[no-untyped-def]
    """Take a level out, and join its block with a neighbour where that keeps the blocks few."""
    block = ladder.overflow_order[s, place]
    fill = ladder.overflow_fill[s, block] - 1
    for i in range(at, fill):
        ladder.overflow_keys[s, block, i] = ladder.overflow_keys[s, block, i + 1]
        ladder.overflow_sizes[s, block, i] = ladder.overflow_sizes[s, block, i + 1]
        ladder.overflow_seen[s, block, i] = ladder.overflow_seen[s, block, i + 1]
    ladder.overflow_fill[s, block] = fill
    if fill >= _FEW:
        return
    if fill == 0:
        _free_block(ladder, s, place)
        return
    # With the neighbour behind it or, if that one is too full, the one before it. Levels always move to the lower
    # block, so they are appended and keep their order.
    for left in (place, place - 1):
        if left < 0 or left + 1 >= ladder.overflow_blocks[s]:
            continue
        into, source = ladder.overflow_order[s, left], ladder.overflow_order[s, left + 1]
        if ladder.overflow_fill[s, into] + ladder.overflow_fill[s, source] <= _WELL_FILLED:
            _move_levels(ladder, s, source, 0, into)
            _free_block(ladder, s, left + 1)
            return


@kernel(types.boolean(LADDER, types.int64, types.int64, types.int64, types.int64))
def set_overflow_level(ladder, s, key, size, seen):  # type: ignore[no-untyped-def]
    """Set the absolute size of a level beyond the window, with a free block to split one; 0 removes the level.

    Returns:
        Whether the size changed.
    """
    place, at = 0, 0
    if ladder.overflow_blocks[s] > 0:
        place, at = overflow_position(ladder, s, key)
        block = ladder.overflow_order[s, place]
        if at < ladder.overflow_fill[s, block] and ladder.overflow_keys[s, block, at] == key:
            if size == 0:
                _remove(ladder, s, place, at)
                return True
            changed = ladder.overflow_sizes[s, block, at] != size
            ladder.overflow_sizes[s, block, at] = size
            ladder.overflow_seen[s, block, at] = seen
            return changed
    if size == 0:
        return False
    if ladder.overflow_blocks[s] == 0:
        _new_block(ladder, s, 0)
    block = ladder.overflow_order[s, place]
    # A full block gives its upper half to a new one behind it; then there is a free place in either.
    if ladder.overflow_fill[s, block] == BLOCK_LEVELS:
        upper = _new_block(ladder, s, place + 1)
        _move_levels(ladder, s, block, BLOCK_LEVELS // 2, upper)
        # At the boundary itself the level goes to the end of the lower half, where nothing has to be moved for it.
        if at > BLOCK_LEVELS // 2:
            at -= BLOCK_LEVELS // 2
            block = upper
    fill = ladder.overflow_fill[s, block]
    for i in range(fill, at, -1):
        ladder.overflow_keys[s, block, i] = ladder.overflow_keys[s, block, i - 1]
        ladder.overflow_sizes[s, block, i] = ladder.overflow_sizes[s, block, i - 1]
        ladder.overflow_seen[s, block, i] = ladder.overflow_seen[s, block, i - 1]
    ladder.overflow_keys[s, block, at] = key
    ladder.overflow_sizes[s, block, at] = size
    ladder.overflow_seen[s, block, at] = seen
    ladder.overflow_fill[s, block] = fill + 1
    return True
