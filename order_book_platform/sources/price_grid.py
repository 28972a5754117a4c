"""The grid of pips: how many decimals a day's prices and sizes need, and the nearest pips of floats.

Here a float price of a file becomes a pip. Values that do not lie on the grid are counted, and refused if there are
more of them than the settings accept.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from order_book_platform.errors import FixedPointRangeError, OffGridError
from order_book_platform.kernels.ingest import pip_conversion as loops
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import Float64Array, Int64Array
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
from order_book_platform.sources.read_audit import GridAudit


def choose_decimals(
    instrument: InstrumentSettings,
    deltas: Sequence[LakeFile],
    trades: Sequence[LakeFile],
    batch_rows: int,
    finest: Collection[str] = (),
    books: Sequence[LakeFile] = (),
) -> FixedPoint:
    """Choose decimals at which every price and size of deltas and trades fits int64 pips; tick and lot are 1 pip.

    Args:
        instrument: Settings, whose decimals are used if they are configured; otherwise 8, or fewer if values are too
            large for 8.
        deltas: Files of one symbol and day.
        trades: Files of the same symbol and day, if any.
        batch_rows: Rows decoded at a time where a file has no statistics.
        finest: Those of `price` and `size` that get as many decimals as their largest value leaves room for, up to 18.
        books: Files of snapshots that have to fit these decimals too.

    Raises:
        FixedPointRangeError: A value does not fit with the configured decimals, or not even without decimals.
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
        # A value that is not finite is refused with its row when it is read.
        if np.isfinite(value) and value >= largest:
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


def nearest_pips(
    audit: GridAudit, file: LakeFile, row: int, column: str, values: Float64Array, decimals: int
) -> Int64Array:
    """Return the nearest pips int64[n] of the floats of a column.

    Args:
        audit: Counts the floats that are off the grid, and names the first.
        file: File of the floats.
        row: Row of the first float in the file.
        column: Column of the floats: `price`, or else one of sizes.
        values: float64[n].
        decimals: Decimals of a pip.

    Raises:
        FixedPointRangeError: A value is too large for that many decimals.
    """
    pips = np.empty(len(values), np.int64)
    values = np.ascontiguousarray(values)
    beyond, count, at = loops.to_pips(values, 10.0**decimals, float(EXACT_PIPS), pips)
    if beyond < len(values):
        # The plain conversion raises the error that says what is wrong.
        float_to_pips(values, decimals, where=f"{file.path}: column {column}, rows from {row}")
    if count:
        if column == "price":
            audit.off_grid_prices += count
        else:
            audit.off_grid_sizes += count
        if not audit.first_off_grid:
            audit.first_off_grid = f"{file.path.name}: column {column}, row {row + at}: {float(values[at])!r}"
    return pips


def check_grid(audit: GridAudit, scale: FixedPoint, files: Sequence[LakeFile], accepted: int) -> None:
    """Refuse a table with more off-grid values than accepted.

    Args:
        audit: Counts of the table.
        scale: Decimals of its prices and sizes.
        files: Files of the table.
        accepted: Off-grid values that are accepted.

    Raises:
        OffGridError: There are more; the error names the first.
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
