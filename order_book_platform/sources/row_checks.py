"""Looks at the rows that readers decode: refuses what no row may hold, and counts what a partition's `audit` tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY, day_start_ns, iso_from_ns
from order_book_platform.errors import OffGridError
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import BoolArray, Float64Array
from order_book_platform.sources.lake_source import LakeFile


@dataclass(slots=True)
class ReadAudit:
    """Counts of the rows of one table; unsorted ones have a lower sequence number, or time, than the row before."""

    rows: int = 0
    files: int = 0
    unsorted_rows: int = 0


@dataclass(slots=True)
class GridAudit(ReadAudit):
    """Counts of a table whose prices and sizes have to lie on a grid of decimals.

    `first_off_grid` has file, column, row and value of the first float that is no decimal with that many places.
    """

    off_grid_prices: int = 0
    off_grid_sizes: int = 0
    first_off_grid: str = ""


def check_grid(audit: GridAudit, scale: FixedPoint, files: Sequence[LakeFile], accepted: int) -> None:
    """Refuse with `OffGridError`, which names the first, a table with more off-grid values than accepted."""
    off = audit.off_grid_prices + audit.off_grid_sizes
    if off > accepted:
        raise OffGridError(
            expected=f"at most {scale.price_decimals} decimals in prices, {scale.size_decimals} in sizes",
            found=f"{off} values off that grid, the first {audit.first_off_grid}",
            where=str(files[0].path.parent),
            remedy="Set price_decimals or size_decimals of the instrument, or accept them with "
            "sources.max_off_grid_rows; they are then counted and taken as the nearest pip.",
        )


def check_nulls(file: LakeFile, row: int, batch: pa.RecordBatch) -> None:
    """Refuse nulls in any column of a batch whose first row is number `row` of the file."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            at = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise file.value_error(name, row + at, "null", "a value")


def check_values(
    file: LakeFile, row: int, column: str, values: Float64Array, in_range: BoolArray, expected: str
) -> None:
    """Refuse the first of float64[n], from row `row` of a file on, that is not finite or not in range, bool[n]."""
    good = in_range & np.isfinite(values)
    if not good.all():
        at = int(np.argmin(good))
        raise file.value_error(column, row + at, repr(float(values[at])), expected)


def check_times(file: LakeFile, row: int, batch: pa.RecordBatch, day: date) -> None:
    """Refuse times more than a day away from the partition's UTC day: another day's file, or another unit than ns.

    Origin times of 0 or less pass: they stand for "unknown" and are counted by the assessment.
    """
    start = day_start_ns(day)
    for column in ("timestamp", "receipt_timestamp"):
        times = batch.column(column).to_numpy()
        good = (times >= start - NS_PER_DAY) & (times < start + 2 * NS_PER_DAY)
        if column == "timestamp":
            good |= times <= 0
        if not good.all():
            at = int(np.argmin(good))
            found = f"{times[at]} ({iso_from_ns(times[at])})"
            raise file.value_error(column, row + at, found, f"a time within one day of {day}, in ns")
