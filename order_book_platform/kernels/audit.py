"""Counting what is odd about a batch of deltas, in one pass."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_B1_IN = types.Array(types.boolean, 1, "C", readonly=True)

DUPLICATES, REPEATED_LEVELS, DELETIONS = range(3)
AUDIT_COUNTS = 3


@kernel(types.int64(_I8_IN, types.int64))
def common_divisor(values, start):  # type: ignore[no-untyped-def]
    """Greatest common divisor of `start` (0: none yet) and all values; 0 if everything is 0."""
    divisor = start
    for i in range(values.shape[0]):
        value = values[i]
        if divisor != 0:
            value %= divisor
        if value != 0:
            other = divisor
            while other != 0:
                value, other = other, value % other
            divisor = value
    return divisor


@kernel(
    types.void(
        _I8_IN, _I8_IN, _I8_IN, _B1_IN, _I8_IN, _I8_IN, types.int64[::1], types.int64[::1], types.int64[::1]
    )
)
def audit_messages(  # type: ignore[no-untyped-def]
    origin_time, received_time, sequence, is_bid, price_pips, size_pips, slots, owners, counts
):
    """Count deletions, exact duplicate rows, and levels set more than once in a message.

    A small hash table over one message's (side, price) finds both kinds of repetition without sorting; a slot belongs
    to the message whose first row it names, so nothing has to be cleared between messages.

    Args:
        origin_time … size_pips: [n], whole messages.
        slots: int64[T], T a power of two above twice the longest message; row last seen in the slot.
        owners: int64[T]: first row of the message that uses the slot; filled with −1.
        counts: int64[AUDIT_COUNTS], added to.
    """
    mask = slots.shape[0] - 1
    first = 0
    for i in range(sequence.shape[0]):
        if i == 0 or sequence[i] != sequence[i - 1]:
            first = i
        if size_pips[i] == 0:
            counts[DELETIONS] += 1
        # The product stays below 2**61, so that it also holds without wrapping when the loop is not compiled.
        slot = ((((price_pips[i] >> 6) & 0x7FFFFFFF) * 0x3C6EF372) >> 20) & mask
        while owners[slot] == first and not (
            price_pips[slots[slot]] == price_pips[i] and is_bid[slots[slot]] == is_bid[i]
        ):
            slot = (slot + 1) & mask
        if owners[slot] == first:
            seen = slots[slot]
            same = size_pips[seen] == size_pips[i] and origin_time[seen] == origin_time[i]
            if same and received_time[seen] == received_time[i]:
                counts[DUPLICATES] += 1
            else:
                counts[REPEATED_LEVELS] += 1
        owners[slot] = first
        slots[slot] = i
