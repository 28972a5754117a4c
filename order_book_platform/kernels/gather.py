"""Rows of levels taken out of columns: Parquet gives a column at a time, a comparison wants a row at a time."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.columns import BLOCK_ROWS
from order_book_platform.kernels.compiled import kernel

_LEVELS = types.Array(types.int64, 3, "A", readonly=True)
_ROWS = types.Array(types.int64, 1, "A", readonly=True)


@kernel(types.void(_LEVELS, _ROWS, types.int64[:, :, ::1]))
def gather_levels(levels, rows, out):  # type: ignore[no-untyped-def]
    """Write the chosen rows one after another.

    Args:
        levels: int64[n, 2, K], however it lies in memory.
        rows: int64[m], each at least 0 and below n; best in ascending order.
        out: int64[m, 2, K], written.
    """
    for first in range(0, rows.shape[0], BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, rows.shape[0])
        for s in range(levels.shape[1]):
            for k in range(levels.shape[2]):
                for i in range(first, last):
                    out[i, s, k] = levels[rows[i], s, k]
