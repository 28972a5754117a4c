"""Estimates of the needed disk space, and the error when it is not there."""

from __future__ import annotations

import shutil
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.errors import DiskFullError
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform.storage.disk_space import DiskSpace, disk_full_error, in_megabytes

KEY = PartitionKey.parse("TEST:ABC-USD", "2024-08-08")
SCHEMA = pa.schema([("value", pa.int64())])
MB = 10**6
Usage = namedtuple("Usage", "total used free")


@dataclass
class Partial:
    """A partition that is being written."""

    folder: Path
    expected_bytes: int
    stored_share: float
    resumable: bool = True


def partial(folder: Path, written: int, expected: int, share: float) -> Partial:
    """Make a partition with a file of so many bytes."""
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(bytes(written))
    return Partial(folder, expected, share)


def measured(*members: Partial) -> DiskSpace:
    """Measure the space of some partitions."""
    space = DiskSpace()
    for member in members:
        space.add(member)
    space.measure()
    return space


def free(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    """Pretend that the disk has so many free bytes."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, free_bytes))


@pytest.mark.parametrize(
    ("share", "whole", "from_written"), [(0.0, 8, False), (0.01, 8, False), (0.25, 12, True)]
)
def test_estimates(tmp_path: Path, share: float, whole: int, from_written: bool) -> None:
    """The estimate is made from the input until enough has been written."""
    space = measured(partial(tmp_path / "a", 3 * MB, 8 * MB, share))
    assert (space.written_bytes, space.total_bytes, space.is_from_written) == (
        3 * MB,
        whole * MB,
        from_written,
    )


def test_partitions_that_are_written_together(tmp_path: Path) -> None:
    """One that is half done, one that is not begun; and never less than there is already."""
    space = measured(
        partial(tmp_path / "a", 3 * MB, 1, 0.5),
        partial(tmp_path / "b", 0, 2 * MB, 0),
        partial(tmp_path / "c", 2 * MB, MB, 0),
    )
    assert (space.written_bytes, space.total_bytes) == (5 * MB, 10 * MB)


def test_the_first_look_counts(tmp_path: Path) -> None:
    """A second measurement changes nothing: failed folders are removed before the error is raised."""
    space = measured(partial(tmp_path / "a", 3 * MB, 8 * MB, 0))
    shutil.rmtree(tmp_path / "a")
    space.measure()
    assert space.written_bytes == 3 * MB


@pytest.mark.parametrize(
    ("stays", "expected", "found", "remedy"),
    [
        (
            True,
            "about 9 MB more, estimated from what is written so far",
            "No space; 2 MB free beside 3 MB that are written",
            "Free at least 7 MB there and run again, to go on from there; what was published",
        ),
        (
            False,
            "about 12 MB in all, estimated from what is written so far",
            "No space; 2 MB free without it",
            "Free at least 10 MB there and run again; what was published",
        ),
    ],
)
def test_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stays: bool, expected: str, found: str, remedy: str
) -> None:
    """The error says what is needed, what is free and how much to free; for a resumable folder only the rest counts."""
    free(monkeypatch, 2 * MB)
    space = measured(partial(tmp_path / "a", 3 * MB, 1, 0.25))
    building = tmp_path / "a" if stays else None
    error = disk_full_error(
        tmp_path, space, what="it", kept="what was published stays", why="No space", building=building
    )
    assert error.expected == f"room for it being written: {expected}"
    assert error.found == found
    assert error.remedy.startswith(remedy)


def test_a_quota_is_not_what_is_free(tmp_path: Path) -> None:
    """Where the disk has space and the system refuses, nobody is told to free a number."""
    space = measured(partial(tmp_path / "a", 3 * MB, MB, 0.5))
    assert "Free space there and run again;" in disk_full_error(tmp_path, space, what="it", kept="all").remedy


@pytest.mark.parametrize(
    ("share", "free_bytes", "fails"),
    [(0.0, 25 * MB, False), (0.0, 24 * MB, True), (0.5, MB, False), (0.5, MB - 1, True)],
)
def test_too_little_space_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, free_bytes: int, fails: bool
) -> None:
    """If it is clearly too little: a quarter of what the input suggests, half of what is left of a run that goes on."""
    store = DataStore(tmp_path)
    with store.write("raw_deltas", KEY, keep=True) as writer:
        writer.expected_bytes = 100 * MB
        sink = writer.parquet("deltas.parquet", SCHEMA, row_group_rows=1)
        sink.write(pa.table([[1, 2]], schema=SCHEMA))
        if share:
            (writer.folder / "rest").write_bytes(bytes(2 * MB - folder_size(writer.folder)))
        writer.progressed(1 if share else 0, 2)
        free(monkeypatch, free_bytes)
        if not fails:
            writer.require_disk_space()
            return
        with pytest.raises(DiskFullError, match="being written: about") as caught:
            writer.require_disk_space()
    assert caught.value.where == str(store.folder("raw_deltas", KEY))


def folder_size(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder.iterdir())


def test_rows_that_a_sink_holds_back_do_not_count(tmp_path: Path) -> None:
    """Only whole row groups lie on the disk."""
    with DataStore(tmp_path).write("raw_deltas", KEY) as writer:
        assert writer.stored_share == 0
        sink = writer.parquet("deltas.parquet", SCHEMA, row_group_rows=3)
        sink.write(pa.table([[1, 2, 3, 4]], schema=SCHEMA))
        assert writer.stored_share == 0
        writer.progressed(4, 10)
        assert writer.stored_share == pytest.approx(0.3)
        writer.finish("deltas.parquet")
        assert writer.stored_share == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 MB"), (1, "1 MB"), (10**6, "1 MB"), (1_234_000_001, "1,235 MB")]
)
def test_megabytes_are_rounded_up(size: int, text: str) -> None:
    """Who frees so many has enough."""
    assert in_megabytes(size) == text
