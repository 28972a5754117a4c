"""Decoders of float prices and sizes: to int64 pips, or to decimals, for which a float's own bits stand while reading.

Positive floats sort as their bits do, equal ones have equal bits, and 0.0 is 0. So the code that sorts, cuts, counts
and checks batches works on both, and only a decoder knows which of the two its int64 numbers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.errors import DecimalRangeError
from order_book_platform.kernels.ingest.raw_columns import levels_to_pips, to_pips
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Float64Array, Int64Array
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
from order_book_platform.model.fixed_point import EXACT, EXACT_PIPS, MAX_DECIMALS, beyond_pips, float_to_pips
from order_book_platform.model.pip_encoding import Encoding, Precision
from order_book_platform.sources.lake_source import GridAudit, LakeFile

_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd factor near 2**64 divided by the golden ratio, which spreads numbers over all bits (Fibonacci hashing)."""


@dataclass(slots=True)
class FloatDecoder(Encoding):
    """Decodes the floats of one day to int64 pips; as an encoding it also writes what it decoded.

    `scale` has the decimals of a pip; tick and lot are not known yet and are 1 pip. `off_grid` says of which of `price`
    and `size` there were values with more decimals.
    """

    scale: FixedPoint
    precision: Precision = "int64"
    off_grid: set[str] = field(default_factory=set)

    def decode_column(
        self, audit: GridAudit, file: LakeFile, row: int, column: str, values: Float64Array
    ) -> Int64Array:
        """Decode float64[n], all finite and not negative, to int64[n]; values off the grid of pips are audited.

        The first value is in row `row` of the file, in the column `price` or else one of sizes. A value that cannot be
        held is a `FixedPointError`.
        """
        what = "price" if column == "price" else "size"
        decimals, pips = self._decimals(what), np.empty(len(values), np.int64)
        values = np.ascontiguousarray(values)
        beyond, count, at = to_pips(values, 10.0**decimals, float(EXACT_PIPS), pips)
        if beyond < len(values):
            # The plain conversion raises the error that says what is wrong.
            float_to_pips(values, decimals, where=f"{file.path}: column {column}, rows from {row}")
        if count:
            self.off_grid.add(what)
            setattr(audit, f"off_grid_{what}s", getattr(audit, f"off_grid_{what}s") + count)
            first = f"{file.path.name}: column {column}, row {row + at}: {float(values[at])!r}"
            audit.first_off_grid = audit.first_off_grid or first
        return pips

    def decode_levels(self, what: str, floats: Float64Array) -> tuple[Int64Array, BoolArray]:
        """Decode `price` or `size` of levels, float64 of any shape, to int64, `MISSING_PIPS` for NaN.

        Also returns bool, true where a value cannot be that of a level.
        """
        pips, wrong = np.empty(floats.shape, np.int64), np.empty(floats.shape, np.bool_)
        scale = 10.0 ** self._decimals(what)
        levels_to_pips(floats.ravel(), scale, float(EXACT_PIPS), pips.ravel(), wrong.ravel())
        return pips, wrong

    def common_divisor(self, values: Int64Array, start: int) -> int:
        """Return the greatest common divisor, in pips, of int64[n] decoded values and `start`; 0 if all are 0."""
        return int(np.gcd.reduce(values, initial=start))

    def are_multiples(self, values: Int64Array, pips: int) -> BoolArray:
        """Return where decoded values, int64 of any shape, are multiples of so many pips."""
        return np.asarray(values % pips == 0)

    def to_pips(self, value: int) -> int:
        """Return one decoded value in pips of `scale`; for decimals it may be longer than 64 bits."""
        return value

    def count_sizes(self, values: Int64Array) -> None:
        """Take note of the different sizes among int64[n], for decimals, of which the replay keeps a list."""

    @property
    def size_count(self) -> int | None:
        """Number of different sizes of the deltas; None for pips, which need no list of them."""
        return None

    def hash_keys(self, values: Int64Array) -> Int64Array:
        """Return int64[n] that are equal where `values` are, and differ in their lower bits where these differ."""
        return values

    def readable_audit(self, audit: dict[str, Any]) -> dict[str, Any]:
        """Return an audit as metadata and reports show it: extremes of decimals as text, without the ending `_pips`."""
        return audit

    def overflow_audit(self) -> dict[str, Any]:
        """Return how many values int64 pips could not have held, and the first; nothing for pips."""
        return {}

    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Return decoded prices int64[n] as a column of pips or decimals."""
        return pa.array(encoded)

    def size_array(self, encoded: Int64Array) -> pa.Array:
        """Return decoded sizes int64[n] as a column of pips or decimals."""
        return self.price_array(encoded)

    def _decimals(self, what: str) -> int:
        return self.scale.price_decimals if what == "price" else self.scale.size_decimals


@dataclass(slots=True)
class Int64Overflow:
    """Counts the prices, or sizes, that int64 pips cannot hold, for each number of decimals from 0 to 18.

    One stray digit among small values and one huge value among fine ones are each one value at the right number of
    decimals, and nearly all values at others. Which number is right is known at the end only, so all are counted, and
    `firsts` has place and value of the first at each.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (MAX_DECIMALS + 1))
    firsts: list[str] = field(default_factory=lambda: [""] * (MAX_DECIMALS + 1))

    def add(self, values: Float64Array, place: Callable[[int], str]) -> None:
        """Count more values, float64[n], finite and not negative; `place` says where the value at an index is from."""
        distinct = pc.value_counts(pa.array(values))
        floats, times = (distinct.field(name).to_numpy() for name in ("values", "counts"))
        for decimals in range(MAX_DECIMALS + 1):
            count = int(times[beyond_pips(floats, decimals)].sum())
            if count and not self.counts[decimals]:
                at = int(beyond_pips(values, decimals).argmax())
                self.firsts[decimals] = f"{place(at)}: {float(values[at])!r}"
            self.counts[decimals] += count

    @property
    def fewest(self) -> tuple[int, str]:
        """Smallest count over all numbers of decimals, and the first of these values; empty if there is none."""
        decimals = int(np.argmin(self.counts))
        return self.counts[decimals], self.firsts[decimals]


