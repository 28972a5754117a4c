"""Average ranks of a column by a radix sort, for rank correlations, which sort many columns of one length."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

DIGIT_BITS = 11
DIGITS = 6
"""Digits of a key, the least significant first; 6 digits of 11 bits are 64 bits and two to spare."""
DIGIT_VALUES = 1 << DIGIT_BITS
"""Values of a digit, which is the length of a table of counts; one of int64 is 16 KB and stays in the L1 cache."""

_MASK = DIGIT_VALUES - 1
_NEGATIVE = DIGIT_VALUES >> 1
_KEYS = types.Array(types.int64, 1, "C", readonly=True)


@kernel(types.void(_KEYS, types.int64[:, :, ::1], types.int64[:, ::1], types.float64[::1]))
def average_ranks(keys, sorted_keys, counts, ranks):  # type: ignore[no-untyped-def]
    """Rank keys from 1 in ascending order; equal keys share the average of their ranks.

    One stable pass for each digit, from the least significant one on. A digit that all keys share is passed over, so
    that keys of few significant bits cost few passes.

    Args:
        keys: int64[n].
        sorted_keys: int64[2, 2, m], m at least n, workspace of the caller: keys and their rows, as two buffers.
        counts: int64[DIGITS, DIGIT_VALUES], workspace of the caller.
        ranks: float64[n], the caller's; written.
    """
    n = keys.shape[0]
    counts[:] = 0
    # The counts of all digits in one pass over the keys: they do not depend on the order.
    for i in range(n):
        sorted_keys[0, 0, i] = keys[i]
        sorted_keys[0, 1, i] = i
        for d in range(DIGITS):
            counts[d, (keys[i] >> (d * DIGIT_BITS)) & _MASK] += 1
    here = 0
    for d in range(DIGITS):
        # The right shift of a negative key brings in ones, so the upper half of the top digit's values belongs to the
        # keys below 0 and comes first.
        turn = _NEGATIVE if d == DIGITS - 1 else 0
        shared = False
        place = 0
        for value in range(DIGIT_VALUES):
            found = counts[d, value ^ turn]
            shared = shared or found == n
            counts[d, value ^ turn] = place
            place += found
        if shared:
            continue
        # Keys of one digit keep their order, which is that of the lower digits.
        for i in range(n):
            key = sorted_keys[here, 0, i]
            digit = (key >> (d * DIGIT_BITS)) & _MASK
            place = counts[d, digit]
            counts[d, digit] = place + 1
            sorted_keys[1 - here, 0, place] = key
            sorted_keys[1 - here, 1, place] = sorted_keys[here, 1, i]
        here = 1 - here
    first = 0
    while first < n:
        last = first
        while last < n and sorted_keys[here, 0, last] == sorted_keys[here, 0, first]:
            last += 1
        for i in range(first, last):
            # The mean of the ranks first + 1 … last, exact in a float.
            ranks[sorted_keys[here, 1, i]] = last - (last - first - 1) / 2
        first = last
