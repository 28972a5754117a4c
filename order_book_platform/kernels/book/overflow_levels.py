"""The levels of a side that lie beyond its window: sorted blocks, in order of key.

A far level costs two binary searches and a move within one block, however many levels there are; a plain sorted array
would move half of them. The arrays are those of `arrays.Ladder`:

- `far_keys`, `far_sizes`, `far_seen` int64[2, P, B]: P blocks a side, each ascending by key,
- `far_fill` int64[2, P]: levels in each block,
- `far_order` int64[2, P]: a permutation of the blocks; the first `blocks[s]` of it are in use, in order of key.

A nearly empty block joins a neighbour where both fit well into one, so that n levels never hold more than 8·n/B + 2
blocks. The caller keeps blocks free (`ladder.has_room`); nothing here checks for room.
"""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.book.ladder_arrays import BLOCK_LEVELS, LADDER, NO_KEY
from order_book_platform.kernels.compiled import kernel

_FEW = BLOCK_LEVELS // 4
_WELL_FILLED = BLOCK_LEVELS * 3 // 4


@kernel(types.UniTuple(types.int64, 2)(LADDER, types.int64, types.int64))
def far_position(ladder, s, key):  # type: ignore[no-untyped-def]
    """Place in `far_order` and index in the block of the first far key ≥ key; the index may be the block's end."""
    low = 0
    high = ladder.blocks[s]
    while low < high:
        middle = (low + high) >> 1
        if ladder.far_keys[s, ladder.far_order[s, middle], 0] <= key:
            low = middle + 1
        else:
            high = middle
    place = max(low - 1, 0)
    block = ladder.far_order[s, place]
    low = 0
    high = ladder.far_fill[s, block]
    while low < high:
        middle = (low + high) >> 1
        if ladder.far_keys[s, block, middle] < key:
            low = middle + 1
        else:
            high = middle
    return place, low


@kernel(types.int64(LADDER, types.int64, types.int64))
def far_next_key(ladder, s, key):  # type: ignore[no-untyped-def]
    """Lowest far key ≥ key, or NO_KEY."""
    blocks = ladder.blocks[s]
    if blocks == 0:
        return NO_KEY
    place, at = far_position(ladder, s, key)
    if at == ladder.far_fill[s, ladder.far_order[s, place]]:
        place += 1
        at = 0
        if place == blocks:
            return NO_KEY
    return ladder.far_keys[s, ladder.far_order[s, place], at]


@kernel(types.UniTuple(types.int64, 2)(LADDER, types.int64, types.int64))
def far_level(ladder, s, key):  # type: ignore[no-untyped-def]
    """Size of a far level, 0 where there is none, and the message that last named it."""
    if ladder.blocks[s] > 0:
        place, at = far_position(ladder, s, key)
        block = ladder.far_order[s, place]
        if at < ladder.far_fill[s, block] and ladder.far_keys[s, block, at] == key:
            return ladder.far_sizes[s, block, at], ladder.far_seen[s, block, at]
    return 0, 0


@kernel(types.void(LADDER, types.int64, types.int64))
def _free_block(ladder, s, place):  # type: ignore[no-untyped-def]
    """Take an empty block out of the order."""
    blocks = ladder.blocks[s]
    block = ladder.far_order[s, place]
    for i in range(place, blocks - 1):
        ladder.far_order[s, i] = ladder.far_order[s, i + 1]
    ladder.far_order[s, blocks - 1] = block
    ladder.blocks[s] = blocks - 1


@kernel(types.int64(LADDER, types.int64, types.int64))
def _new_block(ladder, s, place):  # type: ignore[no-untyped-def]
    """Put a free block into the order and name it."""
    blocks = ladder.blocks[s]
    block = ladder.far_order[s, blocks]
    for i in range(blocks, place, -1):
        ladder.far_order[s, i] = ladder.far_order[s, i - 1]
    ladder.far_order[s, place] = block
    ladder.far_fill[s, block] = 0
    ladder.blocks[s] = blocks + 1
    return block


