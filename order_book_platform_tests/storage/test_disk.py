"""Folders are replaced in one step by one writer, disk space is estimated, and errors of the disk are named."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.errors import DiskFullError, PartitionBusyError, StorageAccessError
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore, disk
from order_book_platform.storage.disk import (
    DiskSpace,
    disk_full_error,
    in_megabytes,
    locked_folder,
    recover_replaced_folder,
    replace_folder,
    sync_tree,
    translate_write_errors,
)


class CutError(Exception):
    """Stands for the moment at which a process dies."""


def made(folder: Path, content: str) -> Path:
    """Make a folder with one file."""
    folder.mkdir()
    (folder / "file").write_text(content, encoding="utf-8")
    return folder


def content(folder: Path) -> str:
    """Read the content of the folder's file."""
    return (folder / "file").read_text(encoding="utf-8")


def names(folder: Path) -> list[str]:
    """List the names in a folder."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["exchange", "two renames"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the kernel's exchange of names, and on a file system that has none."""
    if request.param == "two renames":
        monkeypatch.setattr(disk, "_exchange", lambda one, other: False)


@pytest.mark.usefixtures("either_way")
def test_first_and_second_time(tmp_path: Path) -> None:
    """A new folder appears whole; a later one replaces it and leaves nothing behind."""
    target, aside = tmp_path / "target", tmp_path / ".aside"
    replace_folder(made(tmp_path / "built", "old"), target, aside)
    assert content(target) == "old"
    replace_folder(made(tmp_path / "built", "new"), target, aside)
    assert content(target) == "new"
    assert names(tmp_path) == ["target"]


def test_the_exchange_works_here(tmp_path: Path) -> None:
    """On Linux both names are swapped by the kernel: at no instant is the target absent."""
    one, other = made(tmp_path / "one", "1"), made(tmp_path / "other", "2")
    assert disk._exchange(one, other)
    assert (content(one), content(other)) == ("2", "1")
    assert not disk._exchange(one, tmp_path / "absent")


def test_a_crash_between_two_renames_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old folder went aside and the new one never came: recovery puts the old one back."""
    target, aside = made(tmp_path / "target", "old"), tmp_path / ".aside"
    built = made(tmp_path / "built", "new")
    monkeypatch.setattr(disk, "_exchange", lambda one, other: False)
    rename = Path.rename

    def rename_once(self: Path, to: Path) -> Path:
        if self == built:
            raise CutError
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", rename_once)
    with pytest.raises(CutError):
        replace_folder(built, target, aside)
    monkeypatch.undo()
    assert names(tmp_path) == [".aside", "built"]
    recover_replaced_folder(target, aside)
    assert content(target) == "old"
    assert names(tmp_path) == ["built", "target"]


def test_a_crash_after_both_renames_is_cleaned_up(tmp_path: Path) -> None:
    """The new folder is in place: what was set aside is dropped, and recovering twice is harmless."""
    target, aside = made(tmp_path / "target", "new"), made(tmp_path / ".aside", "old")
    recover_replaced_folder(target, aside)
    recover_replaced_folder(target, aside)
    assert content(target) == "new"
    assert names(tmp_path) == ["target"]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second writer is turned away at once, and may come when the first is gone."""
    folder = tmp_path / "deep" / "building"
    with locked_folder(folder) as held:
        assert names(held) == []
        with (
            pytest.raises(PartitionBusyError, match="expected one writer per partition, found another one"),
            locked_folder(folder),
        ):
            pass
    with locked_folder(folder):
        pass
    assert names(folder.parent) == ["building"]


def test_leftovers_of_a_dead_writer_are_removed(tmp_path: Path) -> None:
    """Files, folders and the lock file of a killed process are no obstacle."""
    folder = made(tmp_path / "building", "half a file")
    made(folder / "inner", "more")
    (tmp_path / "building.lock").touch()
    with locked_folder(folder) as held:
        assert names(held) == []
    assert names(tmp_path) == ["building"]


