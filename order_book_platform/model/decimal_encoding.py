"""Decimals of any length as int64 codes: a price is its multiple of a unit, a size its place in a list.

The unit divides all prices of the day. `encoding_choice` decides whether a partition needs it.
"""

from __future__ import annotations

from math import gcd
from threading import Lock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Float64Array, Int64Array
from order_book_platform.model.decimal128 import (
    CODE_LIMIT,
    DECIMALS,
    DecimalWords,
    decimal_array,
    decimal_words,
    divide,
    multiply,
    unscaled_integers,
)
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, FixedPoint
from order_book_platform.model.pip_encoding import PartitionEncoding, whole

SIZE_BYTES = 240
"""Bytes that a size takes at most in the list of a `DecimalEncoding`, just after the list has grown; `obp bench
precision` measured 150 bytes."""

_PIP = 10 ** (DECIMALS - DEFAULT_DECIMALS)
_MISSING_WORD = np.uint64(2**64 - 1)


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
        super().__init__(fixed_point)
        self.precision = "decimal128"
        self.unit = unit
        self.tick = fixed_point.tick_pips // unit
        self.float_decimals = DEFAULT_DECIMALS
        self._codes: dict[bytes, int] = {bytes(16): 0}  # size 0 is code 0
        self._sizes: DecimalWords = np.zeros((1024, 2), np.uint64)
        self._floats = np.empty(0)
        self._lock = Lock()

    def encode_prices(self, column: pa.Array | pa.ChunkedArray) -> tuple[Int64Array, BoolArray]:
        """Divide a column of prices by the unit."""
        return divide(decimal_words(column), self.unit)

    def encode_every_price(self, column: pa.Array | pa.ChunkedArray, where: str) -> Int64Array:
        """Divide a column of prices by the unit, and refuse one that it does not divide."""
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

    def encode_sizes(self, column: pa.Array | pa.ChunkedArray, where: str = "a decimal size") -> Int64Array:
        """Encode a column of sizes; those met for the first time join the list."""
        distinct = whole(column).dictionary_encode()
        words = decimal_words(distinct.dictionary)
        negative = words[:, 1] >> np.uint64(63)
        if negative.any():
            raise BatchError(
                expected="sizes of at least 0",
                found=f"{distinct.dictionary[int(negative.argmax())].as_py():f}",
                where=where,
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
        """Decode the prices and sizes of a level, int64[n] each, to two columns of decimals."""
        missing = prices == MISSING_PIPS
        return [decimal_array(words, missing) for words in (self.price_words(prices), self.size_words(sizes))]

    def hashed_rows(self, rows: Int64Array, head: int) -> NDArray[np.uint64]:
        """Replace each encoded number of rows int64[n, head + 2·levels] by the two uint64 words of its decimal."""
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
        """Return the greatest common divisor of int64[n] sizes, unscaled; 0 if there is none."""
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


def unit_fits(largest: int, unit: int) -> bool:
    """Return whether prices up to `largest` can be encoded in this unit; both are unscaled."""
    return largest // unit < CODE_LIMIT


def _objects(values: list[int]) -> NDArray[np.object_]:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array
