"""Ranks, by a radix sort: a statistic over many columns of one length sorts nothing else."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

DIGIT_BITS = 11
DIGITS = 6
"""Digits of a key, the least significant first; 6 of 11 bits are 64 bits and two to spare."""
DIGIT_VALUES = 1 << DIGIT_BITS

_MASK = DIGIT_VALUES - 1
_NEGATIVE = DIGIT_VALUES >> 1
_KEYS = types.Array(types.int64, 1, "C", readonly=True)


@kernel(types.void(_KEYS, types.int64[:, :, ::1], types.int64[:, ::1], types.float64[::1]))
def average_ranks(keys, sorted_keys, counts, ranks):  # type: ignore[no-untyped-def]
    """Rank keys from 1 in ascending order; equal keys share the average of their ranks.

    Six stable passes, one per digit; a digit that all keys share is passed over, so that keys of few significant bits
    cost few passes.

    Args:
        keys: int64[n].
        sorted_keys: int64[2, 2, m], m at least n, room to work in.
        counts: int64[DIGITS, DIGIT_VALUES], room to work in.
        ranks: float64[n], written.
    """
    n = keys.shape[0]
    counts[:] = 0
    for i in range(n):
        sorted_keys[0, 0, i] = keys[i]
        sorted_keys[0, 1, i] = i
        for d in range(DIGITS):
            counts[d, (keys[i] >> (d * DIGIT_BITS)) & _MASK] += 1
    here = 0
    for d in range(DIGITS):
        # The top digit is shifted in with the sign: its upper half is that of keys below 0, and comes first.
        turn = _NEGATIVE if d == DIGITS - 1 else 0
        whole = False
        place = 0
        for value in range(DIGIT_VALUES):
            found = counts[d, value ^ turn]
            whole = whole or found == n
            counts[d, value ^ turn] = place
            place += found
        if whole:
            continue
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
            ranks[sorted_keys[here, 1, i]] = last - (last - first - 1) / 2
        first = last
