"""Makes tables of books from the rows of a replay, and counts and hashes the rows on the way."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.kernels.book.replay_arrays import ROW_HEAD
from order_book_platform.kernels.book.visible_rows import rows_to_columns
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS, Int64Array
from order_book_platform.model.decimal128 import decimal_words
from order_book_platform.model.pip_encoding import PartitionEncoding

HashedRows = NDArray[np.int64] | NDArray[np.uint64]
"""Rows as `replay_hash` is made of them: int64 for pips, uint64 for decimals, each of which is two words."""


class ReplayHash:
    """SHA-256 over all rows, little-endian, in order; equal for every way of cutting them into pieces."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, rows: HashedRows) -> None:
        """Add more rows, as `PartitionEncoding.hashed_rows` and `stored_rows` give them."""
        self._digest.update(np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<")).data)

    def hexdigest(self) -> str:
        """Return the hash of the rows so far."""
        return self._digest.hexdigest()


class BookTables:
    """Turns the rows of one replay into tables of one partition or log, counts their flags, and hashes them.

    `shown_sizes`, bool[n], is true for the encoded sizes that have been in a table. A checkpoint keeps them, since a
    size that is met later may be encoded as another number in the run that resumes.
    """

    def __init__(self, depth: int, encoding: PartitionEncoding) -> None:
        self.digest, self.counts = ReplayHash(), Counter[str]()
        self.shown_sizes = np.zeros(1, np.bool_)
        self.encoding = encoding
        self.schema = encoding.schema(books_schema(depth))
        self._levels = 2 * depth

    def table(self, rows: Int64Array) -> pa.Table:
        """Make a table of rows, int64[n, 6 + 4·depth] as the replay writes them, hash and count them; keep none.

        It changes nothing that writing a table uses, so that another thread may write the table before.
        """
        self.digest.update(self.encoding.hashed_rows(rows, ROW_HEAD))
        count_flags(rows[:, 3], self.counts)
        columns = np.empty((rows.shape[1], len(rows)), np.int64)
        rows_to_columns(rows, columns, len(rows))
        arrays = [
            pa.array(columns[i].astype(self.schema.field(i).type.to_pandas_dtype(), copy=False))
            for i in range(ROW_HEAD)
        ]
        if self.encoding.size_count:
            self._mark_shown(rows[:, ROW_HEAD + 1 :: 2])
        for level in range(self._levels):
            at = ROW_HEAD + 2 * level
            arrays += self.encoding.level_arrays(columns[at], columns[at + 1])
        return pa.table(arrays, schema=self.schema)

    @property
    def size_unit(self) -> int:
        """Greatest common divisor of all sizes in the tables so far, unscaled; 0 for pips."""
        return self.encoding.size_unit(np.flatnonzero(self.shown_sizes))

    def _mark_shown(self, sizes: Int64Array) -> None:
        known = self.encoding.size_count
        if len(self.shown_sizes) < known:
            self.shown_sizes = np.concatenate([self.shown_sizes, np.zeros(known, np.bool_)])
        self.shown_sizes[sizes] = True


def stored_rows(table: pa.Table) -> HashedRows:
    """Return stored rows in the form that `replay_hash` is made of, the same as `PartitionEncoding.hashed_rows`."""
    kinds = [pa.types.is_decimal(kind) for kind in table.schema.types]
    rows = np.empty((table.num_rows, len(kinds) + sum(kinds)), np.uint64 if any(kinds) else np.int64)
    at = 0
    for name, column, decimal in zip(table.column_names, table.columns, kinds, strict=True):
        merged = column.combine_chunks()
        missing = MISSING_PIPS if name.endswith(("price_pips", "price")) else 0
        if decimal:
            rows[:, at : at + 2] = decimal_words(merged)
            rows[merged.is_null().to_numpy(zero_copy_only=False), at : at + 2] = np.array(missing).astype(
                np.uint64
            )
        else:
            rows[:, at] = merged.fill_null(missing).to_numpy(zero_copy_only=False)
        at += 1 + decimal
    return rows


def count_flags(flags: NDArray[np.integer], counts: Counter[str]) -> None:
    """Add to `counts` how many rows carry each flag, such as `crossed_rows`; `flags` is an integer[n] array."""
    for flag in BookFlag:
        counts[f"{str(flag.name).lower()}_rows"] += int((flags & flag != 0).sum())
