"""The grid of pips: decimals that values fit, and floats that do not lie on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.errors import FixedPointRangeError, OffGridError
from order_book_platform.model import FixedPoint
from order_book_platform.settings import InstrumentSettings
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.price_grid import check_grid, choose_decimals, nearest_pips
from order_book_platform.sources.read_audit import GridAudit
from order_book_platform_tests.lake import delta_frame, files_of


def files(folder: Path, largest_size: float) -> list[LakeFile]:
    """A file of deltas with one large size."""
    at = pl.int_range(pl.len()) == 3
    size = pl.when(at).then(largest_size).otherwise(pl.col("size")).alias("size")
    return files_of(folder, delta_frame().with_columns(size), rows=100)


@pytest.mark.parametrize(
    ("largest", "finest", "wanted"),
    [(1.0, (), (8, 8)), (1e12, (), (8, 3)), (1.0, ("size",), (8, 15)), (1.0, ("price", "size"), (13, 15))],
)
def test_decimals_leave_room_for_the_largest_value(
    tmp_path: Path, largest: float, finest: tuple[str, ...], wanted: tuple[int, int]
) -> None:
    """Eight, or fewer for large values; as many as there is room for where that is asked for."""
    instrument = InstrumentSettings(symbol="TEST:A-B")
    assert choose_decimals(instrument, files(tmp_path, largest), [], 100, finest) == FixedPoint(*wanted)


def test_configured_decimals_are_not_lowered(tmp_path: Path) -> None:
    """What does not fit is refused, with the setting and a value that would do."""
    instrument = InstrumentSettings(symbol="TEST:A-B", size_decimals=8)
    with pytest.raises(FixedPointRangeError, match=r"size_decimals of TEST:A-B.*Set size_decimals to 3"):
        choose_decimals(instrument, files(tmp_path, 1e12), [], 100)


def test_floats_off_the_grid_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    """Prices and sizes apart; every one becomes its nearest pip."""
    (file,), audit = files(tmp_path, 1.0), GridAudit()
    prices = nearest_pips(audit, file, 10, "price", np.array([1.25, 1.005, 2.0, 0.001]), 2)
    sizes = nearest_pips(audit, file, 10, "amount", np.array([1.5, 2.25]), 1)
    assert (prices.tolist(), sizes.tolist()) == ([125, 100, 200, 0], [15, 22])
    assert (audit.off_grid_prices, audit.off_grid_sizes) == (2, 1)
    assert audit.first_off_grid == "0.parquet: column price, row 11: 1.005"
    check_grid(audit, FixedPoint(2, 1), [file], 3)
    with pytest.raises(
        OffGridError, match=r"3 values off that grid, the first 0\.parquet: column price, row 11"
    ):
        check_grid(audit, FixedPoint(2, 1), [file], 2)


def test_a_float_beyond_the_grid_is_refused(tmp_path: Path) -> None:
    """With its column, whatever else is in the batch."""
    (file,) = files(tmp_path, 1.0)
    with pytest.raises(FixedPointRangeError, match=r"column size, rows from 10: .*found 1e\+20"):
        nearest_pips(GridAudit(), file, 10, "size", np.array([1.0, 1e20]), 8)
