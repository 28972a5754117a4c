"""The levels of the simulated market: sizes by coordinate, with one bit a level; see `market_arrays`."""

from __future__ import annotations

import numpy as np

from order_book_platform.kernels.book.bits import lowest_bit
from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.simulation.market_arrays import (
    I8,
    I8_2,
    STATE_TOUCHED_BIDS,
    U8_2,
)

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel("int64(uint64[:, ::1], int64, int64, int64)")
def next_level(bits, side, start, stop):  # type: ignore[no-untyped-def]
    """Give the first occupied coordinate of a side in `start` … `stop`, both included, or −1 where there is none.

    The search goes word by word; there is no summary of the words as `book.ladder` has one.

    Args:
        bits: uint64[4, ticks/64]; row `side` is read.
        side: 0 or 1.
        start: coordinate, at least 0.
        stop: coordinate, which may lie beyond the ladder.
    """
    stop = min(stop, bits.shape[1] * 64 - 1)
    if start > stop:
        return -1
    index = start >> 6
    word = bits[side, index] & (_ALL << np.uint64(start & 63))
    while word == _ZERO:
        index += 1
        if index << 6 > stop:
            return -1
        word = bits[side, index]
    found = (index << 6) + lowest_bit(word)
    return found if found <= stop else -1


@kernel(f"void({I8}, {I8_2}, {U8_2}, {I8_2}, int64, int64, int64)")
def set_level(state, sizes, bits, touched, side, coordinate, lots):  # type: ignore[no-untyped-def]
    """Set the size of one level (0 removes it) and remember that the present message has touched it.

    Args:
        state: int64[STATE_FIELDS]; its number of touched levels is changed.
        sizes: int64[2, ticks], lots; changed.
        bits: uint64[4, ticks/64]; changed.
        touched: int64[2, 2·MAX_ROWS]; the coordinate is appended, the first time in a message.
        side: 0 or 1.
        coordinate: of the level.
        lots: new size.
    """
    bit = _ONE << np.uint64(coordinate & 63)
    sizes[side, coordinate] = lots
    if lots > 0:
        bits[side, coordinate >> 6] |= bit
    else:
        bits[side, coordinate >> 6] &= ~bit
    # A level is listed once a message, however often it changes: the message shows its last size.
    if bits[2 + side, coordinate >> 6] & bit == _ZERO:
        bits[2 + side, coordinate >> 6] |= bit
        touched[side, state[STATE_TOUCHED_BIDS + side]] = coordinate
        state[STATE_TOUCHED_BIDS + side] += 1
