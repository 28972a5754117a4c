"""Prices and sizes that are int64 pips in memory: as they lie in files, or read from decimals."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from order_book_platform.errors import PrecisionError
from order_book_platform.model.arrays import BoolArray, Float64Array, Int64Array
from order_book_platform.model.decimal128 import DECIMALS, DecimalWords, decimal_words, divide
from order_book_platform.model.encoding.partition_encoding import PartitionEncoding, filled, whole
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, FixedPoint
from order_book_platform.model.levels import MISSING_PIPS


class PipEncoding(PartitionEncoding):
    """Prices and sizes are int64 pips, in memory as in the files.

    Args:
        fixed_point: Decimals, tick and lot of the partition.
    """

    ending = "_pips"
    stored_bytes = 8

    def __init__(self, fixed_point: FixedPoint) -> None:
        self.precision = "int64"
        self.fixed_point = fixed_point
        self.tick = fixed_point.tick_pips
        self.unit = 1
        self.float_decimals = fixed_point.size_decimals

    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Return int64[n] pips as a column, without a copy."""
        return pa.array(encoded)

    size_array = price_array

    def read_prices(self, batch: pa.RecordBatch | pa.Table, name: str) -> Int64Array:
        """Return a price column as int64[n] pips, `MISSING_PIPS` for nulls."""
        return self.read_sizes(batch, name, MISSING_PIPS)

    def read_sizes(self, batch: pa.RecordBatch | pa.Table, name: str, missing_size: int = 0) -> Int64Array:
        """Return a size column as int64[n] pips, `missing_size` for nulls."""
        column = whole(batch.column(name + self.ending))
        return self.encode_sizes(column.fill_null(missing_size) if column.null_count else column)

    def encode_prices(self, column: pa.Array | pa.ChunkedArray) -> tuple[Int64Array, BoolArray]:
        """Return a column of pips as int64[n]; every price can be encoded."""
        pips = self.encode_sizes(column)
        return pips, np.broadcast_to(np.True_, pips.shape)

    def encode_every_price(self, column: pa.Array | pa.ChunkedArray, where: str) -> Int64Array:
        """Return a column of pips as int64[n]; `where` is not needed."""
        return self.encode_sizes(column)

    def encode_sizes(self, column: pa.Array | pa.ChunkedArray) -> Int64Array:
        """Return a column of pips as int64[n], without a copy where arrow can."""
        pips: Int64Array = whole(column).to_numpy(zero_copy_only=False)
        return pips

    def level_arrays(self, prices: Int64Array, sizes: Int64Array) -> list[pa.Array]:
        """Return the pips of a level as two columns that share the memory of the arrays."""
        present = prices != MISSING_PIPS
        # Arrow takes the numbers as they lie; where levels are missing, a bit for each of them says so beside them.
        validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        return [
            pa.Array.from_buffers(pa.int64(), len(prices), [validity, pa.py_buffer(numbers)])
            for numbers in (prices, sizes)
        ]

    def hashed_rows(self, rows: Int64Array, head: int) -> Int64Array:
        """Return the rows as they are."""
        return rows

    def size_floats(self, encoded: Int64Array) -> Float64Array:
        """Return sizes in pips as float64[n]."""
        return encoded.astype(np.float64)

    def unscaled_prices(self, encoded: Int64Array) -> Int64Array:
        """Return the pips as they are."""
        return encoded

    unscaled_sizes = unscaled_prices
    size_count = 0

    def size_unit(self, encoded: Int64Array) -> int:
        """Return 0: the lot is part of the fixed point."""
        return 0

    def saved_sizes(self) -> DecimalWords:
        """Return an empty list."""
        return np.empty((0, 2), np.uint64)

    def restore_sizes(self, sizes: DecimalWords) -> None:
        """Do nothing: there is no list of sizes."""

    def finer(self, step: int) -> PipEncoding:
        """Return this encoding: its unit is one pip, which divides every step."""
        return self


class WholePipEncoding(PipEncoding):
    """Reads decimals as int64 pips with as many decimals as they need, for consumers of exact integers.

    Args:
        fixed_point: Decimals, tick and lot of the pips; see `whole_pips`.
        where: Partition that the error names.
    """

    ending = ""

    def __init__(self, fixed_point: FixedPoint, where: str) -> None:
        super().__init__(fixed_point)
        self._where = where

    def read_prices(self, batch: pa.RecordBatch | pa.Table, name: str) -> Int64Array:
        """Return int64[n] pips of a price column, `MISSING_PIPS` for nulls.

        Raises:
            PrecisionError: A price is no whole number of these pips, or 2**61 or more of them.
        """
        return self._pips(batch, name, self.fixed_point.price_decimals, MISSING_PIPS)

    def read_sizes(self, batch: pa.RecordBatch | pa.Table, name: str, missing_size: int = 0) -> Int64Array:
        """Return int64[n] pips of a size column, `missing_size` for nulls; see `read_prices`."""
        return self._pips(batch, name, self.fixed_point.size_decimals, missing_size)

    def _pips(
        self, batch: pa.RecordBatch | pa.Table, name: str, decimals: int, missing_value: int
    ) -> Int64Array:
        column, missing = filled(batch, name)
        pips, exact = divide(decimal_words(column), 10 ** (DECIMALS - decimals))
        if not exact.all():
            raise PrecisionError(
                expected="prices and sizes that fit int64 pips, since features are exact integers: here of "
                f"{self.fixed_point.price_decimals} and {self.fixed_point.size_decimals} decimals",
                found=f"{column[int(exact.argmin())].as_py():f} in column {name}, precision decimal128",
                where=self._where,
                remedy="Leave rl_features of this day out; its books and fidelity are exact. Integer features need "
                "prices and sizes that span fewer digits.",
            )
        return pips if missing is None else np.where(missing, missing_value, pips)


VERBATIM = PipEncoding(FixedPoint(DEFAULT_DECIMALS, DEFAULT_DECIMALS, 1, 1))
"""Stores encoded numbers as they are, whatever they stand for; for int64 pips and for files that only this process
reads."""
