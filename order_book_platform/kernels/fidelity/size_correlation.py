"""Comparing the sizes of one level between a book and a reference: relative difference and correlations.

All is done in one call that releases the GIL, so that two threads can take a level each.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.fidelity.ranks import average_ranks

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

    Args:
        workspace: float64[WORKSPACE_ROWS, at least n]: values and logs are read, ranks written.
        same: whether both series are equal; either correlation is then 1, or NaN where the series holds a single value,
            and nothing is ranked.
        n: length of the series.
        keys: int64[at least n], workspace.
        sorted_keys, counts: workspace of `ranks.average_ranks`.
        results: float64[RESULTS], written at `first` and `first` + 1.
        first: PEARSON or PEARSON_STEPS.
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
        ours: float64[n], sizes in the book.
        theirs: float64[n], sizes in the reference.
        our_logs: float64[n], log1p of `ours`.
        their_logs: float64[n], log1p of `theirs`.
        both: bool[n], whether the book knows the level and the reference has it.
        workspace: float64[WORKSPACE_ROWS, n], the caller's, as the three that follow.
        keys: int64[n], workspace.
        sorted_keys: int64[2, 2, n], workspace.
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
