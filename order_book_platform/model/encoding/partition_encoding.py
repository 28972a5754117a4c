"""Base classes of the encodings: the precision of files, and both directions between columns and int64 arrays."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import BoolArray, Float64Array, Int64Array
from order_book_platform.model.decimal128 import DECIMAL, DecimalWords
from order_book_platform.model.fixed_point import FixedPoint
from order_book_platform.model.levels import MISSING_PIPS

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
        """Decode int64[n] prices, none of them missing, to a column of pips or decimals."""

    @abstractmethod
    def size_array(self, encoded: Int64Array) -> pa.Array:
        """Decode int64[n] sizes to a column of pips or decimals."""


class PartitionEncoding(Encoding):
    """The encoding of one partition: both directions, and what the replay has to know of its numbers.

    Attributes:
        fixed_point: Decimals, tick and lot of the partition.
        tick: The price increment as an encoded price.
        unit: What one step of an encoded price is worth: 1 pip, or an unscaled decimal.
        ending: What the names of price and size columns end with: `_pips` for pips, nothing for decimals.
        stored_bytes: Bytes of a stored price or size: 8 or 16.
        float_decimals: Decimals of the numbers that `size_floats` gives.
    """

    fixed_point: FixedPoint
    tick: int
    unit: int
    ending: ClassVar[str]
    stored_bytes: ClassVar[int]
    float_decimals: int

    @abstractmethod
    def encode_prices(self, column: pa.Array | pa.ChunkedArray) -> tuple[Int64Array, BoolArray]:
        """Encode a column of prices without nulls.

        Returns:
            int64[n] encoded prices, and bool[n]: false where a price cannot be encoded.
        """

    @abstractmethod
    def encode_sizes(self, column: pa.Array | pa.ChunkedArray) -> Int64Array:
        """Encode a column of sizes without nulls as int64[n].

        Raises:
            BatchError: A decimal size is negative.
        """

    @abstractmethod
    def level_arrays(self, prices: Int64Array, sizes: Int64Array) -> list[pa.Array]:
        """Decode the int64[n] prices and sizes of a level to two columns, null where the price is `MISSING_PIPS`."""

    @abstractmethod
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

    @abstractmethod
    def size_floats(self, encoded: Int64Array) -> Float64Array:
        """Return sizes as the nearest float64[n] in units of 10**-`float_decimals`, for statistics."""

    @abstractmethod
    def unscaled_prices(self, encoded: Int64Array) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return prices in pips of the fixed point: int64[n], or object[n] of Python integers for decimals."""

    @abstractmethod
    def unscaled_sizes(self, encoded: Int64Array) -> NDArray[np.int64] | NDArray[np.object_]:
        """Return sizes in pips of the fixed point: int64[n], or object[n] of Python integers for decimals."""

    @property
    @abstractmethod
    def size_count(self) -> int:
        """How many sizes the encoding keeps in a list; 0 where it needs none."""

    @abstractmethod
    def size_unit(self, encoded: Int64Array) -> int:
        """Return the greatest common divisor of the sizes, unscaled; 0 for pips, whose lot is known."""

    @abstractmethod
    def saved_sizes(self) -> DecimalWords:
        """Return the list of sizes, uint64[k, 2] in the order of their codes, for a checkpoint."""

    @abstractmethod
    def restore_sizes(self, sizes: DecimalWords) -> None:
        """Give the sizes of a saved list the codes they had; called before any other size is met."""

    @abstractmethod
    def finer(self, step: int) -> PartitionEncoding:
        """Return an encoding whose unit also divides `step`, which is in pips of the fixed point; 0 changes nothing."""

    def read_prices(self, batch: pa.RecordBatch | pa.Table, name: str) -> Int64Array:
        """Encode a price column that may have nulls as int64[n], `MISSING_PIPS` in their place.

        Args:
            batch: Rows of a partition.
            name: The column's name without its ending, such as `bid_0_price`.

        Raises:
            BatchError: A price cannot be encoded.
        """
        column, missing = filled(batch, name + self.ending)
        encoded = self.encode_every_price(column, name)
        return encoded if missing is None else np.where(missing, MISSING_PIPS, encoded)

    def read_sizes(self, batch: pa.RecordBatch | pa.Table, name: str, missing_size: int = 0) -> Int64Array:
        """Encode a size column that may have nulls as int64[n], `missing_size` in their place; see `read_prices`."""
        column, missing = filled(batch, name + self.ending)
        encoded = self.encode_sizes(column)
        return encoded if missing is None else np.where(missing, missing_size, encoded)

    def encode_every_price(self, column: pa.Array | pa.ChunkedArray, where: str) -> Int64Array:
        """Encode a column of prices, int64[n], all of which have to be encodable.

        Raises:
            BatchError: A price is no multiple of the unit; the error names `where` and the row.
        """
        encoded, exact = self.encode_prices(column)
        if not exact.all():
            at = int(exact.argmin())
            raise BatchError(
                expected="prices that are multiples of the day's unit",
                found=f"{column[at].as_py():f}",
                where=f"{where}, row {at}",
                remedy="Build the partition again; its unit comes from all prices of the day.",
            )
        return encoded


def whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; arrow's own `combine_chunks` copies even where there is one chunk."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def filled(batch: pa.RecordBatch | pa.Table, name: str) -> tuple[pa.Array, BoolArray | None]:
    """Return a column with 0 in place of nulls, and bool[n] where they were; None where there were none."""
    column = whole(batch.column(name))
    if not column.null_count:
        return column, None
    return column.fill_null(0), column.is_null().to_numpy(zero_copy_only=False)
