"""Files of the lake: found, checked, ordered, and read with their statistics or without."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.errors import SourceCorruptError, SourceMissingError, SourceValueError
from order_book_platform.model import PartitionKey
from order_book_platform.sources import LakeSource
from order_book_platform.sources.lake_source import (
    TABLES,
    GridAudit,
    LakeFile,
    check_nulls,
    check_times,
    check_values,
)
from order_book_platform_tests.lake import KEY, book_frame, delta_frame, files_of, trade_frame, write_lake


@pytest.fixture
def lake(tmp_path: Path) -> LakeSource:
    """A lake of one symbol and day."""
    write_lake(tmp_path, KEY, delta_frame(), book_frame(), trade_frame())
    return LakeSource(tmp_path)


def test_days_are_folders_with_files(lake: LakeSource) -> None:
    """An empty day and a folder of another name are none; another symbol has no days."""
    symbol = (lake.root / "trades" / KEY.path).parent
    (symbol / "dt=2024-01-01").mkdir()
    (symbol / "2024-01-03").mkdir()
    assert lake.days("trades", KEY.instrument) == ["2024-01-02"]
    assert lake.days("trades", PartitionKey.parse("TEST:OTHER", "2024-01-02").instrument) == []
    assert (lake.has("trades", KEY), lake.has("tickers", KEY)) == (True, False)


def test_deltas_are_required_and_the_other_tables_are_not(lake: LakeSource) -> None:
    """Tables without files have an empty list, in the order of the tables."""
    (lake.root / "book" / KEY.path / "1.parquet").unlink()
    files = lake.files_by_table(KEY)
    assert list(files) == list(TABLES)
    assert [len(each) for each in files.values()] == [1, 0, 1]
    (lake.root / "book_delta_v2" / KEY.path / "1.parquet").unlink()
    with pytest.raises(SourceMissingError, match="Parquet files of book_delta_v2"):
        lake.files_by_table(KEY)


def test_files_are_ordered_by_their_content(tmp_path: Path) -> None:
    """By the first number, whatever their names; batches carry the row of the file."""
    frame = delta_frame(20)
    files = files_of(tmp_path, frame[30:], frame[:30], rows=8)
    assert [file.path.name for file in files] == ["1.parquet", "0.parquet"]
    assert [row for row, _ in files[0].batches(["price"], 5)][:3] == [0, 5, 8]
    assert sum(batch.num_rows for _, batch in files[0].batches(["price"], 5)) == files[0].rows == 30


@pytest.mark.parametrize("statistics", [True, False])
def test_extremes_do_not_depend_on_statistics(tmp_path: Path, statistics: bool) -> None:
    """Also of a flat column behind a struct, which has several leaves."""
    path = tmp_path / "book_delta_v2" / KEY.path
    path.mkdir(parents=True)
    struct = pa.array([{"a": 1, "b": 2}] * len(delta_frame()))
    table = delta_frame().to_arrow().add_column(0, "extra", struct)
    pq.write_table(table, path / "1.parquet", row_group_size=11, write_statistics=statistics)
    (file,) = LakeSource(tmp_path).files("book_delta_v2", KEY)
    prices = delta_frame()["price"]
    assert file.extreme("price", 4) == (prices.min(), prices.max())
    assert file.parquet.metadata.schema.column(file.leaf("price")).path == "price"


def test_a_file_that_is_no_parquet_file_is_corrupt(lake: LakeSource) -> None:
    """It is named, with what to do."""
    (lake.root / "trades" / KEY.path / "1.parquet").write_bytes(b"nothing")
    with pytest.raises(SourceCorruptError, match=r"1\.parquet: expected a complete Parquet file"):
        lake.files("trades", KEY)


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
