"""Rows of the replay as arrow tables, counted and hashed on the way."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.kernels.columns import rows_to_columns
from order_book_platform.model import BookFlag
from order_book_platform.model.schemas import MISSING_PIPS, books

HEAD = 6


class ReplayHash:
    """SHA-256 over all rows as int64 little-endian, in order; equal for every way of cutting them into pieces."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, rows: NDArray[np.int64]) -> None:
        """Take more rows, int64[n, 6 + 4·depth]; missing levels are (`MISSING_PIPS`, 0)."""
        self._digest.update(np.ascontiguousarray(rows, dtype="<i8").data)

    def hexdigest(self) -> str:
        """The hash so far."""
        return self._digest.hexdigest()


def rows_table(rows: NDArray[np.int64], depth: int) -> pa.Table:
    """Table with schema `books(depth)`.

    Args:
        rows: int64[n, 6 + 4·depth] as the replay writes them.
        depth: visible levels a side.
    """
    schema = books(depth)
    columns = np.empty((rows.shape[1], len(rows)), np.int64)
    rows_to_columns(rows, columns, len(rows))
    arrays = [
        pa.array(columns[i].astype(schema.field(i).type.to_pandas_dtype(), copy=False)) for i in range(HEAD)
    ]
    for level in range(2 * depth):
        prices, sizes = columns[HEAD + 2 * level], columns[HEAD + 2 * level + 1]
        present = prices != MISSING_PIPS
        # Arrow takes the columns as they lie; where levels are missing, a bit each says so beside them.
        validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        arrays += [
            pa.Array.from_buffers(pa.int64(), len(rows), [validity, pa.py_buffer(column)])
            for column in (prices, sizes)
        ]
    return pa.table(arrays, schema=schema)


def table_rows(table: pa.Table) -> NDArray[np.int64]:
    """Inverse of `rows_table`."""
    rows = np.empty((table.num_rows, table.num_columns), np.int64)
    for i, column in enumerate(table.columns):
        merged = column.combine_chunks()
        if merged.null_count:
            merged = merged.fill_null(MISSING_PIPS if table.column_names[i].endswith("price_pips") else 0)
        rows[:, i] = merged.to_numpy(zero_copy_only=False)
    return rows


def count_flags(rows: NDArray[np.int64], counts: Counter[str]) -> None:
    """Add how many rows carry each flag, such as `crossed_rows`."""
    for flag in BookFlag:
        counts[f"{str(flag.name).lower()}_rows"] += int((rows[:, 3] & flag != 0).sum())
