"""Looking over a batch before anything is done with it: where messages start, and whether its numbers can be right."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.book.bits import exact_quotient
from order_book_platform.kernels.compiled import kernel

_I8_IN = types.Array(types.int64, 1, "C", readonly=True)


@kernel(types.int64(_I8_IN, types.int64[::1]))
def find_messages(sequence_number, starts):  # type: ignore[no-untyped-def]
    """Where each message starts.

    Args:
        sequence_number: int64[n], n ≥ 1.
        starts: int64[n + 1], written: first row of each message, then n.

    Returns:
        Number of messages, or −1 − row where the sequence number is smaller than the one before.
    """
    n = sequence_number.shape[0]
    messages = 0
    previous = sequence_number[0] - 1
    back = False
    for i in range(n):
        number = sequence_number[i]
        starts[messages] = i
        # One more if this row starts a message; else the next row writes over what was just written. Messages of any
        # length cost the same.
        messages += number != previous
        back |= number < previous
        previous = number
    if back:
        for i in range(1, n):
            if sequence_number[i] < sequence_number[i - 1]:
                return -1 - i
    starts[messages] = n
    return messages


@kernel(types.int64(_I8_IN, _I8_IN, types.uint64, types.int64, types.int64))
def find_bad_level(encoded_price, encoded_size, inverse, twos, largest_tick):  # type: ignore[no-untyped-def]
    """First row whose price is not a positive multiple of the step, or too large, or whose size is negative; −1: none.

    Args:
        encoded_price, encoded_size: int64[n].
        inverse, twos: `bits.divisor_inverse` of the step.
        largest_tick: highest tick allowed.
    """
    n = encoded_price.shape[0]
    bad = False
    for i in range(n):
        # What the step does not divide comes out negative or far too large.
        tick = exact_quotient(encoded_price[i], inverse, twos)
        bad |= (tick < 1) | (tick > largest_tick) | (encoded_size[i] < 0)
    if bad:
        for i in range(n):
            tick = exact_quotient(encoded_price[i], inverse, twos)
            if tick < 1 or tick > largest_tick or encoded_size[i] < 0:
                return i
    return -1
