"""Folders are replaced in one step by one writer, and errors of the disk are named."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from order_book_platform.errors import DiskFullError, PartitionBusyError, StorageAccessError
from order_book_platform.storage import DiskSpace, atomic
from order_book_platform.storage.atomic import (
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
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)


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
    assert atomic._exchange(one, other)
    assert (content(one), content(other)) == ("2", "1")
    assert not atomic._exchange(one, tmp_path / "absent")


def test_a_crash_between_two_renames_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old folder went aside and the new one never came: recovery puts the old one back."""
    target, aside = made(tmp_path / "target", "old"), tmp_path / ".aside"
    built = made(tmp_path / "built", "new")
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
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
        monkeypatch.setattr(atomic.shutil, "rmtree", second_writer)
        replace_folder(held, target, tmp_path / ".aside")
    assert refused == ["another one at work"]
    assert content(target) == "new"


def test_a_lock_file_that_was_just_removed_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first holder may finish between our opening the lock file and our locking it: then we start over."""
    folder, lock = tmp_path / "building", tmp_path / "building.lock"
    flock = atomic.fcntl.flock
    calls: list[int] = []

    def removed_before_locking(descriptor: int, operation: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            lock.unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(atomic.fcntl, "flock", removed_before_locking)
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

    monkeypatch.setattr(atomic.os, "fsync", fsync)
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
    assert caught.value.remedy == "Give this user the right to write there, or set another data_root."


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
