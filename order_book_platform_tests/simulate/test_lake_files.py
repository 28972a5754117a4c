"""Files built aside: all appear together, the record first, and nothing is left behind."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import StorageAccessError
from order_book_platform.simulate import MarketSimulator
from order_book_platform.simulate.lake_files import (
    LAKE_TABLES,
    SCHEMAS,
    LakeIndex,
    lake_writer,
    read_index,
    read_record,
    record_file,
    staging_folder,
    table_file,
    write_record,
)
from order_book_platform.sources import LakeSource
from order_book_platform.storage import ParquetSink
from order_book_platform_tests.simulate.small import KEY, read, small_profile


def build(folder: Path, tables: tuple[str, ...] = LAKE_TABLES) -> None:
    """Empty tables and a record."""
    with lake_writer(folder / "done", KEY, tables) as sinks:
        write_record(folder / "done", KEY, what="a test")
    assert {table: sink.rows for table, sink in sinks.items()} == dict.fromkeys(tables, 0)


def test_files_appear_at_the_end(tmp_path: Path) -> None:
    """Before the block ends there is nothing; afterwards every table and the record, and no leftovers."""
    with staging_folder(tmp_path, KEY) as folder:
        build(folder, tuple(SCHEMAS))
        assert not any(table_file(tmp_path, table, KEY).exists() for table in SCHEMAS)
    assert all(table_file(tmp_path, table, KEY).is_file() for table in SCHEMAS)
    assert read_record(tmp_path, KEY) == {
        "what": "a test",
        "symbol": KEY.instrument.key,
        "day": KEY.day.isoformat(),
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book", "book_delta_v2", "trades", "truth"]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    """When building fails, no file appears and the building folder is gone."""
    with pytest.raises(ZeroDivisionError), staging_folder(tmp_path, KEY) as folder:
        build(folder)
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_the_record_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between two files leaves a record, so that the next simulation may clean up after it."""
    moved: list[str] = []
    replace = Path.replace

    def crash(self: Path, target: Path) -> Path:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(KeyboardInterrupt), staging_folder(tmp_path, KEY) as folder:
        build(folder)
    monkeypatch.undo()
    assert moved[0] == record_file(tmp_path, KEY).name
    with staging_folder(tmp_path, KEY) as folder:
        build(folder)
    assert all(table_file(tmp_path, table, KEY).is_file() for table in LAKE_TABLES)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A root that is a file is an error with a remedy, not a traceback."""
    (tmp_path / "root").write_text("")
    with pytest.raises(StorageAccessError, match="root"), staging_folder(tmp_path / "root", KEY):
        pass


def test_files_are_compressed_as_crypto_lake_does_it(tmp_path: Path) -> None:
    """Snappy: what a reader of real files meets."""
    with staging_folder(tmp_path, KEY) as folder:
        build(folder)
    for table in LAKE_TABLES:
        group = pq.ParquetFile(table_file(tmp_path, table, KEY)).metadata.row_group(0)
        assert {group.column(index).compression for index in range(group.num_columns)} == {"SNAPPY"}


@pytest.mark.parametrize("error", [None, "within", "closing"])
def test_files_are_closed_or_abandoned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str | None
) -> None:
    """A block that ends well closes every file; an error in it, or while closing, abandons all and is not hidden."""
    calls: list[str] = []

    def close(self: ParquetSink) -> None:
        calls.append("close")
        if error == "closing":
            raise ZeroDivisionError

    monkeypatch.setattr(ParquetSink, "close", close)
    monkeypatch.setattr(ParquetSink, "abandon", lambda self: calls.append("abandon"))
    expected = nullcontext() if error is None else pytest.raises(ZeroDivisionError)
    with expected, lake_writer(tmp_path, KEY, ("book", "trades")):
        if error == "within":
            raise ZeroDivisionError
    assert (
        calls
        == {
            None: ["close", "close"],
            "within": ["abandon", "abandon"],
            "closing": ["close", "abandon", "abandon"],
        }[error]
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A day whose deltas are spread over two files with small row groups, cut within a message."""
    MarketSimulator(small_profile(), 1).write(tmp_path, KEY, 120)
    rows = read(tmp_path, "book_delta_v2")
    for path in (tmp_path / "book_delta_v2" / KEY.path).iterdir():
        path.unlink()
    folder = tmp_path / "book_delta_v2" / KEY.path
    rows.head(501).write_parquet(folder / "z.parquet", row_group_size=100)
    rows.slice(501).write_parquet(folder / "a.parquet", row_group_size=77)
    return tmp_path


@pytest.mark.parametrize("batch_rows", [1, 13, 10_000])
def test_messages_are_found(root: Path, batch_rows: int) -> None:
    """Sequence numbers, times and first rows of messages are those of the whole table, whatever the batches."""
    index = read_index(LakeSource(root, batch_rows), KEY)
    chain, rows = read(root, "truth/update_chain"), whole(root)
    assert index.messages == 120
    assert index.sequence.tolist() == chain["final_update_id"].to_list()
    assert index.timestamp.tolist() == chain["timestamp"].to_list()
    starts = np.flatnonzero(np.diff(rows["sequence_number"].to_numpy(), prepend=-1))
    assert index.first_row.tolist() == [*starts.tolist(), rows.height]


def whole(root: Path) -> pl.DataFrame:
    """Every delta row."""
    folder = root / "book_delta_v2" / KEY.path
    return pl.concat(
        [pl.read_parquet(folder / name, hive_partitioning=False) for name in ("z.parquet", "a.parquet")]
    )


def test_any_rows_can_be_read(root: Path) -> None:
    """A range of rows is read over row groups and files as from one table."""
    index, rows = read_index(LakeSource(root), KEY), whole(root)
    for start, stop in ((0, 1), (99, 101), (450, 640), (rows.height - 1, rows.height)):
        found = pl.DataFrame(index.deltas.read(start, stop))
        assert found.equals(rows.slice(start, stop - start))
    message = pl.DataFrame(index.message_rows(7, 9))
    assert message["sequence_number"].unique(maintain_order=True).to_list() == index.sequence[7:9].tolist()


def test_books_between_messages(root: Path) -> None:
    """The range starts with the last row before the first message; without one it is empty."""
    index: LakeIndex = read_index(LakeSource(root), KEY)
    assert index.books_between(0, 5) == (0, 0)
    low, high = index.books_between(40, 60)
    assert index.book_sequence[low] < index.sequence[40] <= index.book_sequence[low + 1]
    assert index.book_sequence[high - 1] <= index.sequence[59] < index.book_sequence[high]
