"""Columns as they are read: floats to pips, an audit of deltas, defects of snapshots.

`model.fixed_point.float_to_pips` states the rules and the limit of exact conversion.
"""

from __future__ import annotations

import math
from enum import IntEnum

import numpy as np
from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.arrays import MISSING_PIPS

_F8_IN = types.Array(types.float64, 1, "C", readonly=True)


@kernel(types.UniTuple(types.int64, 3)(_F8_IN, types.float64, types.float64, types.int64[::1]))
def to_pips(values, scale, limit, pips):  # type: ignore[no-untyped-def]
    """Convert a column of floats to the nearest pips in one pass: 1.3 ns a value, where steps of numpy take 7.

    Args:
        values: float64[n].
        scale: pips of 1, a power of ten.
        limit: largest number of pips, positive or negative, that converts exactly.
        pips: int64[n], the caller's; written up to the first value that cannot be converted.

    Returns:
        Index of the first value that is not finite or beyond the limit, n if there is none; how many values before it
        are off the grid; index of the first of these, n if there is none.
    """
    n = values.shape[0]
    off_grid, first_off_grid = 0, n
    for i in range(n):
        rounded = np.rint(values[i] * scale)
        if not abs(rounded) <= limit:  # negated, so that NaN is found, too
            return i, off_grid, first_off_grid
        pips[i] = np.int64(rounded)
        # A float is on the grid exactly if it is the nearest one to its pips, which the division gives.
        if rounded / scale != values[i]:
            if off_grid == 0:
                first_off_grid = i
            off_grid += 1
    return n, off_grid, first_off_grid


@kernel(types.void(_F8_IN, types.float64, types.float64, types.int64[::1], types.boolean[::1]))
def levels_to_pips(values, scale, limit, pips, wrong):  # type: ignore[no-untyped-def]
    """Convert prices or sizes of levels to pips as `to_pips` does, where NaN stands for no level.

    Args:
        values, scale, limit: see `to_pips`.
        pips: int64[n], the caller's; written, `MISSING_PIPS` where there is no level or one that cannot be converted.
        wrong: bool[n], the caller's; written: whether the value is not above 0, beyond the limit, or off the grid.
    """
    for i in range(values.shape[0]):
        value = values[i]
        scaled = value * scale
        pips[i] = MISSING_PIPS
        wrong[i] = False
        if value > 0 and scaled <= limit:
            rounded = np.rint(scaled)
            pips[i] = np.int64(rounded)
            wrong[i] = rounded / scale != value
        elif not np.isnan(value):
            wrong[i] = True


_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_B1_IN = types.Array(types.boolean, 1, "C", readonly=True)
_I8 = types.int64[::1]

MESSAGES, LONGEST, DELETIONS, DUPLICATES, REPEATED_LEVELS, ORIGIN_BACK = range(6)
"""Columns of the counts: messages; rows of the longest one; rows of size 0; rows that repeat another one of their
message in every column; rows that set a level of their message again; messages with an earlier origin time than the one
before."""
FIRST_ORIGIN, LAST_ORIGIN, FIRST_RECEIVED, LAST_RECEIVED = range(6, 10)
"""Earliest and latest times, ns. Origin times of 0 or less are left out, and 0 stands for none."""
SMALLEST_PRICE, LARGEST_PRICE, LARGEST_SIZE = range(10, 13)
"""Extremes of encoded prices and sizes."""
LAST_MESSAGE_ORIGIN = 13
"""Origin time of the last message, ns, which the first message of the next batch is compared with."""
AUDIT_COUNTS = 14


