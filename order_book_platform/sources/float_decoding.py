"""What float prices and sizes are read as: int64 pips, or decimals, for which a float's own bits stand while reading.

Positive floats sort as their bits do, equal ones have equal bits, and 0.0 is 0: so everything that sorts, cuts, counts
and checks batches works on either, and only reading and writing tell them apart.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from order_book_platform.errors import DecimalRangeError
from order_book_platform.kernels.ingest import delta_audit as loops
from order_book_platform.kernels.ingest.pip_conversion import levels_to_pips
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.decimal128 import (
    DECIMALS,
    common_divisor,
    decimal_array,
    decimal_words,
    divide,
    float_to_decimal,
    unrepresentable,
    unscaled_integers,
)
from order_book_platform.model.encoding import Encoding, Precision
from order_book_platform.model.fixed_point import EXACT, EXACT_PIPS
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.sources.int64_overflow import Int64Overflow
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.price_grid import GridAudit, on_grid

FloatArray = NDArray[np.float64]
_ODD = np.uint64(0x9E3779B97F4A7C15)


class Reading(Encoding):
    """How the floats of one table are read; as an encoding it also writes them.

    Attributes:
        precision: of the partitions that come of it.
        scale: decimals; tick and lot are still 1 pip.
    """

    precision: Precision
    scale: FixedPoint

    @abstractmethod
    def column(
        self, audit: GridAudit, file: LakeFile, row: int, column: str, values: FloatArray
    ) -> Int64Array:
        """int64[n] of a column's floats, all finite and not negative.

        Raises:
            FixedPointError: a value cannot be held.
        """

    @abstractmethod
    def levels(self, name: str, floats: FloatArray) -> tuple[Int64Array, BoolArray]:
        """int64 of a snapshot's floats, `MISSING_PIPS` for NaN, and true where a value cannot be a level's."""

    @abstractmethod
    def divisor(self, values: Int64Array, start: int) -> int:
        """Greatest common divisor, in pips, of what was read and of `start`; 0 if there is nothing but zeros."""

    @abstractmethod
    def multiples(self, values: Int64Array, pips: int) -> BoolArray:
        """Where what was read is a multiple of so many pips."""

    @abstractmethod
    def pips(self, value: int) -> int:
        """Of one thing that was read; of decimals it may be longer than 64 bits."""

    @abstractmethod
    def count_sizes(self, values: Int64Array) -> None:
        """Take note of how many sizes differ, where the replay has to keep a list of them."""

    @abstractmethod
    def spread(self, values: Int64Array) -> Int64Array:
        """Other int64 that are equal where these are, and differ in their lower bits where these do."""

    @abstractmethod
    def described(self, audit: dict[str, Any]) -> dict[str, Any]:
        """The audit as the manifest shall have it."""


@dataclass(slots=True)
class Pips(Reading):
    """Reads int64 pips; see `Reading`.

    Attributes:
        off_grid: `price`, `size`: of which there were values with more decimals.
    """

    scale: FixedPoint
    precision: Precision = "int64"
    off_grid: set[str] = field(default_factory=set)

    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Return pips as a column."""
        return pa.array(encoded)

    size_array = price_array

    def column(
        self, audit: GridAudit, file: LakeFile, row: int, column: str, values: FloatArray
    ) -> Int64Array:
        """See `Reading`."""
        decimals = self.scale.price_decimals if column == "price" else self.scale.size_decimals
        pips = on_grid(audit, file, row, column, values, decimals)
        if audit.off_grid_prices:
            self.off_grid.add("price")
        if audit.off_grid_sizes:
            self.off_grid.add("size")
        return pips

    def levels(self, name: str, floats: FloatArray) -> tuple[Int64Array, BoolArray]:
        """See `Reading`."""
        decimals = self.scale.price_decimals if name == "price" else self.scale.size_decimals
        pips, wrong = np.empty(floats.shape, np.int64), np.empty(floats.shape, np.bool_)
        levels_to_pips(floats.ravel(), 10.0**decimals, float(EXACT_PIPS), pips.ravel(), wrong.ravel())
        return pips, wrong

    def divisor(self, values: Int64Array, start: int) -> int:
        """See `Reading`."""
        return int(loops.common_divisor(values, start))

    def multiples(self, values: Int64Array, pips: int) -> BoolArray:
        """See `Reading`."""
        return np.asarray(values % pips == 0)

    def pips(self, value: int) -> int:
        """See `Reading`."""
        return value

    def count_sizes(self, values: Int64Array) -> None:
        """See `Reading`; pips need no list."""

    def spread(self, values: Int64Array) -> Int64Array:
        """See `Reading`."""
        return values

    def described(self, audit: dict[str, Any]) -> dict[str, Any]:
        """See `Reading`."""
        return audit


