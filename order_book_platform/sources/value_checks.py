"""What no row may hold: nulls, values out of range, times of another day or in another unit."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_DAY, day_start_ns, iso_from_ns
from order_book_platform.sources.lake_source import LakeFile


def check_nulls(file: LakeFile, row: int, batch: pa.RecordBatch) -> None:
    """Refuse nulls.

    Raises:
        SourceValueError: with the first one's column and row.
    """
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count:
            at = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise file.value_error(name, row + at, "null", "a value")


def check_values(
    file: LakeFile,
    row: int,
    column: str,
    values: NDArray[np.float64],
    in_range: NDArray[np.bool_],
    expected: str,
) -> None:
    """Refuse NaN, infinities and values out of range.

    Raises:
        SourceValueError: with the first one's row and value.
    """
    good = in_range & np.isfinite(values)
    if not good.all():
        at = int(np.argmin(good))
        raise file.value_error(column, row + at, repr(float(values[at])), expected)


def check_times(file: LakeFile, row: int, batch: pa.RecordBatch, day: date) -> None:
    """Refuse times more than a day away from the partition's UTC day: another day's file, or another unit than ns.

    Origin times of 0 or less pass: they stand for "unknown" and are counted by the assessment.

    Args:
        file: where the batch is from.
        row: index of the batch's first row in it.
        batch: with int64 columns `timestamp` and `receipt_timestamp`, no nulls, ns since the epoch.
        day: of the partition.

    Raises:
        SourceValueError: with the first one's column, row and value.
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
