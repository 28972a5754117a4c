"""Comparing the sizes of one level between a book and a reference: relative difference and correlations.

All is done in one call that releases the GIL, so that two threads can take a level each. Ranks come from a radix sort,
since many columns of one length are sorted.
"""

from __future__ import annotations

import math

import numpy as np
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
    """Rank keys int64[n] from 1 in ascending order; equal keys share the average of their ranks.

    One stable pass for each digit, from the least significant one on. A digit that all keys share is passed over, so
    that keys of few significant bits cost few passes. The workspace is that of `compare_sizes`; float64[n] `ranks` is
    written.
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


L1, PEARSON, SPEARMAN, PEARSON_STEPS, SPEARMAN_STEPS = range(5)
RESULTS = 5
"""Columns of the results: Σ|difference| over Σ of the reference; correlations of sizes, Pearson's of their logs and
Spearman's of their ranks; the same correlations of the differences from row to row. Spearman's follows Pearson's."""
PAIRS, STEPS = range(2)
"""Columns of the numbers: rows compared, and differences between neighbouring rows."""

_X, _Y, _LOG_X, _LOG_Y, _RANK_X, _RANK_Y = range(6)
WORKSPACE_ROWS = 6
"""Rows of the workspace: values and logs of book and reference, and the ranks of the values."""

_COLUMN = types.Array(types.float64, 1, "A", readonly=True)
_ROW = types.Array(types.float64, 1, "C", readonly=True)
_MARKS = types.Array(types.boolean, 1, "A", readonly=True)
_LARGEST = np.int64(np.iinfo(np.int64).max)


@kernel(types.boolean(_ROW))
def varies(values):  # type: ignore[no-untyped-def]
    """Tell whether a float64[n] holds more than one value."""
    i = 1
    while i < values.shape[0] and values[i] == values[0]:
        i += 1
    return i < values.shape[0]


@kernel(types.float64(_ROW, _ROW))
def pearson(x, y):  # type: ignore[no-untyped-def]
    """Compute Pearson's correlation of a float64[n] with another.

    Deviations are taken from the means first, since sums of squares of large numbers would cancel.

    Returns:
        −1 … 1; NaN where either holds a single value, and for n below 2.
    """
    if not varies(x) or not varies(y):
        return math.nan
    n = x.shape[0]
    mean_x = mean_y = 0.0
    for i in range(n):
        mean_x += x[i]
        mean_y += y[i]
    mean_x /= n
    mean_y /= n
    xx = yy = xy = 0.0
    for i in range(n):
        dx, dy = x[i] - mean_x, y[i] - mean_y
        xx += dx * dx
        yy += dy * dy
        xy += dx * dy
    # Rounding may carry the quotient a little beyond 1.
    spread = math.sqrt(xx * yy)
    return min(1.0, max(-1.0, xy / spread)) if spread > 0.0 else math.nan


@kernel(types.void(_ROW, types.int64[::1], types.int64[:, :, ::1], types.int64[:, ::1], types.float64[::1]))
def rank_floats(values, keys, sorted_keys, counts, ranks):  # type: ignore[no-untyped-def]
    """Write the average ranks of float64[n] without NaN; the other arrays are those of `ranks.average_ranks`."""
    for i in range(values.shape[0]):
        # As integers, the bits of a float sort as the float does where it is positive, and the other way round where it
        # is negative, so those are inverted. Adding 0 makes −0 and 0 one value.
        bits = np.float64(values[i] + 0.0).view(np.int64)
        keys[i] = bits ^ ((bits >> 63) & _LARGEST)
    average_ranks(keys, sorted_keys, counts, ranks)


@kernel(
    types.void(
        *(types.float64[:, ::1], types.boolean, types.int64),
        *(types.int64[::1], types.int64[:, :, ::1], types.int64[:, ::1]),
        *(types.float64[::1], types.int64),
    )
)
def correlate(workspace, same, n, keys, sorted_keys, counts, results, first):  # type: ignore[no-untyped-def]
    """Write Pearson's correlation of the first n logs, and Spearman's of the first n values, at `first` and after it.

    The arrays are those of `compare_sizes`. `same` says that both series are equal; either correlation is then 1, or
    NaN where the series holds a single value, and nothing is ranked.
    """
    if same:
        results[first] = 1.0 if varies(workspace[_LOG_X, :n]) else math.nan
        results[first + 1] = 1.0 if varies(workspace[_X, :n]) else math.nan
        return
    results[first] = pearson(workspace[_LOG_X, :n], workspace[_LOG_Y, :n])
    rank_floats(workspace[_X, :n], keys[:n], sorted_keys, counts, workspace[_RANK_X, :n])
    rank_floats(workspace[_Y, :n], keys[:n], sorted_keys, counts, workspace[_RANK_Y, :n])
    results[first + 1] = pearson(workspace[_RANK_X, :n], workspace[_RANK_Y, :n])


@kernel(
    types.void(
        *(_COLUMN, _COLUMN, _COLUMN, _COLUMN, _MARKS),
        *(types.float64[:, ::1], types.int64[::1], types.int64[:, :, ::1], types.int64[:, ::1]),
        *(types.float64[::1], types.int64[::1]),
    )
)
def compare_sizes(  # type: ignore[no-untyped-def]
    ours, theirs, our_logs, their_logs, both, workspace, keys, sorted_keys, counts, results, numbers
):
    """Compare the sizes of a level in the rows in which the book and the reference have it.

    Args:
        ours, theirs: float64[n], sizes in the book and in the reference.
        our_logs, their_logs: float64[n], log1p of them.
        both: bool[n], whether the book knows the level and the reference has it.
        workspace: float64[WORKSPACE_ROWS, n], the caller's, as the three that follow.
        keys: int64[n], workspace.
        sorted_keys: int64[2, 2, at least n], workspace: keys and their rows, as two buffers.
        counts: int64[DIGITS, DIGIT_VALUES], workspace.
        results: float64[RESULTS], the caller's; written, NaN where a value cannot be measured.
        numbers: int64[2], the caller's; written: rows compared, and differences between neighbouring rows.
    """
    n = 0
    difference = total = 0.0
    same = True
    for i in range(both.shape[0]):
        if both[i]:
            workspace[_X, n], workspace[_Y, n] = ours[i], theirs[i]
            workspace[_LOG_X, n], workspace[_LOG_Y, n] = our_logs[i], their_logs[i]
            # Where both sides are equal everywhere, which is noticed on the way, nothing has to be ranked.
            same = same and ours[i] == theirs[i]
            difference += abs(ours[i] - theirs[i])
            total += theirs[i]
            n += 1
    numbers[PAIRS] = n
    results[L1] = difference / total if total > 0.0 else math.nan
    correlate(workspace, same, n, keys, sorted_keys, counts, results, PEARSON)
    # Differences only between rows that follow one another: over a row without the level, the step is not known.
    n = 0
    for i in range(both.shape[0] - 1):
        if both[i] and both[i + 1]:
            workspace[_X, n], workspace[_Y, n] = ours[i + 1] - ours[i], theirs[i + 1] - theirs[i]
            workspace[_LOG_X, n], workspace[_LOG_Y, n] = (
                our_logs[i + 1] - our_logs[i],
                their_logs[i + 1] - their_logs[i],
            )
            n += 1
    numbers[STEPS] = n
    correlate(workspace, same, n, keys, sorted_keys, counts, results, PEARSON_STEPS)
