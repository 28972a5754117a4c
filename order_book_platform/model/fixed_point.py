"""Fixed point: floats become int64 pips and pips become floats, exactly or not at all.

A pip is `10**-decimals` of a price or a size. A float64 stands for a decimal when it is the nearest float to
it, that is, within half a unit in its last place. Up to `EXACT_PIPS` (2**51) the product
`value * 10**decimals` is off by less than half a pip, so rounding it finds that decimal if there is one, and
dividing back proves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

from order_book_platform.errors import FixedPointRangeError

DEFAULT_DECIMALS = 8
MAX_DECIMALS = 18
EXACT_PIPS = 2**51
"""Largest number of pips that a float64 can be converted to without doubt about the last digit."""

EXACT = Context(prec=80)
"""Decimal context with enough digits for the product of two 128-bit numbers; Python's own 28 digits would round."""


def decimals_for(largest: float, *, default: int = DEFAULT_DECIMALS, where: str = "value") -> int:
    """Return the most decimals, up to `default`, at which an absolute value still converts exactly.

    Raises:
        FixedPointRangeError: The value is too large even without any decimals; the error names `where`.
    """
    for decimals in range(default, -1, -1):
        if largest * 10.0**decimals <= EXACT_PIPS:
            return decimals
    raise FixedPointRangeError(
        expected=f"values of at most {EXACT_PIPS:,} (2**51) at 0 decimals",
        found=f"{largest!r}",
        where=where,
        remedy="Check the file: int64 pips cannot hold this value exactly.",
    )


def float_to_pips(
    values: NDArray[np.float64], decimals: int, *, where: str = "value"
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the nearest pips int64[n] of floats, and bool[n]: which are off the grid, not the nearest to their pips.

    `decimals` are the places of a pip; `where` is the place that the error names.

    Raises:
        FixedPointRangeError: A value is not finite or beyond `EXACT_PIPS` pips.
    """
    scale = 10.0**decimals
    rounded = np.rint(values * scale)
    fits = np.abs(rounded) <= EXACT_PIPS  # false for NaN
    if not fits.all():
        raise FixedPointRangeError(
            expected=f"values of at most {EXACT_PIPS:,} (2**51) pips at {decimals} decimals",
            found=repr(float(values[~fits][0])),
            where=where,
            remedy="Use fewer decimals, or check where the value comes from.",
        )
    off_grid = rounded / scale != values
    return rounded.astype(np.int64), off_grid


def beyond_pips(values: NDArray[np.float64], decimals: int) -> NDArray[np.bool_]:
    """Return bool[n]: which of float64[n], none negative, are off the grid or more than `EXACT_PIPS` pips."""
    with np.errstate(over="ignore"):  # a product that becomes infinite is beyond the limit as well
        rounded = np.rint(values * 10.0**decimals)
    return np.asarray((rounded > EXACT_PIPS) | (rounded / 10.0**decimals != values))


def pips_to_float(pips: NDArray[np.int64], decimals: int) -> NDArray[np.float64]:
    """Return the float64[n] nearest to each decimal of int64[n] pips; the inverse of `float_to_pips` on the grid."""
    return pips / 10.0**decimals


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """Decimals, tick and lot of one instrument's prices and sizes.

    Attributes:
        price_decimals: Decimals of a price: `price_pips = price * 10**price_decimals`.
        size_decimals: Decimals of a size: `size_pips = size * 10**size_decimals`.
        tick_pips: Price increment in pips, of which every price is a multiple. With 18 decimals it may exceed 64 bits.
        lot_pips: Size increment in pips. With 18 decimals it may exceed 64 bits.
    """

    price_decimals: int = DEFAULT_DECIMALS
    size_decimals: int = DEFAULT_DECIMALS
    tick_pips: int = 1
    lot_pips: int = 1

    def price(self, pips: int) -> Decimal:
        """Return a price in pips as an exact decimal."""
        return Decimal(int(pips)).scaleb(-self.price_decimals, EXACT)

    def size(self, pips: int) -> Decimal:
        """Return a size in pips as an exact decimal."""
        return Decimal(int(pips)).scaleb(-self.size_decimals, EXACT)

    @property
    def tick(self) -> Decimal:
        """Price increment as a decimal, without trailing zeros."""
        return self.price(self.tick_pips).normalize(EXACT)

    @property
    def lot(self) -> Decimal:
        """Size increment as a decimal, without trailing zeros."""
        return self.size(self.lot_pips).normalize(EXACT)

    def to_metadata(self) -> dict[str, int]:
        """Return the four numbers by name, for a file's metadata and a manifest."""
        return asdict(self)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> FixedPoint:
        """Make the fixed point that `to_metadata` describes; other keys are ignored."""
        return cls(**{field.name: int(str(metadata[field.name])) for field in fields(cls)})