def test_nobody_enters_while_the_old_folder_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the exchange the writer's folder holds the old partition: it is still locked until that is gone."""
    folder, target = tmp_path / "building", made(tmp_path / "target", "old")
    remove = shutil.rmtree
    refused: list[str] = []

    def second_writer(path: Path) -> None:
        with pytest.raises(PartitionBusyError) as caught, locked_folder(folder):
            pass
        refused.append(caught.value.found)
        remove(path)

    with locked_folder(folder) as held:
        (held / "file").write_text("new", encoding="utf-8")
        monkeypatch.setattr(disk.shutil, "rmtree", second_writer)
        replace_folder(held, target, tmp_path / ".aside")
    assert refused == ["another one at work"]
    assert content(target) == "new"


def test_a_lock_file_that_was_just_removed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first holder may finish between our opening the lock file and our locking it: then we start over."""
    folder, lock = tmp_path / "building", tmp_path / "building.lock"
    flock = disk.fcntl.flock
    calls: list[int] = []

    def removed_before_locking(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            lock.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(disk.fcntl, "flock", removed_before_locking)
    with locked_folder(folder):
        assert lock.exists()
    assert len(calls) == 2


def test_everything_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file and every folder below is synced, folders after what they hold."""
    folder = made(tmp_path / "one", "1")
    made(folder / "two", "2")
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(disk.os, "fsync", fsync)
    sync_tree(folder)
    expected = [folder, folder / "file", folder / "two", folder / "two" / "file"]
    assert sorted(synced) == sorted(str(path) for path in expected)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named(tmp_path: Path, number: int) -> None:
    """Device, quota or file-size limit: where, how much is free, and what to do."""
    folder = tmp_path / "not" / "yet" / "there"
    with pytest.raises(DiskFullError) as caught, translate_write_errors(folder):
        raise OSError(number, os.strerror(number))
    assert caught.value.where == str(folder)
    assert caught.value.found.startswith(f"{os.strerror(number)}; ")
    assert caught.value.found.endswith(" MB free without it")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_full_disk_says_what_stays_on_it(tmp_path: Path) -> None:
    """Where the next run goes on, what is written is not free, and need not be written again."""
    (tmp_path / "part").write_bytes(bytes(3_000_000))
    with pytest.raises(DiskFullError) as caught, translate_write_errors(tmp_path / "x", building=tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.found.endswith(" MB free beside 3 MB that are written")
    assert "run again, to go on from there; what was published" in str(caught.value)


def test_a_full_disk_says_how_much_is_needed(tmp_path: Path) -> None:
    """The estimate, if there is one, is part of the message."""
    space = DiskSpace(total_bytes=10**15)
    with pytest.raises(DiskFullError) as caught, translate_write_errors(tmp_path / "x", disk_space=space):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "being written: about 1,000,000,000 MB in all, estimated from its input" in caught.value.expected
    assert caught.value.remedy.startswith("Free at least ")


def test_a_file_where_a_folder_belongs_is_named(tmp_path: Path) -> None:
    """The data root, or a folder in it, is a file."""
    root = tmp_path / "root"
    root.write_text("", encoding="utf-8")
    folder = root / "raw_deltas" / "dt=2024-08-08"
    with pytest.raises(StorageAccessError) as caught, translate_write_errors(folder), locked_folder(folder):
        pass
    assert caught.value.where.startswith(str(root))
    assert (
        caught.value.remedy
        == "Give this user the right to write there, or set another data_root or capture_root."
    )


def test_a_forbidden_folder_is_named(tmp_path: Path) -> None:
    """No right to write there."""
    with (
        pytest.raises(StorageAccessError, match="found Permission denied"),
        translate_write_errors(tmp_path / "a"),
    ):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))


@pytest.mark.parametrize("name", ["/somewhere/else", None, 7])
def test_errors_about_other_files_pass(tmp_path: Path, name: object) -> None:
    """A component that may not read its input is not told to change the data root."""
    with pytest.raises(PermissionError), translate_write_errors(tmp_path / "a"):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
    with pytest.raises(OSError, match="Input/output error"), translate_write_errors(tmp_path / "a"):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(tmp_path / "a"))


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
        space.writers.append(member)
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
