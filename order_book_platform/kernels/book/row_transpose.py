"""Rows to columns: the replay writes a row at a time, Parquet wants a column at a time."""

from __future__ import annotations

from order_book_platform.kernels.compiled import kernel

BLOCK_ROWS = 64
"""Rows turned at a time; 64 rows of 86 numbers are 44 KB and stay in the L2 cache."""


@kernel("void(i8[:, ::1], i8[:, ::1], i8)")
def rows_to_columns(rows, columns, n):  # type: ignore[no-untyped-def]
    """Write rows[:n] (n × c) transposed to columns (c × n)."""
    for first in range(0, n, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, n)
        for c in range(rows.shape[1]):
            for r in range(first, last):
                columns[c, r] = rows[r, c]
