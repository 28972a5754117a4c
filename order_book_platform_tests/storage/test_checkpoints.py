"""Checkpoints: complete or absent, the newest few are kept, and rows that only grow are written once."""

from __future__ import annotations

import errno
import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event, Thread, current_thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from order_book_platform.storage import checkpoints
from order_book_platform.storage.checkpoints import (
    KEPT,
    Checkpoint,
    CheckpointRows,
    Checkpoints,
    RowExtent,
    read_rows,
)
from order_book_platform.storage.disk import sync_path


def checkpoint(number: int) -> Checkpoint:
    """Make a checkpoint that differs from others."""
    arrays = {
        "book.state": np.full((2, 3), number),
        "none": np.empty((0, 4), np.uint64),
        "file": np.array([True, False]),
    }
    return Checkpoint({"number": number, "text": "ä"}, arrays)


def growing(number: int) -> Checkpoint:
    """Make a checkpoint with two growing arrays, three rows and one row longer than those of the number before."""
    many = np.arange(6 * number).reshape(-1, 2)
    return replace(
        checkpoint(number), growing={"many": many, "few": np.full((number, 3), 7), "none": many[:0]}
    )


def numbers(checkpoints: Checkpoints) -> list[int]:
    """Read the numbers of the readable checkpoints, newest first."""
    return [each.facts["number"] for each in checkpoints.newest_first()]


def test_the_newest_are_kept_and_come_back_as_they_were(tmp_path: Path) -> None:
    """Facts, names, shapes and dtypes, in a process that did not write them."""
    checkpoints = Checkpoints(tmp_path / "c")
    assert numbers(checkpoints) == []
    for number in range(5):
        checkpoints.save(checkpoint(number))
    assert len(list(checkpoints.folder.iterdir())) == KEPT
    found = list(Checkpoints(tmp_path / "c").newest_first())
    assert [each.facts for each in found] == [checkpoint(number).facts for number in (4, 3, 2)]
    assert set(found[0].arrays) == {"book.state", "none", "file"}
    for name, array in checkpoint(4).arrays.items():
        np.testing.assert_array_equal(found[0].arrays[name], array)
        assert found[0].arrays[name].dtype == array.dtype
    checkpoints.clear()
    assert numbers(checkpoints) == []
    assert not checkpoints.folder.exists()


def test_every_damaged_byte_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever byte of the newest is flipped, and wherever it is cut: the one before is taken, and the log says so."""
    checkpoints = Checkpoints(tmp_path)
    for number in (0, 1):
        checkpoints.save(checkpoint(number))
    path = sorted(tmp_path.iterdir())[-1]
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        assert numbers(checkpoints) == [0]
    assert checkpoints.damaged == len(content)
    assert "cannot be read" in caplog.text
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert numbers(checkpoints) == [0]


def test_rows_that_grow_are_written_once_and_come_back(tmp_path: Path) -> None:
    """Each of the kept checkpoints has its own; a process that goes on writes them anew, and drops what is needless."""
    first = Checkpoints(tmp_path)
    for number in range(1, 6):
        first.save(growing(number))
    frames = 5 * 2 * 24
    assert (tmp_path / "checkpoint-00000000.rows").stat().st_size == frames + 8 * (5 * 6 + 5 * 3)
    second = Checkpoints(tmp_path)
    for number in range(6, 10):
        second.save(growing(number))
        found = list(Checkpoints(tmp_path).newest_first())
        assert [each.facts["number"] for each in found] == [number, number - 1, number - 2]
        for each in found:
            for name, array in growing(each.facts["number"]).growing.items():
                np.testing.assert_array_equal(each.growing[name], array)
    assert [path.name for path in tmp_path.glob("*.rows")] == ["checkpoint-00000005.rows"]


def test_damage_to_rows_that_grow_is_noticed(tmp_path: Path) -> None:
    """Only checkpoints that speak of the damaged ones are passed over."""
    checkpoints = Checkpoints(tmp_path)
    ends = []
    for number in (1, 2, 3):
        checkpoints.save(growing(number))
        ends.append((tmp_path / "checkpoint-00000000.rows").stat().st_size)
    path = tmp_path / "checkpoint-00000000.rows"
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x41]) + content[at + 1 :])
        assert numbers(checkpoints) == [n for n, end in zip((3, 2, 1), ends[::-1], strict=True) if end <= at]
    path.write_bytes(content[: ends[1] + 1])
    assert numbers(checkpoints) == [2, 1]
    path.write_bytes(content + b"half a frame")
    assert numbers(checkpoints) == [3, 2, 1]
    path.unlink()
    assert numbers(checkpoints) == []


def test_after_a_failure_rows_begin_in_a_file_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full while rows are added leaves half of them behind: nothing is built on that."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(growing(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full)
        with pytest.raises(OSError, match="No space"):
            checkpoints.save(growing(2))
    checkpoints.save(growing(3))
    found = list(Checkpoints(tmp_path).newest_first())
    assert [each.facts["number"] for each in found] == [3, 1]
    np.testing.assert_array_equal(found[0].growing["many"], growing(3).growing["many"])


def test_nobody_takes_the_number_of_who_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save that hangs while its rows are synced, another one meanwhile, and both end at once: the other is whole."""
    hung, wake = Event(), Event()
    hanging, other = Checkpoints(tmp_path), Checkpoints(tmp_path)
    hanging.save(growing(1))
    sync, lost = os.fsync, []

    def slow(file: int) -> None:
        sync(file)
        name = Path(f"/proc/self/fd/{file}").readlink().suffix
        if current_thread() is thread and name == ".rows":
            hung.set()
            wake.wait(60)
        elif current_thread() is not thread and name == ".unfinished":
            wake.set()
            thread.join(60)

    def save() -> None:
        try:
            hanging.save(growing(2))
        except FileNotFoundError as error:
            lost.append(error)

    thread = Thread(target=save)
    monkeypatch.setattr(os, "fsync", slow)
    thread.start()
    assert hung.wait(60)
    other.save(growing(3))
    assert not thread.is_alive()
    found = next(iter(Checkpoints(tmp_path).newest_first()))
    assert found.facts["number"] == 3
    np.testing.assert_array_equal(found.growing["many"], growing(3).growing["many"])


