"""How int64 numbers in memory stand for the prices and sizes of a partition: as pips, or as codes of long decimals.

The replay asks of a price its order and its distance in ticks, and of a size whether it equals another one and whether
it is 0. So decimals of any length are replayed by the same loops as pips; `decimal_encoding` says how they are encoded.

Every batch, row and book in memory holds encoded numbers, and every reader and writer of a dataset has the encoding
they are held in. `encoding_choice.encoding_of` is the one place that decides which one a partition needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import PrecisionError
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Float64Array, Int64Array
from order_book_platform.model.decimal128 import DECIMAL, DECIMALS, DecimalWords, decimal_words, divide
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, FixedPoint

Precision = Literal["int64", "decimal128"]
"""How the files of a partition hold prices and sizes: as int64 pips, or as decimal128(38, 18)."""

_DECIMAL_LEVELS = pa.list_(pa.field("element", DECIMAL, nullable=False))


def precision_of(metadata: Mapping[str, object]) -> Precision:
    """Return the precision that a partition's metadata name; metadata without one are of int64 pips."""
    return "decimal128" if metadata.get("precision") == "decimal128" else "int64"


def in_precision(schema: pa.Schema, precision: Precision) -> pa.Schema:
    """Return the schema that a dataset of int64 pips has in partitions of another precision.

    With `decimal128` each column `…_pips`, whole or inside lists, loses that ending and is decimal128(38, 18).
    """
    if precision == "int64":
        return schema
    fields = []
    for field in schema:
        if field.name.endswith("_pips"):
            kind = _DECIMAL_LEVELS if pa.types.is_list(field.type) else DECIMAL
            fields.append(pa.field(field.name.removesuffix("_pips"), kind, nullable=field.nullable))
        else:
            fields.append(field)
    return pa.schema(fields)


class Encoding(ABC):
    """Int64 numbers that stand for prices and sizes, as far as writing them to a table needs it.

    Attributes:
        precision: Precision of the tables that are written.
    """

    precision: Precision

    def schema(self, schema: pa.Schema) -> pa.Schema:
        """Return a dataset's schema of int64 pips in the precision of this encoding."""
        return in_precision(schema, self.precision)

    @abstractmethod
    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Decode int64[n] prices to a column of pips or decimals; in decimals `MISSING_PIPS` becomes null."""

    @abstractmethod
    def size_array(self, encoded: Int64Array) -> pa.Array:
        """Decode int64[n] sizes to a column of pips or decimals."""


class PartitionEncoding(Encoding):
    """The encoding of one partition: both directions, and what the replay has to know of its numbers.

    This one is that of int64 pips, which are the same in memory as in the files. Others build on it.

    Attributes:
        fixed_point: Decimals, tick and lot of the partition.
        tick: The price increment as an encoded price.
        unit: What one step of an encoded price is worth: 1 pip, or an unscaled decimal.
        ending: What the names of price and size columns end with: `_pips` for pips, nothing for decimals.
        stored_bytes: Bytes of a stored price or size: 8 or 16.
        float_decimals: Decimals of the numbers that `size_floats` gives.
    """

    ending: ClassVar[str] = "_pips"
    stored_bytes: ClassVar[int] = 8

    def __init__(self, fixed_point: FixedPoint) -> None:
        self.precision = "int64"
        self.fixed_point = fixed_point
        self.tick = fixed_point.tick_pips
        self.unit = 1
        self.float_decimals = fixed_point.size_decimals

    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Decode int64[n] prices to a column, pips without a copy."""
        return pa.array(encoded)

    def size_array(self, encoded: Int64Array) -> pa.Array:
        """Decode int64[n] sizes to a column, pips without a copy."""
        return pa.array(encoded)

    def read_prices(self, batch: pa.RecordBatch | pa.Table, name: str) -> Int64Array:
        """Encode a price column that may have nulls as int64[n], `MISSING_PIPS` in their place.

        Args:
            batch: Rows of a partition.
            name: The column's name without its ending, such as `bid_0_price`.

        Raises:
            BatchError: A price cannot be encoded.
        """
        column, missing = _filled(batch, name + self.ending)
        encoded = self.encode_every_price(column, name)
        return encoded if missing is None else np.where(missing, MISSING_PIPS, encoded)

    def read_sizes(self, batch: pa.RecordBatch | pa.Table, name: str, missing_size: int = 0) -> Int64Array:
        """Encode a size column that may have nulls as int64[n], `missing_size` in their place; see `read_prices`."""
        column, missing = _filled(batch, name + self.ending)
        encoded = self.encode_sizes(column, name)
        return encoded if missing is None else np.where(missing, missing_size, encoded)

    def encode_prices(self, column: pa.Array | pa.ChunkedArray) -> tuple[Int64Array, BoolArray]:
        """Encode a column of prices without nulls.

        Returns:
            int64[n] encoded prices, and bool[n]: false where a price cannot be encoded; pips always can.
        """
        pips = self.encode_every_price(column, "a price")
        return pips, np.broadcast_to(np.True_, pips.shape)

    def encode_every_price(self, column: pa.Array | pa.ChunkedArray, where: str) -> Int64Array:
        """Encode a column of prices as int64[n], all of which have to be encodable.

        Raises:
            BatchError: A price is no multiple of the unit; the error names `where` and the row.
        """
        return self.encode_sizes(column)

    def encode_sizes(self, column: pa.Array | pa.ChunkedArray, where: str = "a decimal size") -> Int64Array:
        """Encode a column of sizes without nulls as int64[n], pips without a copy where arrow can.

        Raises:
            BatchError: A decimal size is negative; the error names `where`.
        """
        pips: Int64Array = whole(column).to_numpy(zero_copy_only=False)
        return pips

    def level_arrays(self, prices: Int64Array, sizes: Int64Array) -> list[pa.Array]:
        """Decode the int64[n] prices and sizes of a level to two columns, null where the price is `MISSING_PIPS`.

        Columns of pips share the memory of the arrays.
        """
        present = prices != MISSING_PIPS
        # Arrow takes the numbers as they lie; where levels are missing, a bit for each of them says so beside them.
        validity = None if present.all() else pa.py_buffer(np.packbits(present, bitorder="little"))
        return [
            pa.Array.from_buffers(pa.int64(), len(prices), [validity, pa.py_buffer(numbers)])
            for numbers in (prices, sizes)
        ]

    def hashed_rows(self, rows: Int64Array, head: int) -> NDArray[np.int64] | NDArray[np.uint64]:
        """Return what `replay_hash` is made of.

        Args:
            rows: int64[n, head + 2·levels], prices and sizes of the levels in turn after the head; missing levels are
                (`MISSING_PIPS`, 0).
            head: Columns before the levels.

        Returns:
            The rows as they are for pips. For decimals uint64[n, head + 4·levels]: each number as two words, the low
            one first.
        """
        return rows

    def size_floats(self, encoded: Int64Array) -> Float64Array:
        """Return sizes as the nearest float64[n] in units of 10**-`float_decimals`, for statistics."""
        return encoded.astype(np.float64)

    def unscaled_prices(self, encoded: Int64Array) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return prices in pips of the fixed point: int64[n], or object[n] of Python integers for decimals."""
        return encoded

    def unscaled_sizes(self, encoded: Int64Array) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return sizes in pips of the fixed point: int64[n], or object[n] of Python integers for decimals."""
        return encoded

    @property
    def size_count(self) -> int:
        """How many sizes the encoding keeps in a list, 0 among them; 0 where it needs no list."""
        return 0

    def size_unit(self, encoded: Int64Array) -> int:
        """Return the greatest common divisor of int64[n] sizes, unscaled; 0 for pips, whose lot is known."""
        return 0

    def saved_sizes(self) -> DecimalWords:
        """Return a copy of the list of sizes, uint64[k, 2] in the order of their codes, for a checkpoint."""
        return np.empty((0, 2), np.uint64)

    def restore_sizes(self, sizes: DecimalWords) -> None:
        """Give the sizes of a saved list the codes they had; called before any other size is met."""

    def finer(self, step: int) -> PartitionEncoding:
        """Return an encoding whose unit also divides `step`, which is in pips of the fixed point; 0 changes nothing."""
        return self