@dataclass(slots=True)
class DecimalDecoder(FloatDecoder):
    """Decodes floats to decimals, for which the bits of the float stand; a pip is 10**-18."""

    scale: FixedPoint = FixedPoint(DECIMALS, DECIMALS)  # noqa: RUF009 - frozen
    precision: Precision = "decimal128"
    price_overflow: Int64Overflow = field(default_factory=Int64Overflow)
    size_overflow: Int64Overflow = field(default_factory=Int64Overflow)
    _sizes: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))

    def decode_column(
        self, audit: GridAudit, file: LakeFile, row: int, column: str, values: Float64Array
    ) -> Int64Array:
        """Return the bits of float64[n] as int64[n], once each has been found to be a decimal."""

        def place(at: int) -> str:
            return f"column {column}, row {row + at}"

        float_to_decimal(values, lambda at: f"{file.path}: {place(at)}")
        overflow = self.price_overflow if column == "price" else self.size_overflow
        overflow.add(values, lambda at: f"{file.path.name}: {place(at)}")
        return _bits(values)

    def decode_levels(self, what: str, floats: Float64Array) -> tuple[Int64Array, BoolArray]:
        """Return the bits of the float64 values as int64, and which are negative, infinite or no decimal."""
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

    def common_divisor(self, values: Int64Array, start: int) -> int:
        """Return the greatest common divisor of the decimals of int64[n] bits and `start`, unscaled."""
        return common_divisor(decimal_words(self.price_array(_distinct(values))), start)

    def are_multiples(self, values: Int64Array, pips: int) -> BoolArray:
        """Return where the decimals of int64 bits, of any shape, are multiples of an unscaled number."""
        present = values != MISSING_PIPS
        found = np.zeros(values.shape, np.bool_)
        found[present] = divide(decimal_words(self.price_array(values[present])), pips)[1]
        return found

    def to_pips(self, value: int) -> int:
        """Return the unscaled decimal of a float's bits."""
        return unscaled_integers(decimal_words(self.price_array(np.array([value], np.int64))))[0]

    def count_sizes(self, values: Int64Array) -> None:
        """Add int64[n] sizes to those that have been met."""
        self._sizes = np.union1d(self._sizes, _distinct(values))

    @property
    def size_count(self) -> int:
        """Number of different sizes of the deltas."""
        return len(self._sizes)

    def hash_keys(self, values: Int64Array) -> Int64Array:
        """Mix the bits int64[n] of floats, since round numbers differ in their upper bits alone."""
        bits = values.view(np.uint64)
        return ((bits ^ (bits >> np.uint64(32))) * _HASH_FACTOR).view(np.int64)

    def readable_audit(self, audit: dict[str, Any]) -> dict[str, Any]:
        """Return an audit with its extremes as decimal text, under names without `_pips`."""
        return {
            name.removesuffix("_pips"): f"{self.scale.price(self.to_pips(value)).normalize(EXACT):f}"
            if name.endswith("_pips")
            else value
            for name, value in audit.items()
        }

    def overflow_audit(self) -> dict[str, Any]:
        """Return the numbers of prices and sizes that int64 pips could not have held, and the first of them."""
        (prices, first_price), (sizes, first_size) = self.price_overflow.fewest, self.size_overflow.fewest
        return {
            "prices_beyond_pips": prices,
            "sizes_beyond_pips": sizes,
            "first_beyond_pips": first_price or first_size,
        }

    def price_array(self, encoded: Int64Array) -> pa.Array:
        """Return the floats with these int64[n] bits as a column of decimals."""
        if not len(encoded):
            return decimal_array(np.empty((0, 2), np.uint64))
        return float_to_decimal(np.ascontiguousarray(encoded).view(np.float64))


def _distinct(values: Int64Array) -> Int64Array:
    """Return each value once, in no order; hashing is several times as fast as sorting."""
    once: Int64Array = pc.unique(pa.array(values)).to_numpy()
    return once


def _bits(values: Float64Array) -> Int64Array:
    return (values + 0.0).view(np.int64)  # adding 0.0 turns minus zero into zero
