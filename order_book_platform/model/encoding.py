"""How int64 numbers in memory stand for the prices and sizes of a partition: as pips, or as codes of long decimals.

The replay asks of a price its order and its distance in ticks, and of a size whether it equals another one and whether
it is 0. So decimals of any length are replayed by the same loops as pips: a price is encoded as its multiple of a unit
that divides all prices of the day, a size as its place in a list of the sizes met so far.

Every batch, row and book in memory holds encoded numbers, and every reader and writer of a dataset has the encoding
they are held in. `encoding_of` is the one place that decides which one a partition needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import gcd
from threading import Lock
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import BatchError, PrecisionError
from order_book_platform.model.arrays import BoolArray, Float64Array, Int64Array
from order_book_platform.model.decimal128 import (
    CODE_LIMIT,
    DECIMAL,
    DECIMALS,
    DecimalWords,
    decimal_array,
    decimal_words,
    divide,
    multiply,
    unscaled_integers,
)
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, FixedPoint
from order_book_platform.model.levels import MISSING_PIPS

Precision = Literal["int64", "decimal128"]
"""How the files of a partition hold prices and sizes: as int64 pips, or as decimal128(38, 18)."""

SIZE_BYTES = 240
"""Bytes that a size takes at most in the list of a `DecimalEncoding`, just after the list has grown; `obp bench
precision` measured 150 bytes."""

_PIP = 10 ** (DECIMALS - DEFAULT_DECIMALS)
_MISSING_WORD = np.uint64(2**64 - 1)
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
        column, missing = _filled(batch, name + self.ending)
        encoded = self.encode_every_price(column, name)
        return encoded if missing is None else np.where(missing, MISSING_PIPS, encoded)

    def read_sizes(self, batch: pa.RecordBatch | pa.Table, name: str, missing_size: int = 0) -> Int64Array:
        """Encode a size column that may have nulls as int64[n], `missing_size` in their place; see `read_prices`."""
        column, missing = _filled(batch, name + self.ending)
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


class DecimalEncoding(PartitionEncoding):
    """A price is encoded as its multiple of a unit, a size as its place in a list of all sizes met so far.

    Deltas and snapshots may be encoded in different threads.

    Args:
        unit: Divides the prices that may come; unscaled.
        fixed_point: Decimals, tick and lot of the partition; the unit divides the tick.
    """

    ending = ""
    stored_bytes = 16

    def __init__(self, unit: int, fixed_point: FixedPoint) -> None:
        self.precision = "decimal128"
        self.fixed_point = fixed_point
        self.unit = unit
        self.tick = fixed_point.tick_pips // unit
        self.float_decimals = DEFAULT_DECIMALS
        self._codes: dict[bytes, int] = {bytes(16): 0}  # size 0 is code 0
        self._sizes: DecimalWords = np.zeros((1024, 2), np.uint64)
        self._floats = np.empty(0)
        self._lock = Lock()

    def encode_prices(self, column: pa.Array | pa.ChunkedArray) -> tuple[Int64Array, BoolArray]:
        """Divide a column of prices by the unit; see the base class."""
        return divide(decimal_words(column), self.unit)

    def encode_sizes(self, column: pa.Array | pa.ChunkedArray) -> Int64Array:
        """Encode a column of sizes as int64[n]; sizes met for the first time join the list.

        Raises:
            BatchError: A size is negative.
        """
        distinct = whole(column).dictionary_encode()
        words = decimal_words(distinct.dictionary)
        negative = words[:, 1] >> np.uint64(63)
        if negative.any():
            raise BatchError(
                expected="sizes of at least 0",
                found=f"{distinct.dictionary[int(negative.argmax())].as_py():f}",
                where="a decimal size",
                remedy="Build raw_deltas and snapshots again.",
            )
        codes = self._codes_of(words)
        return codes[distinct.indices.to_numpy()] if len(words) else np.empty(0, np.int64)

    def _codes_of(self, words: DecimalWords) -> Int64Array:
        """Return the codes int64[n] of sizes uint64[n, 2], which join the list if they are new."""
        known = self._codes
        codes = np.empty(len(words), np.int64)
        with self._lock:
            for i, key in enumerate(np.ascontiguousarray(words).view("V16").ravel().tolist()):
                code = known.setdefault(key, len(known))
                codes[i] = code
                if code == len(known) - 1:
                    if code == len(self._sizes):
                        self._sizes = np.concatenate([self._sizes, np.zeros_like(self._sizes)])
                    self._sizes[code] = words[i]
        return codes

    def price_words(self, encoded: Int64Array) -> DecimalWords:
        """Return unscaled prices as words uint64[n, 2]; −1 for `MISSING_PIPS`."""
        missing = encoded == MISSING_PIPS
        words = multiply(np.where(missing, 0, encoded), self.unit)
        words[missing] = _MISSING_WORD
        return words

    def size_words(self, encoded: Int64Array) -> DecimalWords:
        """Return unscaled sizes as words uint64[n, 2]."""
        return self._sizes[encoded]

    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Decode int64[n] prices to a column of decimals, null for `MISSING_PIPS`."""
        return decimal_array(self.price_words(encoded), encoded == MISSING_PIPS)

    def size_array(self, encoded: Int64Array) -> pa.Array:
        """Decode int64[n] sizes to a column of decimals."""
        return decimal_array(self.size_words(encoded))

    def level_arrays(self, prices: Int64Array, sizes: Int64Array) -> list[pa.Array]:
        """Decode the prices and sizes of a level to two columns of decimals; see the base class."""
        missing = prices == MISSING_PIPS
        return [decimal_array(words, missing) for words in (self.price_words(prices), self.size_words(sizes))]

    def hashed_rows(self, rows: Int64Array, head: int) -> NDArray[np.uint64]:
        """Replace each encoded number by the two words of its decimal; see the base class."""
        words = np.empty((len(rows), 2 * rows.shape[1] - head), np.uint64)
        words[:, :head] = rows[:, :head]
        levels = words[:, head:].reshape(len(rows), -1, 4)
        prices, sizes = rows[:, head::2], rows[:, head + 1 :: 2]
        levels[:, :, :2] = self.price_words(prices.ravel()).reshape(*prices.shape, 2)
        levels[:, :, 2:] = self.size_words(sizes.ravel()).reshape(*sizes.shape, 2)
        return words

    def size_floats(self, encoded: Int64Array) -> Float64Array:
        """Return sizes in units of 10**-8 as the nearest float64[n], the same numbers as of int64 pips."""
        with self._lock:
            new = unscaled_integers(self._sizes[len(self._floats) : self.size_count])
            if new:
                self._floats = np.concatenate([self._floats, [size / _PIP for size in new]])
            floats = self._floats
        return floats[encoded]

    def unscaled_prices(self, encoded: Int64Array) -> NDArray[np.object_]:
        """Return prices as Python integers, object[n]; a pip is 10**-18."""
        return _objects(unscaled_integers(self.price_words(encoded)))

    def unscaled_sizes(self, encoded: Int64Array) -> NDArray[np.object_]:
        """Return sizes as Python integers, object[n]; a pip is 10**-18."""
        return _objects(unscaled_integers(self.size_words(encoded)))

    @property
    def size_count(self) -> int:
        """How many sizes have been met so far, 0 among them."""
        return len(self._codes)

    def size_unit(self, encoded: Int64Array) -> int:
        """Return the greatest common divisor of the sizes, unscaled; 0 if there is none."""
        return gcd(*unscaled_integers(self.size_words(encoded)))

    def saved_sizes(self) -> DecimalWords:
        """Return a copy of the list of sizes, uint64[k, 2]."""
        with self._lock:
            return self._sizes[: self.size_count].copy()

    def restore_sizes(self, sizes: DecimalWords) -> None:
        """Give the sizes of a saved list the codes they had."""
        self._codes_of(sizes)

    def finer(self, step: int) -> DecimalEncoding:
        """Return an encoding with the greatest unit that divides this one and `step`."""
        return DecimalEncoding(gcd(self.unit, step), self.fixed_point) if step else self


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
        column, missing = _filled(batch, name)
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


