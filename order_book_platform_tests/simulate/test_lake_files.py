"""Files built aside: all appear together, the record first, and nothing is left behind."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import StorageAccessError
from order_book_platform.simulate.lake_files import (
    LAKE_TABLES,
    SCHEMAS,
    LakeWriter,
    read_record,
    record_file,
    staging_folder,
    table_file,
    write_record,
)
from order_book_platform.storage import ParquetSink
from order_book_platform_tests.simulate.small import KEY


def build(folder: Path, tables: tuple[str, ...] = LAKE_TABLES) -> None:
    """Empty tables and a record."""
    with LakeWriter(folder / "done", KEY, tables) as writer:
        write_record(folder / "done", KEY, what="a test")
    assert writer.rows == dict.fromkeys(tables, 0)


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
    with expected, LakeWriter(tmp_path, KEY, ("book", "trades")):
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