@kernel(types.void(_I8_IN, _I8_IN, _B1_IN, _I8_IN, _I8_IN, types.int64, types.int64, _I8, _I8, _I8))
def count_repetitions(  # type: ignore[no-untyped-def]
    origin_time, received_time, is_bid, keys, encoded_size, first, end, slots, owners, counts
):
    """Count exact duplicate rows, and levels set more than once, in the message of rows `first` … `end` − 1.

    A small hash table over side and price finds both without sorting. A slot belongs to the message whose first row
    `owners` names, so nothing has to be cleared between messages. The arrays are those of `audit_messages`.
    """
    mask = slots.shape[0] - 1
    for i in range(first, end):
        # The product stays below 2**61, so that it also holds without wrapping when the loop is not compiled.
        slot = ((((keys[i] >> 6) & 0x7FFFFFFF) * 0x3C6EF372) >> 20) & mask
        # A slot of an earlier message counts as empty. Otherwise the next slot is tried, until the level or an empty
        # one.
        while owners[slot] == first and not (
            keys[slots[slot]] == keys[i] and is_bid[slots[slot]] == is_bid[i]
        ):
            slot = (slot + 1) & mask
        if owners[slot] == first:
            seen = slots[slot]
            # Side and price are equal; a row that repeats all else too is a duplicate, any other sets the level again.
            same = encoded_size[seen] == encoded_size[i] and origin_time[seen] == origin_time[i]
            if same and received_time[seen] == received_time[i]:
                counts[DUPLICATES] += 1
            else:
                counts[REPEATED_LEVELS] += 1
        owners[slot] = first
        slots[slot] = i


@kernel(types.boolean(_B1_IN, _I8_IN, types.int64, types.int64), forceinline=True)
def names_levels_once(is_bid, keys, first, end):  # type: ignore[no-untyped-def]
    """Tell whether the prices of each side of a message only rise or only fall, so that no level can come twice."""
    last_bid = last_ask = 0
    bids = asks = 0  # 0: no row of the side yet; 1: one; 2: rising; 3: falling
    for i in range(first, end):
        key = keys[i]
        if is_bid[i]:
            way = 1 if bids == 0 else (2 if key > last_bid else 3)
            if bids != 0 and (key == last_bid or (bids > 1 and bids != way)):
                return False
            bids, last_bid = way, key
        else:
            way = 1 if asks == 0 else (2 if key > last_ask else 3)
            if asks != 0 and (key == last_ask or (asks > 1 and asks != way)):
                return False
            asks, last_ask = way, key
    return True


@kernel(
    types.int64(_I8_IN, _I8_IN, _I8_IN, _B1_IN, _I8_IN, _I8_IN, _I8_IN, types.int64, _I8, _I8, _I8),
)
def audit_messages(  # type: ignore[no-untyped-def]
    origin_time,
    received_time,
    sequence,
    is_bid,
    encoded_price,
    keys,
    encoded_size,
    row,
    slots,
    owners,
    counts,
):
    """Count messages and what is odd about them, and keep extremes.

    Nearly every message names its levels in order of price, which shows by itself that none comes twice. Only the
    others go through the hash table: 5 ns a row for everything here, and 18 ns if all messages went through it.

    Args:
        origin_time, received_time: int64[n], ns; like all columns, of whole messages.
        sequence: int64[n], sequence numbers; a message is a run of equal ones.
        is_bid: bool[n].
        encoded_price, encoded_size: int64[n].
        keys: int64[n], which differ exactly where prices do.
        row: where to begin, the first row of a message.
        slots: int64[T], workspace of the caller, T a power of two: the row last seen in each slot.
        owners: int64[T], workspace of the caller: first row of the message that uses the slot; filled with −1 for each
            batch.
        counts: int64[AUDIT_COUNTS], the caller's, zeros before the first batch; changed.

    Returns:
        n; or the first row of a message of T / 2 rows or more that needs the table. The caller makes the table larger
        and calls again with that row; the messages before it have been counted.
    """
    n = sequence.shape[0]
    while row < n:
        end = row + 1
        while end < n and sequence[end] == sequence[row]:
            end += 1
        if not names_levels_once(is_bid, keys, row, end):
            # The table is at most half full, so that chains of taken slots stay short.
            if 2 * (end - row) >= slots.shape[0]:
                return row
            count_repetitions(
                origin_time, received_time, is_bid, keys, encoded_size, row, end, slots, owners, counts
            )
        if counts[MESSAGES] == 0:
            counts[FIRST_RECEIVED] = counts[LAST_RECEIVED] = received_time[row]
            counts[SMALLEST_PRICE] = counts[LARGEST_PRICE] = encoded_price[row]
        elif origin_time[row] < counts[LAST_MESSAGE_ORIGIN]:
            counts[ORIGIN_BACK] += 1
        counts[LAST_MESSAGE_ORIGIN] = origin_time[row]
        # In local variables, because values in `counts` would be written to memory and read again for each row.
        first_origin, last_origin = counts[FIRST_ORIGIN], counts[LAST_ORIGIN]
        first_received, last_received = counts[FIRST_RECEIVED], counts[LAST_RECEIVED]
        smallest_price, largest_price = counts[SMALLEST_PRICE], counts[LARGEST_PRICE]
        largest_size, deletions = counts[LARGEST_SIZE], 0
        for i in range(row, end):
            origin = origin_time[i]
            if origin > 0 and (origin < first_origin or first_origin == 0):
                first_origin = origin
            last_origin = max(last_origin, origin)
            first_received = min(first_received, received_time[i])
            last_received = max(last_received, received_time[i])
            smallest_price = min(smallest_price, encoded_price[i])
            largest_price = max(largest_price, encoded_price[i])
            largest_size = max(largest_size, encoded_size[i])
            deletions += encoded_size[i] == 0
        counts[FIRST_ORIGIN], counts[LAST_ORIGIN] = first_origin, last_origin
        counts[FIRST_RECEIVED], counts[LAST_RECEIVED] = first_received, last_received
        counts[SMALLEST_PRICE], counts[LARGEST_PRICE] = smallest_price, largest_price
        counts[LARGEST_SIZE] = largest_size
        counts[DELETIONS] += deletions
        counts[MESSAGES] += 1
        counts[LONGEST] = max(counts[LONGEST], end - row)
        row = end
    return n


