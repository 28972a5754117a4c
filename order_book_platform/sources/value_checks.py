"""Refuse what no row may hold: nulls, values out of range, times of another day or in another unit."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY, day_start_ns, iso_from_ns
from order_book_platform.model.arrays import BoolArray, Float64Array
from order_book_platform.sources.lake_source import LakeFile


def check_nulls(file: LakeFile, row: int, batch: pa.RecordBatch) -> None:
    """Refuse nulls in any column of a batch.

    Args:
        file: File of the batch.
        row: Row of the batch's first row in the file.
        batch: Rows to look at.

    Raises:
        SourceValueError: There is a null; the error names column and row of the first one.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            at = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise file.value_error(name, row + at, "null", "a value")


def check_values(
    file: LakeFile, row: int, column: str, values: Float64Array, in_range: BoolArray, expected: str
) -> None:
    """Refuse NaN, infinities and values out of range.

    Args:
        file: File of the values.
        row: Row of the first value in the file.
        column: Column of the values.
        values: float64[n].
        in_range: bool[n].
        expected: Description of a good value, for the error.

    Raises:
        SourceValueError: There is such a value; the error names row and value of the first one.
    """
    good = in_range & np.isfinite(values)
    if not good.all():
        at = int(np.argmin(good))
        raise file.value_error(column, row + at, repr(float(values[at])), expected)


def check_times(file: LakeFile, row: int, batch: pa.RecordBatch, day: date) -> None:
    """Refuse times more than a day away from the partition's UTC day: another day's file, or another unit than ns.

    Origin times of 0 or less pass: they stand for "unknown" and are counted by the assessment.

    Args:
        file: File of the batch.
        row: Row of the batch's first row in the file.
        batch: Rows with int64 columns `timestamp` and `receipt_timestamp`, no nulls, ns since the epoch.
        day: UTC day of the partition.

    Raises:
        SourceValueError: There is such a time; the error names column, row and value of the first one.
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