def test_rows_of_who_was_given_up_go_nowhere(tmp_path: Path) -> None:
    """Its file is gone, and another has one of the same name: that one is not written to."""
    given_up, other = Checkpoints(tmp_path), Checkpoints(tmp_path)
    given_up.save(growing(1))
    other.clear()
    other.save(growing(2))
    rows = tmp_path / "checkpoint-00000000.rows"
    content = rows.read_bytes()
    given_up.save(growing(3))
    assert rows.read_bytes() == content
    assert 2 in numbers(Checkpoints(tmp_path))


def test_a_checkpoint_of_another_version_is_told_from_a_damaged_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot be read, and the log says that it begins otherwise."""
    Checkpoints(tmp_path).save(checkpoint(1))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[len(checkpoints.FORMAT) :])
    assert numbers(Checkpoints(tmp_path)) == []
    assert "does not begin as this version writes it" in caplog.text


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_a_crash_left_is_no_checkpoint(tmp_path: Path) -> None:
    """A file that was never renamed is passed over, and removed."""
    checkpoints = Checkpoints(tmp_path)
    (tmp_path / "checkpoint-00000000.unfinished").write_bytes(b"half")
    assert numbers(checkpoints) == []
    checkpoints.save(checkpoint(7))
    assert numbers(checkpoints) == [7]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000001.state"]


def test_what_hangs_takes_nothing_from_whoever_came_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that was given up wakes up in the middle of another one: that one is kept."""
    began, wake = Event(), Event()
    hanging, other = Checkpoints(tmp_path), Checkpoints(tmp_path)
    for number in range(3):
        other.save(checkpoint(number))

    def save() -> None:
        with suppress(FileNotFoundError):
            hanging.save(checkpoint(3))

    def slow(path: Path) -> None:
        sync_path(path)
        if current_thread() is thread and not began.is_set():
            began.set()
            wake.wait(60)
        elif current_thread() is not thread:
            wake.set()
            thread.join(60)

    monkeypatch.setattr(checkpoints, "sync_path", slow)
    thread = Thread(target=save)
    thread.start()
    began.wait(60)
    other.save(checkpoint(4))
    assert numbers(other)[0] == 4
    other.save(checkpoint(5))
    assert numbers(other)[0] == 5
    assert not list(tmp_path.glob("*.unfinished"))


Arrays = dict[str, NDArray[np.int64]]


def arrays(rows: int) -> Arrays:
    """Two arrays of different width, whose first rows are the same at any length."""
    numbers = np.arange(rows, dtype=np.int64)
    return {"one": numbers.reshape(-1, 1), "two": np.stack([numbers, -numbers], 1)}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_every_extent_gives_the_arrays_of_its_time(
    tmp_path_factory: pytest.TempPathFactory, more: list[int]
) -> None:
    """Arrays are read back as they were, also after more rows have been appended, and where none were."""
    folder = tmp_path_factory.mktemp("rows")
    rows, total, saved = CheckpointRows(folder / "a.rows"), 0, []
    for count in more:
        total += count
        saved.append((total, rows.append_new(arrays(total))))
    for length, extent in saved:
        found = read_rows(folder, RowExtent(**json.loads(json.dumps(asdict(extent)))))
        for name, wanted in arrays(length).items():
            np.testing.assert_array_equal(found[name], wanted)


def test_rows_are_written_once(tmp_path: Path) -> None:
    """The file grows by a header and the new rows, not by what it has already."""
    rows = CheckpointRows(tmp_path / "a.rows")
    first = rows.append_new({"one": np.zeros((1_000, 1), np.int64)})
    second = rows.append_new({"one": np.zeros((1_001, 1), np.int64)})
    assert second.bytes - first.bytes == 24 + 8
    assert rows.append_new({"one": np.zeros((1_001, 1), np.int64)}) == second
    assert (tmp_path / "a.rows").stat().st_size == second.bytes


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    """Another one cannot begin a file of the same name."""
    CheckpointRows(tmp_path / "a.rows")
    with pytest.raises(FileExistsError):
        CheckpointRows(tmp_path / "a.rows")


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damage_is_refused(tmp_path: Path, damage: str) -> None:
    """A file that is too short, or has another byte, is never half read; a missing one is an error of the system."""
    extent = CheckpointRows(tmp_path / "a.rows").append_new(arrays(3))
    content = bytearray((tmp_path / "a.rows").read_bytes())
    content = content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1])
    (tmp_path / "a.rows").write_bytes(content)
    with pytest.raises(ValueError, match=r"the checksum of its rows in a\.rows differs"):
        read_rows(tmp_path, extent)
    (tmp_path / "a.rows").unlink()
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path, extent)
