"""What the int64 of a batch stand for where they are not pips: decimals as codes, and back.

The replay asks of a price its order and its distance in ticks, of a size whether it equals another and whether it is 0.
So decimals of any length are replayed by the same loops as pips: a price is its multiple of a unit, a size its place in
a list of sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd
from threading import Lock
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.decimal128 import (
    CODE_LIMIT,
    DECIMALS,
    Words,
    decimal_array,
    divide,
    integers,
    multiply,
    words_of,
)
from order_book_platform.model.fixed_point import DEFAULT_DECIMALS, FixedPoint
from order_book_platform.model.levels import MISSING_PIPS

Precision = Literal["int64", "decimal128"]
"""How a partition holds prices and sizes: int64 pips, or decimal128(38, 18)."""

SIZE_BYTES = 240
"""Memory that a size takes in the list at most, just after it has grown; `obp bench precision` measured 150 bytes."""
_PIP = 10 ** (DECIMALS - DEFAULT_DECIMALS)
_MISSING = np.uint64(2**64 - 1)


class Numbers(Protocol):
    """Turns the int64 of a batch into decimals."""

    def price_array(self, codes: Int64Array) -> pa.Array:
        """decimal128(38, 18)[n]; null for `MISSING_PIPS`."""

    def size_array(self, codes: Int64Array) -> pa.Array:
        """decimal128(38, 18)[n]."""


def precision_of(metadata: Mapping[str, object]) -> Precision:
    """How a partition with this metadata holds prices and sizes."""
    return "decimal128" if metadata.get("precision") == "decimal128" else "int64"


class DecimalEncoding:
    """Codes of one replay.

    Args:
        unit: divides the prices that may come; unscaled.
        tick: of the instrument, a multiple of it; unscaled.

    Attributes:
        tick_codes: the tick in codes, what `tick_pips` is to pips.
    """

    def __init__(self, unit: int, tick: int) -> None:
        self.unit = unit
        self.tick_codes = tick // unit
        self._codes: dict[bytes, int] = {bytes(16): 0}
        self._sizes: Words = np.zeros((1024, 2), np.uint64)
        self._floats = np.empty(0)
        self._lock = Lock()

    @classmethod
    def of(cls, metadata: Mapping[str, object]) -> DecimalEncoding | None:
        """Codes for the partitions of a day, from the metadata of its `raw_deltas`; None where they hold pips."""
        if precision_of(metadata) == "int64":
            return None
        return cls(int(str(metadata["price_unit"])), FixedPoint.from_metadata(metadata).tick_pips)

    @property
    def sizes(self) -> int:
        """Sizes met so far, 0 among them."""
        return len(self._codes)

    def price_codes(self, column: pa.Array | pa.ChunkedArray) -> tuple[Int64Array, BoolArray]:
        """Codes int64[n] of prices, and bool[n]: false where a price is no multiple of the unit."""
        return divide(words_of(column), self.unit)

    def known_prices(self, column: pa.Array | pa.ChunkedArray, where: str) -> Int64Array:
        """Codes int64[n] of prices that all have one.

        Raises:
            BatchError: a price is no multiple of the unit; it names `where`.
        """
        prices, exact = self.price_codes(column)
        if not exact.all():
            at = int(exact.argmin())
            raise BatchError(
                expected="prices that are multiples of the day's unit",
                found=f"{column[at].as_py():f}",
                where=f"{where}, row {at}",
                remedy="Build the partition again; its unit comes from all prices of the day.",
            )
        return prices

    def size_codes(self, column: pa.Array | pa.ChunkedArray) -> Int64Array:
        """Codes int64[n] of sizes; new ones join the list.

        Raises:
            BatchError: a size is negative.
        """
        merged = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        encoded = merged.dictionary_encode()
        words = words_of(encoded.dictionary)
        if (words[:, 1] >> np.uint64(63)).any():
            raise BatchError(
                expected="sizes of at least 0",
                found=f"{encoded.dictionary[int((words[:, 1] >> np.uint64(63)).argmax())].as_py():f}",
                where="a decimal size",
                remedy="Build raw_deltas and snapshots again.",
            )
        codes = self._codes_of(words)
        return codes[encoded.indices.to_numpy()] if len(words) else np.empty(0, np.int64)

    def saved(self) -> Words:
        """The list of sizes, uint64[n, 2], in order of their codes."""
        with self._lock:
            return self._sizes[: self.sizes].copy()

    def resumed(self, sizes: Words) -> None:
        """Give the sizes of a saved list the codes that they had; before any other is met."""
        self._codes_of(sizes)

    def _codes_of(self, words: Words) -> Int64Array:
        """Codes int64[n] of sizes uint64[n, 2]; deltas and snapshots may be read in different threads."""
        known = self._codes
        codes = np.empty(len(words), np.int64)
        with self._lock:
            for i, key in enumerate(np.ascontiguousarray(words).view("V16").ravel().tolist()):
                code = known.setdefault(key, len(known))
                codes[i] = code
                if code == len(known) - 1:
                    self._keep(code, words[i])
        return codes

    def _keep(self, code: int, words: Words) -> None:
        if code == len(self._sizes):
            self._sizes = np.concatenate([self._sizes, np.zeros_like(self._sizes)])
        self._sizes[code] = words

    def price_words(self, codes: Int64Array) -> Words:
        """Unscaled prices as words uint64[n, 2]; −1 for `MISSING_PIPS`."""
        missing = codes == MISSING_PIPS
        words = multiply(np.where(missing, 0, codes), self.unit)
        words[missing] = _MISSING
        return words

    def size_words(self, codes: Int64Array) -> Words:
        """Unscaled sizes as words uint64[n, 2]."""
        return self._sizes[codes]

    def size_floats(self, codes: Int64Array) -> NDArray[np.float64]:
        """Sizes in units of 10**-8 as the nearest float64[n]: for statistics, and the same as of int64 pips."""
        with self._lock:
            new = integers(self._sizes[len(self._floats) : self.sizes])
            if new:
                self._floats = np.concatenate([self._floats, [size / _PIP for size in new]])
            floats = self._floats
        return floats[codes]

    def price_array(self, codes: Int64Array) -> pa.Array:
        """See `Numbers`."""
        return decimal_array(self.price_words(codes), codes == MISSING_PIPS)

    def size_array(self, codes: Int64Array) -> pa.Array:
        """See `Numbers`."""
        return decimal_array(self.size_words(codes))

    def price_integers(self, codes: Int64Array) -> NDArray[np.object_]:
        """Unscaled prices as Python integers, object[n]."""
        return _objects(integers(self.price_words(codes)))

    def size_integers(self, codes: Int64Array) -> NDArray[np.object_]:
        """Unscaled sizes as Python integers, object[n]."""
        return _objects(integers(self.size_words(codes)))


def int64_point(*partitions: Mapping[str, object]) -> FixedPoint:
    """The fewest decimals at which the prices and sizes of partitions of decimals are whole pips.

    Args:
        partitions: metadata of each; tick and lot are those of the first.
    """
    units = [gcd(*(int(str(each[name])) for each in partitions)) for name in ("price_unit", "size_unit")]
    zeros = [next(n for n in range(DECIMALS, -1, -1) if unit % 10**n == 0) for unit in units]
    point = FixedPoint.from_metadata(partitions[0])
    return FixedPoint(
        DECIMALS - zeros[0],
        DECIMALS - zeros[1],
        point.tick_pips // 10 ** zeros[0],
        point.lot_pips // 10 ** zeros[1],
    )


def _objects(values: list[int]) -> NDArray[np.object_]:
    array = np.empty(len(values), np.object_)
    array[:] = values
    return array


def unit_fits(largest: int, unit: int) -> bool:
    """Whether prices up to `largest` have codes in this unit; both unscaled."""
    return largest // unit < CODE_LIMIT
