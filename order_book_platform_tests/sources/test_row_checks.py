"""Rows that readers decode: what no row may hold is refused with its place, and what is counted is told."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.errors import SourceValueError
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.row_checks import GridAudit, check_nulls, check_times, check_values
from order_book_platform_tests.lake import delta_frame, files_of

DAY = date(2024, 1, 2)
START = day_start_ns(DAY)


@pytest.fixture
def file(tmp_path: Path) -> LakeFile:
    """Any file, which the errors name."""
    return files_of(tmp_path, delta_frame(2), rows=100)[0]


def test_the_first_null_is_named(file: LakeFile) -> None:
    """Column and row of the file, not of the batch."""
    batch = pa.record_batch({"a": [1, 2, 3], "b": [1, None, None]})
    with pytest.raises(SourceValueError, match=r"0\.parquet: column b, row 11: .*found null"):
        check_nulls(file, 10, batch)
    check_nulls(file, 10, batch.select(["a"]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_the_first_bad_value_is_named(file: LakeFile, bad: float) -> None:
    """NaN, infinities and values out of range are one kind."""
    values = np.array([1.0, 2.0, bad, bad])
    with pytest.raises(SourceValueError, match=rf"column size, row 7: expected a size, found {bad!r}"):
        check_values(file, 5, "size", values, values >= 0, "a size")
    check_values(file, 5, "size", values[:2], values[:2] >= 0, "a size")


@pytest.mark.parametrize(
    ("column", "time", "refused"),
    [
        ("timestamp", START - NS_PER_DAY, False),
        ("timestamp", START - NS_PER_DAY - 1, True),
        ("timestamp", START + 2 * NS_PER_DAY - 1, False),
        ("timestamp", START + 2 * NS_PER_DAY, True),
        ("timestamp", 0, False),
        ("timestamp", -5, False),
        ("receipt_timestamp", 0, True),
        ("receipt_timestamp", START // 1_000_000, True),
    ],
)
def test_times_have_to_be_near_the_day(file: LakeFile, column: str, time: int, refused: bool) -> None:
    """A day before and after are near; an origin time of 0 or less is unknown, an arrival is always known."""
    times = {"timestamp": [START, START], "receipt_timestamp": [START, START], column: [START, time]}
    batch = pa.record_batch({name: pa.array(values, pa.int64()) for name, values in times.items()})
    if refused:
        with pytest.raises(
            SourceValueError, match=rf"column {column}, row 4: .* within one day of 2024-01-02"
        ):
            check_times(file, 3, batch, DAY)
    else:
        check_times(file, 3, batch, DAY)


def test_counts_of_the_base_are_part_of_it() -> None:
    """Metadata name every count, also those that all readers share."""
    assert asdict(GridAudit(rows=3, off_grid_sizes=1)) == {
        "rows": 3,
        "files": 0,
        "unsorted_rows": 0,
        "off_grid_prices": 0,
        "off_grid_sizes": 1,
        "first_off_grid": "",
    }
