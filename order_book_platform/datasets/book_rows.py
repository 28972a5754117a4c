"""Rows of the replay as arrow tables, counted and hashed on the way."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.datasets.schemas import books, in_precision
from order_book_platform.kernels.book.row_transpose import rows_to_columns
from order_book_platform.kernels.book.visible_rows import ROW_HEAD
from order_book_platform.model import BookFlag, DecimalEncoding
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.decimal128 import common_divisor, decimal_array, words_of
from order_book_platform.model.encoding import Precision
from order_book_platform.model.levels import MISSING_PIPS

Hashed = NDArray[np.int64] | NDArray[np.uint64]


class ReplayHash:
    """SHA-256 over all rows, little-endian, in order; equal for every way of cutting them into pieces."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, rows: Hashed) -> None:
        """Take more rows, as `RowNumbers.hashed` and `table_rows` give them."""
        self._digest.update(np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<")).data)

    def hexdigest(self) -> str:
        """The hash so far."""
        return self._digest.hexdigest()


class RowNumbers:
    """Rows of the replay in the numbers of their partition.

    Args:
        codes: what the rows hold in place of decimals; None for pips.
    """

    def __init__(self, codes: DecimalEncoding | None) -> None:
        self._codes = codes
        self.precision: Precision = "int64" if codes is None else "decimal128"
        self.shown = np.zeros(1, np.bool_)
        """bool[n]: which codes of sizes have been in a table; for `size_unit`, and for whoever goes on."""

    def hashed(self, rows: Int64Array) -> Hashed:
        """What `replay_hash` is made of.

        Args:
            rows: int64[n, 6 + 4·depth]; missing levels are (`MISSING_PIPS`, 0).

        Returns:
            The rows as they are; of decimals uint64[n, 6 + 8·depth], each of them as two words, low word first.
        """
        if self._codes is None:
            return rows
        words = np.empty((len(rows), 2 * rows.shape[1] - ROW_HEAD), np.uint64)
        words[:, :ROW_HEAD] = rows[:, :ROW_HEAD]
        levels = words[:, ROW_HEAD:].reshape(len(rows), -1, 4)
        prices, sizes = rows[:, ROW_HEAD::2], rows[:, ROW_HEAD + 1 :: 2]
        levels[:, :, :2] = self._codes.price_words(prices.ravel()).reshape(*prices.shape, 2)
        levels[:, :, 2:] = self._codes.size_words(sizes.ravel()).reshape(*sizes.shape, 2)
        return words

    def table(self, rows: Int64Array, depth: int) -> pa.Table:
        """Table with schema `books(depth)`, in the partition's precision.

        Args:
            rows: int64[n, 6 + 4·depth] as the replay writes them.
            depth: visible levels a side.
        """
        schema = in_precision(books(depth), self.precision)
        columns = np.empty((rows.shape[1], len(rows)), np.int64)
        rows_to_columns(rows, columns, len(rows))
        arrays = [
            pa.array(columns[i].astype(schema.field(i).type.to_pandas_dtype(), copy=False))
            for i in range(ROW_HEAD)
        ]
        if self._codes is not None:
            self._show(rows[:, ROW_HEAD + 1 :: 2], self._codes.sizes)
        for level in range(2 * depth):
            arrays += self._level(columns[ROW_HEAD + 2 * level], columns[ROW_HEAD + 2 * level + 1])
        return pa.table(arrays, schema=schema)

    @property
    def size_unit(self) -> int:
        """Greatest common divisor of all sizes in the tables so far, unscaled; 0 if there is none, or for pips."""
        if self._codes is None:
            return 0
        return common_divisor(self._codes.size_words(np.flatnonzero(self.shown)), 0)

    def _show(self, codes: Int64Array, known: int) -> None:
        if len(self.shown) < known:
            self.shown = np.concatenate([self.shown, np.zeros(known, np.bool_)])
        self.shown[codes] = True

    def _level(self, prices: Int64Array, sizes: Int64Array) -> list[pa.Array]:
        present = prices != MISSING_PIPS
        if self._codes is not None:
            words = self._codes.price_words(prices), self._codes.size_words(sizes)
            return [decimal_array(each, ~present) for each in words]
        # Arrow takes the columns as they lie; where levels are missing, a bit each says so beside them.
        validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        return [
            pa.Array.from_buffers(pa.int64(), len(prices), [validity, pa.py_buffer(column)])
            for column in (prices, sizes)
        ]


def table_rows(table: pa.Table) -> Hashed:
    """What `replay_hash` is made of, from the rows as they are stored; see `RowNumbers`."""
    kinds = [pa.types.is_decimal(kind) for kind in table.schema.types]
    rows = np.empty((table.num_rows, len(kinds) + sum(kinds)), np.uint64 if any(kinds) else np.int64)
    at = 0
    for name, column, decimal in zip(table.column_names, table.columns, kinds, strict=True):
        merged = column.combine_chunks()
        missing = MISSING_PIPS if name.endswith(("price_pips", "price")) else 0
        if decimal:
            rows[:, at : at + 2] = words_of(merged)
            rows[merged.is_null().to_numpy(zero_copy_only=False), at : at + 2] = np.array(missing).astype(
                np.uint64
            )
        else:
            rows[:, at] = merged.fill_null(missing).to_numpy(zero_copy_only=False)
        at += 1 + decimal
    return rows


def count_flags(rows: Int64Array, counts: Counter[str]) -> None:
    """Add how many rows carry each flag, such as `crossed_rows`."""
    for flag in BookFlag:
        counts[f"{str(flag.name).lower()}_rows"] += int((rows[:, 3] & flag != 0).sum())


class RowTables:
    """Turns rows of one replay into tables of one partition or log, and keeps account of them.

    Args:
        depth: visible levels a side.
        codes: of the replay's numbers; None for pips.

    Attributes:
        digest: the `replay_hash` of all rows so far.
        counts: rows with each flag.
        numbers: turns rows into what is stored.
    """

    def __init__(self, depth: int, codes: DecimalEncoding | None) -> None:
        self.digest, self.counts, self.numbers = ReplayHash(), Counter[str](), RowNumbers(codes)
        self._depth = depth

    def table(self, rows: Int64Array) -> pa.Table:
        """Rows int64[n, 6 + 4·depth], which are not kept, as a table to write; hashed and counted.

        What it changes is not what writing does, so that this may be at work in another thread.
        """
        self.digest.update(self.numbers.hashed(rows))
        count_flags(rows, self.counts)
        return self.numbers.table(rows, self._depth)