def encoding_of(metadata: Mapping[str, object]) -> PartitionEncoding:
    """Return the encoding for the partitions of a day.

    Args:
        metadata: Metadata of the day's `raw_deltas`, or of a partition that was made from them.
    """
    fixed_point = FixedPoint.from_metadata(metadata)
    if precision_of(metadata) == "int64":
        return PipEncoding(fixed_point)
    return DecimalEncoding(int(str(metadata["price_unit"])), fixed_point)


def whole_pips(where: str, *partitions: Mapping[str, object]) -> PipEncoding:
    """Return the encoding that reads several partitions of one day as int64 pips.

    Decimals are read with the fewest decimals at which all their prices and sizes are whole pips.

    Args:
        where: What an error names the partitions by.
        partitions: Metadata of each; tick and lot are those of the first.
    """
    point = FixedPoint.from_metadata(partitions[0])
    if precision_of(partitions[0]) == "int64":
        return PipEncoding(point)
    units = [gcd(*(int(str(each[name])) for each in partitions)) for name in ("price_unit", "size_unit")]
    zeros = [next(n for n in range(DECIMALS, -1, -1) if unit % 10**n == 0) for unit in units]
    return WholePipEncoding(
        FixedPoint(
            DECIMALS - zeros[0],
            DECIMALS - zeros[1],
            point.tick_pips // 10 ** zeros[0],
            point.lot_pips // 10 ** zeros[1],
        ),
        where,
    )


def unit_fits(largest: int, unit: int) -> bool:
    """Return whether prices up to `largest` can be encoded in this unit; both are unscaled."""
    return largest // unit < CODE_LIMIT


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


def _objects(values: list[int]) -> NDArray[np.object_]:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array