@kernel(types.void(LADDER, types.int64, types.int64, types.int64, types.int64))
def _move_levels(ladder, s, source, first, target):  # type: ignore[no-untyped-def]
    """Append the levels of a block from index `first` on to another block."""
    fill = ladder.far_fill[s, target]
    count = ladder.far_fill[s, source] - first
    for i in range(count):
        ladder.far_keys[s, target, fill + i] = ladder.far_keys[s, source, first + i]
        ladder.far_sizes[s, target, fill + i] = ladder.far_sizes[s, source, first + i]
        ladder.far_seen[s, target, fill + i] = ladder.far_seen[s, source, first + i]
    ladder.far_fill[s, target] = fill + count
    ladder.far_fill[s, source] = first


@kernel(types.void(LADDER, types.int64, types.int64, types.int64))
def _remove(ladder, s, place, at):  # type: ignore[no-untyped-def]
    """Take a level out, and keep the blocks few."""
    block = ladder.far_order[s, place]
    fill = ladder.far_fill[s, block] - 1
    for i in range(at, fill):
        ladder.far_keys[s, block, i] = ladder.far_keys[s, block, i + 1]
        ladder.far_sizes[s, block, i] = ladder.far_sizes[s, block, i + 1]
        ladder.far_seen[s, block, i] = ladder.far_seen[s, block, i + 1]
    ladder.far_fill[s, block] = fill
    if fill >= _FEW:
        return
    if fill == 0:
        _free_block(ladder, s, place)
        return
    for left in (place, place - 1):
        if left < 0 or left + 1 >= ladder.blocks[s]:
            continue
        into, source = ladder.far_order[s, left], ladder.far_order[s, left + 1]
        if ladder.far_fill[s, into] + ladder.far_fill[s, source] <= _WELL_FILLED:
            _move_levels(ladder, s, source, 0, into)
            _free_block(ladder, s, left + 1)
            return


@kernel(types.boolean(LADDER, types.int64, types.int64, types.int64, types.int64))
def set_far(ladder, s, key, size, seen):  # type: ignore[no-untyped-def]
    """Set the absolute size of a level beyond the window; 0 removes it.

    Returns:
        Whether anything but `seen` changed.
    """
    place, at = 0, 0
    if ladder.blocks[s] > 0:
        place, at = far_position(ladder, s, key)
        block = ladder.far_order[s, place]
        if at < ladder.far_fill[s, block] and ladder.far_keys[s, block, at] == key:
            if size == 0:
                _remove(ladder, s, place, at)
                return True
            changed = ladder.far_sizes[s, block, at] != size
            ladder.far_sizes[s, block, at] = size
            ladder.far_seen[s, block, at] = seen
            return changed
    if size == 0:
        return False
    if ladder.blocks[s] == 0:
        _new_block(ladder, s, 0)
    block = ladder.far_order[s, place]
    if ladder.far_fill[s, block] == BLOCK_LEVELS:
        upper = _new_block(ladder, s, place + 1)
        _move_levels(ladder, s, block, BLOCK_LEVELS // 2, upper)
        if at > BLOCK_LEVELS // 2:
            at -= BLOCK_LEVELS // 2
            block = upper
    fill = ladder.far_fill[s, block]
    for i in range(fill, at, -1):
        ladder.far_keys[s, block, i] = ladder.far_keys[s, block, i - 1]
        ladder.far_sizes[s, block, i] = ladder.far_sizes[s, block, i - 1]
        ladder.far_seen[s, block, i] = ladder.far_seen[s, block, i - 1]
    ladder.far_keys[s, block, at] = key
    ladder.far_sizes[s, block, at] = size
    ladder.far_seen[s, block, at] = seen
    ladder.far_fill[s, block] = fill + 1
    return True
