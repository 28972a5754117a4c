"""The grid of prices and sizes: how many decimals, which tick and lot, and what does not lie on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from math import gcd
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from order_book_platform.errors import DecimalRangeError, FixedPointRangeError, OffGridError, SettingsError
from order_book_platform.kernels.ingest import pip_conversion as loops
from order_book_platform.model import FixedPoint
from order_book_platform.model.decimal128 import CODE_LIMIT, DECIMAL_DIGITS, DECIMALS
from order_book_platform.model.encoding import unit_fits
from order_book_platform.model.fixed_point import (
    DEFAULT_DECIMALS,
    EXACT_PIPS,
    MAX_DECIMALS,
    decimals_for,
    float_to_pips,
)
from order_book_platform.model.levels import DEPTH
from order_book_platform.settings import InstrumentSettings
from order_book_platform.sources.lake_source import LakeFile


class GridAudit(Protocol):
    """Where off-grid values are counted.

    Attributes:
        off_grid_prices, off_grid_sizes: floats that are no decimal with that many places.
        first_off_grid: where the first of them was.
    """

    off_grid_prices: int
    off_grid_sizes: int
    first_off_grid: str


def choose_decimals(
    instrument: InstrumentSettings,
    deltas: list[LakeFile],
    trades: list[LakeFile],
    batch_rows: int,
    finest: Collection[str] = (),
    books: Sequence[LakeFile] = (),
) -> FixedPoint:
    """Decimals at which every price and size of deltas and trades converts exactly; tick and lot are still 1 pip.

    Args:
        instrument: its decimals are taken as they are; what it leaves out is 8, or fewer if values are too large.
        deltas: files of one symbol and day.
        trades: files of the same symbol and day, if any.
        batch_rows: rows decoded at a time where a file has no statistics.
        finest: `price`, `size`: what is to have as many decimals as its largest value leaves room for, up to 18.
        books: files of snapshots that shall fit these decimals too.

    Raises:
        FixedPointRangeError: a value does not fit with the configured decimals, or with none at all.
    """
    prices = [(file, "price") for file in (*deltas, *trades)]
    sizes = [*((file, "size") for file in deltas), *((file, "amount") for file in trades)]
    levels = [
        (file, f"{side}_{level}_") for file in books for side in ("bid", "ask") for level in range(DEPTH)
    ]
    prices += [(file, f"{level}price") for file, level in levels]
    sizes += [(file, f"{level}size") for file, level in levels]
    chosen = (
        _decimals(instrument, f"{what}_decimals", columns, batch_rows, finest=what in finest)
        for what, columns in (("price", prices), ("size", sizes))
    )
    return FixedPoint(*chosen)


def _decimals(
    instrument: InstrumentSettings,
    setting: str,
    columns: list[tuple[LakeFile, str]],
    batch_rows: int,
    *,
    finest: bool,
) -> int:
    wanted: int | None = getattr(instrument, setting)
    largest, where = 0.0, ""
    for file, column in columns:
        value = max(abs(limit) for limit in file.extreme(column, batch_rows))
        if (
            np.isfinite(value) and value >= largest
        ):  # what is not finite is refused with its row when it is read
            largest, where = value, f"{file.path}: column {column}"
    start = (MAX_DECIMALS if finest else DEFAULT_DECIMALS) if wanted is None else wanted
    fitting = decimals_for(largest, default=start, where=where)
    if wanted is not None and fitting < wanted:
        raise FixedPointRangeError(
            expected=f"values of at most {EXACT_PIPS:,} (2**51) pips with {setting} = {wanted}",
            found=repr(largest),
            where=f"{where}, setting {setting} of {instrument.symbol}",
            remedy=f"Set {setting} to {fitting} or less, or leave it out to have it chosen.",
        )
    return fitting


def on_grid(
    audit: GridAudit, file: LakeFile, row: int, column: str, values: NDArray[np.float64], decimals: int
) -> NDArray[np.int64]:
    """Nearest pips int64[n] of the floats of a column; those off the grid are counted, the first one is named.

    Raises:
        FixedPointRangeError: a value is too large for that many decimals.
    """
    pips = np.empty(len(values), np.int64)
    values = np.ascontiguousarray(values)
    beyond, count, at = loops.to_pips(values, 10.0**decimals, float(EXACT_PIPS), pips)
    if beyond < len(values):
        # The plain way says what is wrong.
        float_to_pips(values, decimals, where=f"{file.path}: column {column}, rows from {row}")
    if count:
        if column == "price":
            audit.off_grid_prices += count
        else:
            audit.off_grid_sizes += count
        if not audit.first_off_grid:
            audit.first_off_grid = f"{file.path.name}: column {column}, row {row + at}: {float(values[at])!r}"
    return pips


def check_grid(audit: GridAudit, scale: FixedPoint, files: list[LakeFile], accepted: int) -> None:
    """Refuse more off-grid values than accepted.

    Raises:
        OffGridError: there are more; it names the first.
    """
    off = audit.off_grid_prices + audit.off_grid_sizes
    if off > accepted:
        raise OffGridError(
            expected=f"at most {scale.price_decimals} decimals in prices, {scale.size_decimals} in sizes",
            found=f"{off} values off that grid, the first {audit.first_off_grid}",
            where=str(files[0].path.parent),
            remedy="Set price_decimals or size_decimals of the instrument, or accept them with "
            "sources.max_off_grid_rows; they are then counted and taken as the nearest pip.",
        )


def configured_pips(
    instrument: InstrumentSettings, setting: str, value: Decimal | None, decimals: int
) -> int | None:
    """A configured tick or lot in pips; None if it is not configured.

    Raises:
        SettingsError: it is no whole number of pips, or too large to be one.
    """
    if value is None:
        return None
    pips = value.scaleb(decimals)
    largest = 10**DECIMAL_DIGITS if decimals == DECIMALS else EXACT_PIPS
    if pips != pips.to_integral_value() or pips > largest:
        raise SettingsError(
            expected=f"a multiple of {Decimal(1).scaleb(-decimals):f}, at most {largest:,} times that, "
            f"as the data are held with {decimals} decimals",
            found=str(value),
            where=f"setting {setting} of {instrument.symbol}",
            remedy=f"Correct {setting}, set more decimals, or leave it out to have it detected.",
        )
    return int(pips)


def tick_of(deltas: int, snapshots: int, off_tick_rows: int, rows: int, largest: int) -> int:
    """The detected tick: what divides the deltas' prices, unless they were too few or too coarse to show it.

    Args:
        deltas: greatest common divisor of the deltas' prices, pips.
        snapshots: the same of the readable snapshots' prices; 0 if there are none.
        off_tick_rows: readable snapshots with a price that `deltas` does not divide.
        rows: readable snapshots.
        largest: of the deltas' prices.

    Returns:
        The divisor of both if most snapshots say so and it can count the prices; a few bad snapshots do not drag it
        down, nor do many that are noise.
    """
    both = gcd(deltas, snapshots)
    return both if 2 * off_tick_rows > rows and unit_fits(largest, both) else deltas


def settled(detected: int, configured: int | None) -> tuple[int, bool]:
    """Increment in use, in pips, and whether the data contradict the configured one.

    Args:
        detected: greatest common divisor of what was seen; 0 if nothing was.
        configured: None if nothing is.
    """
    if configured is None:
        return detected or 1, False
    if detected % configured:
        return detected, True
    return configured, False


def price_unit(deltas: int, snapshots: int, largest: int, where: object) -> int:
    """The unit in which decimal prices are replayed: what divides them all, unscaled.

    Args:
        deltas: what divides the tick and the deltas' prices.
        snapshots: the same of the readable snapshots' prices; 0 if there are none.
        largest: of the deltas' prices.
        where: named in the error.

    Returns:
        The divisor of both; that of the deltas alone if a bad snapshot would make the unit too small for codes: its
        prices then have none, and it is left out.

    Raises:
        DecimalRangeError: the deltas' prices span more units than codes can count.
    """
    unit = gcd(deltas, snapshots)
    if unit_fits(16 * largest, unit):
        return unit
    if unit_fits(largest, deltas):
        return deltas
    raise DecimalRangeError(
        expected=f"prices of less than {CODE_LIMIT:,} (2**61) units, the greatest common divisor of them all",
        found=f"{largest / deltas:.3g} units of {Decimal(deltas).scaleb(-DECIMALS)}",
        where=str(where),
        remedy="Check the prices, and the tick if one is configured: no market has so many digits.",
    )
