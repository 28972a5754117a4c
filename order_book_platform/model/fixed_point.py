"""Fixed point: floats to int64 pips and back, exactly or not at all.

A pip is `10**-decimals` of a price or a size. A float64 stands for a decimal when it is the nearest float to
it, that is, within half a unit in its last place. Up to `EXACT_PIPS` (2**51) the product
`value * 10**decimals` is off by less than half a pip, so rounding it finds that decimal if there is one, and
dividing back proves it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, Decimal

import numpy as np
from numpy.typing import NDArray

from order_book_platform.errors import FixedPointRangeError

DEFAULT_DECIMALS = 8
MAX_DECIMALS = 18
EXACT_PIPS = 2**51
"""Largest pip count that a float64 input can be converted to without doubt about the last digit."""

EXACT = Context(prec=80)
"""Digits enough for the product of two 128-bit numbers; Python's own 28 would round."""


def decimals_for(largest: float, *, default: int = DEFAULT_DECIMALS, where: str = "value") -> int:
    """Most decimals, up to `default`, at which `largest` still converts exactly.

    Args:
        largest: largest absolute value, in units of the asset.
        default: decimals to start from.
        where: named in the error.

    Raises:
        FixedPointRangeError: not even zero decimals suffice.
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
    """Nearest pips, and which inputs are off the grid.

    Args:
        values: float64[n].
        decimals: decimal places of a pip.
        where: named in the error.

    Returns:
        pips int64[n], and off_grid bool[n]: true where the float is not the nearest one to its pips.

    Raises:
        FixedPointRangeError: a value is not finite or beyond `EXACT_PIPS` pips.
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
    """bool[n]: which floats, none negative, no pip count stands for: off the grid, or more than `EXACT_PIPS`."""
    with np.errstate(over="ignore"):  # what becomes infinite is more
        rounded = np.rint(values * 10.0**decimals)
    return np.asarray((rounded > EXACT_PIPS) | (rounded / 10.0**decimals != values))


def pips_to_float(pips: NDArray[np.int64], decimals: int) -> NDArray[np.float64]:
    """Nearest float64 to each decimal; the inverse of `float_to_pips` on the grid."""
    return pips / 10.0**decimals


@dataclass(frozen=True, slots=True)
class FixedPoint:
    """How one instrument's prices and sizes are held.

    Attributes:
        price_decimals: `price_pips = price * 10**price_decimals`.
        size_decimals: `size_pips = size * 10**size_decimals`.
        tick_pips: price increment in pips: every price is a multiple of it. Pips of 18 decimals may be long integers.
        lot_pips: size increment in pips.
    """

    price_decimals: int = DEFAULT_DECIMALS
    size_decimals: int = DEFAULT_DECIMALS
    tick_pips: int = 1
    lot_pips: int = 1

    def price(self, pips: int) -> Decimal:
        """Exact decimal price."""
        return Decimal(int(pips)).scaleb(-self.price_decimals, EXACT)

    def size(self, pips: int) -> Decimal:
        """Exact decimal size."""
        return Decimal(int(pips)).scaleb(-self.size_decimals, EXACT)

    @property
    def tick(self) -> Decimal:
        """The tick as a decimal, without trailing zeros."""
        return self.price(self.tick_pips).normalize(EXACT)

    @property
    def lot(self) -> Decimal:
        """The lot as a decimal, without trailing zeros."""
        return self.size(self.lot_pips).normalize(EXACT)

    def to_metadata(self) -> dict[str, int]:
        """Keys and values for a file's metadata and a manifest."""
        return {
            "price_decimals": self.price_decimals,
            "size_decimals": self.size_decimals,
            "tick_pips": self.tick_pips,
            "lot_pips": self.lot_pips,
        }

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, object]) -> FixedPoint:
        """Inverse of `to_metadata`; other keys are ignored."""
        names = ("price_decimals", "size_decimals", "tick_pips", "lot_pips")
        return cls(**{name: int(str(metadata[name])) for name in names})