_LEVELS = types.Array(types.int64, 3, "C", readonly=True)


class SnapshotDefect(IntEnum):
    """Reason why a snapshot fails its quality gate; the first one that applies."""

    NONE = 0
    EMPTY_SIDE = 1
    """A side has no level, or the row could not be read as levels at all."""
    UNSORTED = 2
    """Prices of a side do not get strictly worse."""
    CROSSED = 3
    """Best bid at or above best ask."""
    OFF_TICK = 4
    """A price is not a multiple of the deltas' tick."""
    BAD_SIZE = 5
    """A level's size is not above 0."""


_NONE, _EMPTY_SIDE, _UNSORTED, _CROSSED, _OFF_TICK, _BAD_SIZE = (int(defect) for defect in SnapshotDefect)


@kernel(types.boolean(_LEVELS, types.int64, types.int64))
def is_off_tick(price, row, tick):  # type: ignore[no-untyped-def]
    """Tell whether any price of the snapshot in `row` is not a whole number of ticks, by the remainder."""
    for s in range(2):
        for k in range(price.shape[2]):
            if price[row, s, k] != MISSING_PIPS and price[row, s, k] % tick != 0:
                return True
    return False


@kernel(types.void(_LEVELS, _LEVELS, types.int64, types.uint8[::1]))
def find_defects(price, size, tick, defects):  # type: ignore[no-untyped-def]
    """Write the defect of each snapshot: of those that apply, the first in the order of `SnapshotDefect`.

    Prices and sizes are encoded, int64[n, 2, K], `MISSING_PIPS` where there is no level; the tick is above 0. `defects`
    is uint8[n], the caller's.
    """
    inverse = 1.0 / tick
    for r in range(price.shape[0]):
        unsorted = off_tick = bad_size = 0
        for s in range(2):
            sign = -1 if s == 0 else 1
            for k in range(price.shape[2]):
                level_price = price[r, s, k]
                present = level_price != MISSING_PIPS
                bad_size |= int(present and size[r, s, k] <= 0)
                # A remainder would take three times as long. Where floats are coarse, the product may call a price off
                # the tick that is on it, and never the reverse; so the remainder is asked only of those.
                off_tick |= int(present and level_price != math.floor(level_price * inverse + 0.5) * tick)
                if k > 0:
                    unsorted |= int(present and (level_price - price[r, s, k - 1]) * sign <= 0)
        # The defects are collected without branches first, since nearly every snapshot has none.
        if off_tick:
            off_tick = is_off_tick(price, r, tick)
        if price.shape[2] == 0 or price[r, 0, 0] == MISSING_PIPS or price[r, 1, 0] == MISSING_PIPS:
            defects[r] = _EMPTY_SIDE
        elif unsorted:
            defects[r] = _UNSORTED
        elif price[r, 0, 0] >= price[r, 1, 0]:
            defects[r] = _CROSSED
        elif off_tick:
            defects[r] = _OFF_TICK
        elif bad_size:
            defects[r] = _BAD_SIZE
        else:
            defects[r] = _NONE