class WholePipEncoding(PartitionEncoding):
    """Reads decimals as int64 pips with as many decimals as they need, for consumers of exact integers.

    Args:
        fixed_point: Decimals, tick and lot of the pips; see `decimal_encoding.whole_pips`.
        where: Partition that the error names.
    """

    ending = ""

    def __init__(self, fixed_point: FixedPoint, where: str) -> None:
        super().__init__(fixed_point)
        self._where = where

    def encode_every_price(self, column: pa.Array | pa.ChunkedArray, where: str) -> Int64Array:
        """Return a column of decimal prices as int64[n] pips.

        Raises:
            PrecisionError: A price is no whole number of these pips, or 2**61 or more of them.
        """
        return self._pips(column, where, self.fixed_point.price_decimals)

    def encode_sizes(self, column: pa.Array | pa.ChunkedArray, where: str = "a decimal size") -> Int64Array:
        """Return a column of decimal sizes as int64[n] pips; see `encode_every_price`."""
        return self._pips(column, where, self.fixed_point.size_decimals)

    def _pips(self, column: pa.Array | pa.ChunkedArray, where: str, decimals: int) -> Int64Array:
        pips, exact = divide(decimal_words(column), 10 ** (DECIMALS - decimals))
        if not exact.all():
            raise PrecisionError(
                expected="prices and sizes that fit int64 pips, since features are exact integers: here of "
                f"{self.fixed_point.price_decimals} and {self.fixed_point.size_decimals} decimals",
                found=f"{column[int(exact.argmin())].as_py():f} in column {where}, precision decimal128",
                where=self._where,
                remedy="Leave rl_features of this day out; its books and fidelity are exact. Integer features need "
                "prices and sizes that span fewer digits.",
            )
        return pips


VERBATIM = PartitionEncoding(FixedPoint(DEFAULT_DECIMALS, DEFAULT_DECIMALS, 1, 1))
"""Stores encoded numbers as they are, whatever they stand for; for int64 pips and for files that only this process
reads."""


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; arrow's own `combine_chunks` copies even where there is one chunk."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _filled(batch: pa.RecordBatch | pa.Table, name: str) -> tuple[pa.Array, BoolArray | None]:
    """Return a column with 0 in place of nulls, and bool[n] where they were; None where there were none."""
    column = whole(batch.column(name))
    if not column.null_count:
        return column, None
    return column.fill_null(0), column.is_null().to_numpy(zero_copy_only=False)
