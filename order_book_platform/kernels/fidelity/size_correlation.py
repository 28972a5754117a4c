"""How the sizes of a level compare between a book and a reference: one call, so that two threads take a level each."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.fidelity.ranks import average_ranks

L1, PEARSON, SPEARMAN, PEARSON_STEPS, SPEARMAN_STEPS = range(5)
FIGURES = 5
"""Places of the figures; Spearman's correlation follows Pearson's."""
PAIRS, STEPS = range(2)

_X, _Y, _LOG_X, _LOG_Y, _RANK_X, _RANK_Y = range(6)
ROOM_ROWS = 6
"""Rows of floats that are worked in."""

_COLUMN = types.Array(types.float64, 1, "A", readonly=True)
_ROW = types.Array(types.float64, 1, "C", readonly=True)
_MARKS = types.Array(types.boolean, 1, "A", readonly=True)
_LARGEST = np.int64(np.iinfo(np.int64).max)


@kernel(types.boolean(_ROW))
def changes(values):  # type: ignore[no-untyped-def]
    """Whether not all are one."""
    i = 1
    while i < values.shape[0] and values[i] == values[0]:
        i += 1
    return i < values.shape[0]


@kernel(types.float64(_ROW, _ROW))
def pearson(x, y):  # type: ignore[no-untyped-def]
    """Pearson's correlation of float64[n] with float64[n]; NaN where either never changes, and for n < 2."""
    if not changes(x) or not changes(y):
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
    spread = math.sqrt(xx * yy)
    return min(1.0, max(-1.0, xy / spread)) if spread > 0.0 else math.nan


@kernel(types.void(_ROW, types.int64[::1], types.int64[:, :, ::1], types.int64[:, ::1], types.float64[::1]))
def rank(values, keys, sorting, counts, ranks):  # type: ignore[no-untyped-def]
    """Average ranks of floats, none of them NaN; see `kernels.ranks`."""
    for i in range(values.shape[0]):
        # A float's bits sort as it does where it is at least 0, the other way round below; 0 and −0 are one value.
        bits = np.float64(values[i] + 0.0).view(np.int64)
        keys[i] = bits ^ ((bits >> 63) & _LARGEST)
    average_ranks(keys, sorting, counts, ranks)


@kernel(
    types.void(
        *(types.float64[:, ::1], types.boolean, types.int64),
        *(types.int64[::1], types.int64[:, :, ::1], types.int64[:, ::1]),
        *(types.float64[::1], types.int64),
    )
)
def correlate(room, same, n, keys, sorting, counts, figures, first):  # type: ignore[no-untyped-def]
    """Write Pearson's correlation of the first n logs and Spearman's of the first n values at `first` and after it.

    Of a series with itself, if it changes at all, either is 1.
    """
    if same:
        figures[first] = 1.0 if changes(room[_LOG_X, :n]) else math.nan
        figures[first + 1] = 1.0 if changes(room[_X, :n]) else math.nan
        return
    figures[first] = pearson(room[_LOG_X, :n], room[_LOG_Y, :n])
    rank(room[_X, :n], keys[:n], sorting, counts, room[_RANK_X, :n])
    rank(room[_Y, :n], keys[:n], sorting, counts, room[_RANK_Y, :n])
    figures[first + 1] = pearson(room[_RANK_X, :n], room[_RANK_Y, :n])


@kernel(
    types.void(
        *(_COLUMN, _COLUMN, _COLUMN, _COLUMN, _MARKS),
        *(types.float64[:, ::1], types.int64[::1], types.int64[:, :, ::1], types.int64[:, ::1]),
        *(types.float64[::1], types.int64[::1]),
    )
)
def compare_sizes(  # type: ignore[no-untyped-def]
    ours, theirs, our_logs, their_logs, both, room, keys, sorting, counts, figures, numbers
):
    """Compare the sizes of a level in the rows that have it on both sides.

    Args:
        ours: float64[n], sizes in the book.
        theirs: float64[n], sizes in the reference.
        our_logs: float64[n], their log1p.
        their_logs: float64[n].
        both: bool[n], where the book knows the level and the reference has it.
        room: float64[ROOM_ROWS, n], room to work in.
        keys: int64[n], the same.
        sorting: int64[2, 2, n], the same.
        counts: int64[DIGITS, DIGIT_VALUES], the same.
        figures: float64[FIGURES], written: Σ|difference| over Σ of the reference, correlations of logs and of ranks,
            and these of the differences between a row and the next; NaN where one cannot be measured.
        numbers: int64[2], written: rows, and differences.
    """
    n = 0
    apart = whole = 0.0
    same = True
    for i in range(both.shape[0]):
        if both[i]:
            room[_X, n], room[_Y, n] = ours[i], theirs[i]
            room[_LOG_X, n], room[_LOG_Y, n] = our_logs[i], their_logs[i]
            same = same and ours[i] == theirs[i]
            apart += abs(ours[i] - theirs[i])
            whole += theirs[i]
            n += 1
    numbers[PAIRS] = n
    figures[L1] = apart / whole if whole > 0.0 else math.nan
    correlate(room, same, n, keys, sorting, counts, figures, PEARSON)
    n = 0
    for i in range(both.shape[0] - 1):
        if both[i] and both[i + 1]:
            room[_X, n], room[_Y, n] = ours[i + 1] - ours[i], theirs[i + 1] - theirs[i]
            room[_LOG_X, n], room[_LOG_Y, n] = (
                our_logs[i + 1] - our_logs[i],
                their_logs[i + 1] - their_logs[i],
            )
            n += 1
    numbers[STEPS] = n
    correlate(room, same, n, keys, sorting, counts, figures, PEARSON_STEPS)