@dataclass(slots=True)
class FloatBits(Reading):
    """Reads decimals; see `Reading`. A pip is 10**-18.

    Attributes:
        prices_beyond, sizes_beyond: values that int64 pips could not have held.
    """

    scale: FixedPoint = FixedPoint(DECIMALS, DECIMALS)  # noqa: RUF009 - frozen
    precision: Precision = "decimal128"
    prices_beyond: Int64Overflow = field(default_factory=Int64Overflow)
    sizes_beyond: Int64Overflow = field(default_factory=Int64Overflow)
    _sizes: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))

    def column(
        self, audit: GridAudit, file: LakeFile, row: int, column: str, values: FloatArray
    ) -> Int64Array:
        """See `Reading`."""

        def place(at: int) -> str:
            return f"column {column}, row {row + at}"

        float_to_decimal(values, lambda at: f"{file.path}: {place(at)}")
        beyond = self.prices_beyond if column == "price" else self.sizes_beyond
        beyond.add(values, lambda at: f"{file.path.name}: {place(at)}")
        return _bits(values)

    def levels(self, name: str, floats: FloatArray) -> tuple[Int64Array, BoolArray]:
        """See `Reading`."""
        missing = np.isnan(floats)
        bad = ~missing & ~((floats > 0) & np.isfinite(floats))
        flat = np.where(missing | bad, 0.0, floats).ravel()
        try:
            float_to_decimal(flat)
        except DecimalRangeError:
            bad |= unrepresentable(flat).reshape(bad.shape)
        bits = _bits(floats)
        bits[missing | bad] = MISSING_PIPS
        return bits, bad

    def divisor(self, values: Int64Array, start: int) -> int:
        """See `Reading`."""
        return common_divisor(decimal_words(self._decimals(_different(values))), start)

    def multiples(self, values: Int64Array, pips: int) -> BoolArray:
        """See `Reading`."""
        present = values != MISSING_PIPS
        found = np.zeros(values.shape, np.bool_)
        found[present] = divide(decimal_words(self._decimals(values[present])), pips)[1]
        return found

    def pips(self, value: int) -> int:
        """See `Reading`."""
        return unscaled_integers(decimal_words(self._decimals(np.array([value], np.int64))))[0]

    def count_sizes(self, values: Int64Array) -> None:
        """See `Reading`."""
        self._sizes = np.union1d(self._sizes, _different(values))

    @property
    def sizes(self) -> int:
        """How many sizes of the deltas differ."""
        return len(self._sizes)

    def spread(self, values: Int64Array) -> Int64Array:
        """See `Reading`; round numbers differ in the upper bits of their floats alone."""
        bits = values.view(np.uint64)
        return ((bits ^ (bits >> np.uint64(32))) * _ODD).view(np.int64)

    def described(self, audit: dict[str, Any]) -> dict[str, Any]:
        """See `Reading`: extremes as decimal text, without the ending `_pips`."""
        named: dict[str, Any] = {}
        for name, value in audit.items():
            if name.endswith("_pips"):
                named[name.removesuffix("_pips")] = f"{self.scale.price(self.pips(value)).normalize(EXACT):f}"
            else:
                named[name] = value
        return named

    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Return the floats with these bits as decimals."""
        return self._decimals(encoded)

    size_array = price_array

    def _decimals(self, codes: Int64Array) -> pa.Array:
        if not len(codes):
            return decimal_array(np.empty((0, 2), np.uint64))
        return float_to_decimal(np.ascontiguousarray(codes).view(np.float64))


def _different(values: Int64Array) -> Int64Array:
    """Each value once, in no order: by hashing, several times as fast as by sorting."""
    once: Int64Array = pc.unique(pa.array(values)).to_numpy()
    return once


def _bits(values: FloatArray) -> Int64Array:
    return (values + 0.0).view(np.int64)  # + 0.0: minus zero is zero
