"""Files of the lake: found, checked, ordered, and read with their statistics or without."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import SourceCorruptError, SourceMissingError
from order_book_platform.model import PartitionKey
from order_book_platform.sources import LakeSource
from order_book_platform.sources.lake_source import TABLES
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
