"""A log writer appends, syncs and seals; there is one at a time; disks may be full and devices may fail."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import (
    DiskFullError,
    LogBrokenError,
    LogBusyError,
    LogCorruptError,
    StorageAccessError,
    StorageError,
)
from order_book_platform.storage.log import LogReader, LogWriter, Recovered, frames, sealed_segment
from order_book_platform_tests.storage.log.executors import Later
from order_book_platform_tests.storage.log.rows import (
    SCHEMA,
    append,
    batch,
    checked_rows,
    names,
    sealed_hashes,
)


def test_a_new_log(tmp_path: Path) -> None:
    """No file before the first row; the open segment is named after it, and sealed under the same name."""
    folder = tmp_path / "deep" / "log"
    with LogWriter(folder, SCHEMA) as writer:
        assert writer.recovered == Recovered(next_row=0, open_rows=0, cut_bytes=0, removed=())
        assert names(folder) == ["writer.lock"]
        append(writer, 5)
        assert names(folder) == ["0.log", "writer.lock"]
        writer.rotate()
        writer.rotate()
        assert names(folder) == ["0.parquet", "writer.lock"]
        append(writer, 2)
        assert names(folder) == ["0.parquet", "5.log", "writer.lock"]
    assert names(folder) == ["0.parquet", "5.log"]
    assert checked_rows(folder) == 7


def test_an_empty_batch_is_nothing(tmp_path: Path) -> None:
    """It has a place, and leaves no file."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        assert writer.append(batch(0, 0)) == 0
        writer.sync()
        writer.close(seal=True)
    assert names(tmp_path) == []


def test_a_full_segment_is_sealed_before_more_is_appended(tmp_path: Path) -> None:
    """A segment exceeds the wanted size by one frame at most; the sealed ones are plain Parquet files."""
    with LogWriter(tmp_path, SCHEMA, segment_bytes=5_000, row_group_rows=30) as writer:
        frame_bytes = 0
        while writer.next_row < 600:
            append(writer, 10)
            tail = max(tmp_path.glob("*.log")).stat().st_size
            frame_bytes = max(frame_bytes, tail if not frame_bytes else 0)
            assert tail < 5_000 + frame_bytes
    sealed = sorted(tmp_path.glob("*.parquet"))
    assert len(sealed) > 5
    tables = [pq.read_table(path) for path in sealed]
    places = pa.concat_tables(tables)["place"].to_pylist()
    assert places == list(range(len(places)))
    assert [int(path.stem) for path in sealed] == [table["place"][0].as_py() for table in tables]
    assert pq.ParquetFile(sealed[0]).metadata.row_group(0).num_rows == 30
    assert b'"first_row": 0' in pq.read_metadata(sealed[0]).metadata[b"order_book_platform_log"]
    assert checked_rows(tmp_path) == 600


def test_a_batch_larger_than_a_segment(tmp_path: Path) -> None:
    """Goes in frames of which each fits; what follows it has the right place."""
    with LogWriter(tmp_path, SCHEMA, segment_bytes=4_000) as writer:
        append(writer, 1)
        append(writer, 1_000)
        append(writer, 1)
    sealed = len(list(tmp_path.glob("*.parquet")))
    assert sealed > 5
    assert checked_rows(tmp_path) == 1_002


def test_what_a_frame_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch beyond it is split, whatever a segment may hold; a single row beyond it is refused, and nothing else."""
    monkeypatch.setattr(frames, "MAX_PAYLOAD_BYTES", 1_000)
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 100)
        long = pa.RecordBatch.from_pylist([{"place": 100, "text": "x" * 2_000}], schema=SCHEMA)
        with pytest.raises(
            StorageError, match=r"row 100: expected rows of at most 1000 bytes, found one of 2\d\d\d"
        ):
            writer.append(long)
        append(writer, 1)
    assert checked_rows(tmp_path) == 101


def test_a_batch_that_is_to_be_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole batch is one frame, even if larger than a segment; on a full disk nothing of it is kept."""
    with LogWriter(tmp_path, SCHEMA, segment_bytes=4_000) as writer:
        with largest_file(3_000), pytest.raises(DiskFullError):
            writer.append(batch(0, 1_000), whole=True)
        assert (writer.next_row, checked_rows(tmp_path)) == (0, 0)
        with monkeypatch.context() as patch:
            patch.setattr(frames, "MAX_PAYLOAD_BYTES", 3_000)
            with pytest.raises(StorageError, match="a whole batch of at most 3000 bytes"):
                writer.append(batch(0, 1_000), whole=True)
        assert (writer.next_row, checked_rows(tmp_path)) == (0, 0)
        writer.append(batch(0, 1_000), whole=True)
        assert [each.batch.num_rows for each in LogReader(tmp_path).read()] == [1_000]
        append(writer, 1)
        assert names(tmp_path) == ["0.parquet", "1000.log", "writer.lock"]
    assert checked_rows(tmp_path) == 1_001


def test_a_slice_takes_no_more_than_its_rows(tmp_path: Path) -> None:
    """Ten rows out of a large batch are ten rows in the file."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        writer.append(batch(0, 10_000).slice(0, 10))
        assert (tmp_path / f"{0:020d}.log").stat().st_size < 2_000
    assert checked_rows(tmp_path) == 10


def test_what_is_synced(tmp_path: Path) -> None:
    """`synced_row` moves with `sync` and `rotate`; a reader is told what was known when the rows were written."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        assert writer.synced_row == 0
        writer.sync()
        assert writer.synced_row == 3
        append(writer, 2)
        assert [(each.first_row, each.synced_row) for each in LogReader(tmp_path).read()] == [(0, 0), (3, 3)]
        writer.rotate()
        assert writer.synced_row == 5
        append(writer, 1)
        assert [(each.first_row, each.synced_row) for each in LogReader(tmp_path).read()] == [(0, 5), (5, 5)]


def test_sync_flushes_rows_and_the_name_of_a_new_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder once per segment; nothing at all if nothing has been appended."""
    synced: list[str] = []
    fsync = os.fsync

    def seen(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    with LogWriter(tmp_path, SCHEMA) as writer:
        monkeypatch.setattr(os, "fsync", seen)
        for _ in range(2):
            append(writer, 1)
            writer.sync()
            writer.sync()
    assert synced == [f"{0:020d}.log", tmp_path.name, f"{0:020d}.log"]


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """The second is turned away and changes nothing; readers are welcome; when the first is done, it may."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 1)
        (tmp_path / ".sealing-x").touch()
        with pytest.raises(LogBusyError, match="expected one writer per log, found another one at work"):
            LogWriter(tmp_path, SCHEMA)
        assert ".sealing-x" in names(tmp_path)
        assert checked_rows(tmp_path) == 1
        append(writer, 1)
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 1)
    assert checked_rows(tmp_path) == 3


def test_closed(tmp_path: Path) -> None:
    """Closed twice is closed once; after that, and after an error in the block, rows are there and the lock is free."""

    class ComponentError(Exception):
        pass

    with pytest.raises(ComponentError), LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 2)
        raise ComponentError
    writer.close()
    for late in (writer.sync, writer.rotate, lambda: writer.append(batch(2, 1))):
        with pytest.raises(LogBrokenError, match="expected an open log, found one that has been closed"):
            late()
    with LogWriter(tmp_path, SCHEMA) as writer:
        assert writer.recovered == Recovered(next_row=2, open_rows=2, cut_bytes=0, removed=())


def test_discarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is synced or sealed, the log can be opened by somebody else, and closing it afterwards is harmless."""
    writer = LogWriter(tmp_path, SCHEMA)
    append(writer, 5)
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    writer.discard()
    writer.close(seal=True)
    assert synced == []
    assert names(tmp_path) == ["0.log"]
    with pytest.raises(LogBrokenError, match="has been closed"):
        append(writer, 1)
    monkeypatch.undo()
    with LogWriter(tmp_path, SCHEMA) as other:
        assert other.next_row == 5


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """Named as what it is."""
    (tmp_path / "log").touch()
    with pytest.raises(StorageAccessError, match="expected a folder that can be written"):
        LogWriter(tmp_path / "log" / "inner", SCHEMA)


# --- full disk ------------------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files: the kernel writes the bytes that fit and refuses the rest."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("no_waiting_for_the_device")
def test_a_disk_full_at_any_byte(tmp_path: Path) -> None:
    """However much of a frame fits on the disk, the rest is cut off, and with space the log goes on."""
    with LogWriter(tmp_path / "measured", SCHEMA) as writer:
        append(writer, 3)
        first = max((tmp_path / "measured").glob("*.log")).stat().st_size
        append(writer, 3)
        second = max((tmp_path / "measured").glob("*.log")).stat().st_size
    for size in [*range(0, first, 7), *range(first, second, 3)]:
        folder = tmp_path / str(size)
        with LogWriter(folder, SCHEMA) as writer:
            with (
                largest_file(size),
                pytest.raises(DiskFullError, match="Free space there and run again; rows that"),
            ):
                append(writer, 3)
                append(writer, 3)
            kept = 3 if size >= first else 0
            assert writer.next_row == kept
            assert checked_rows(folder) == kept
            assert [path.stat().st_size for path in folder.glob("*.log")] == [first] * (kept > 0)
            append(writer, 3)
            writer.sync()
        assert checked_rows(folder) == kept + 3


def test_a_disk_full_in_the_middle_of_a_batch(tmp_path: Path) -> None:
    """A batch of several frames: `next_row` says how far it came, and the rest can be appended later."""
    rows = batch(0, 1_000)
    with LogWriter(tmp_path, SCHEMA, segment_bytes=4_000) as writer:
        with largest_file(3_000), pytest.raises(DiskFullError):
            writer.append(rows)
        taken = writer.next_row
        assert 0 < taken < 1_000
        assert checked_rows(tmp_path) == taken
        assert writer.append(rows.slice(taken)) == taken
    assert checked_rows(tmp_path) == 1_000


def test_a_disk_without_space_for_the_sealed_form(tmp_path: Path) -> None:
    """Rows stay in the open form, nothing half is left; the row that asked for it is not taken; later it works."""
    numbers = np.random.default_rng(0).integers(0, 2**62, 4_000)
    schema = pa.schema([pa.field("number", pa.int64())])
    rows = pa.RecordBatch.from_arrays([pa.array(numbers)], schema=schema)
    with LogWriter(tmp_path, schema, segment_bytes=30_000) as writer:
        writer.append(rows.slice(0, 3_000))
        writer.append(rows.slice(3_000, 900))
        with largest_file(20_000):
            for attempt in (writer.rotate, lambda: writer.append(rows.slice(3_900))):
                with pytest.raises(DiskFullError):
                    attempt()
                assert names(tmp_path) == ["0.log", "writer.lock"]
                assert writer.next_row == 3_900
        assert writer.append(rows.slice(3_900)) == 3_900
        assert names(tmp_path) == ["0.parquet", "3900.log", "writer.lock"]
    found = np.concatenate([each.batch["number"].to_numpy() for each in LogReader(tmp_path).read()])
    assert (found == numbers).all()


def test_a_disk_without_space_for_the_synced_frame(tmp_path: Path) -> None:
    """They are, so `sync` does not complain; the next frame says it."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        size = max(tmp_path.glob("*.log")).stat().st_size
        with largest_file(size + 20):
            writer.sync()
        assert writer.synced_row == 3
        assert max(tmp_path.glob("*.log")).stat().st_size == size
        append(writer, 1)
    assert [each.synced_row for each in LogReader(tmp_path).read()] == [0, 3]


def failing(number: int) -> Callable[..., Any]:
    """A system call that is refused."""

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fails


def test_a_half_that_cannot_be_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written behind half a frame: the writer gives up, and the next one cuts it off."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        size = max(tmp_path.glob("*.log")).stat().st_size
        with (
            monkeypatch.context() as patch,
            largest_file(size + 50),
            pytest.raises(LogBrokenError, match="half a row that could not be cut off"),
        ):
            patch.setattr(os, "ftruncate", failing(errno.EIO))
            append(writer, 3)
        with pytest.raises(LogBrokenError):
            append(writer, 3)
    with LogWriter(tmp_path, SCHEMA) as writer:
        assert writer.recovered == Recovered(next_row=3, open_rows=3, cut_bytes=50, removed=())


# --- a device that fails --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "kind"), [(errno.EIO, LogBrokenError), (errno.ENOSPC, DiskFullError)])
def test_a_sync_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """Asked again, the kernel would say that all is well: the writer does not ask, and promises nothing more."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        with monkeypatch.context() as patch, pytest.raises(kind):
            patch.setattr(os, "fsync", failing(number))
            writer.sync()
        assert writer.synced_row == 0
        for late in (writer.sync, writer.rotate, lambda: append(writer, 1)):
            with pytest.raises(LogBrokenError, match="found rows that the device did not take"):
                late()
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 1)


@pytest.mark.parametrize("refused", ["first sync", "rename", "second sync", "removal", "third sync"])
@pytest.mark.parametrize("number", [errno.EIO, errno.EDQUOT])
def test_sealing_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, number: int
) -> None:
    """Whichever step fails, each row is there once, and nothing is appended to a segment in both forms."""
    calls = 0

    def at(count: int, call: Callable[..., Any]) -> Callable[..., Any]:
        def sometimes(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            return failing(number)() if calls == count else call(*arguments)

        return sometimes

    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        with monkeypatch.context() as patch, pytest.raises((LogBrokenError, DiskFullError)):
            if refused == "rename":
                patch.setattr(os, "rename", failing(number))
            elif refused == "removal":
                patch.setattr(os, "unlink", failing(number))
            else:
                step = ["first sync", "second sync", "third sync"].index(refused) + 1
                patch.setattr(sealed_segment, "sync_path", at(step, sealed_segment.sync_path))
            writer.rotate()
        assert checked_rows(tmp_path) == 3
        again = number != errno.EIO and refused in ("first sync", "rename")
        if again:
            append(writer, 1)
        else:
            with pytest.raises(LogBrokenError):
                append(writer, 1)
    with LogWriter(tmp_path, SCHEMA) as writer:
        assert writer.next_row == 3 + again
        append(writer, 1)
    assert checked_rows(tmp_path) == 4 + again


def test_damage_is_not_sealed(tmp_path: Path) -> None:
    """Rows are read back when they are sealed: a changed byte stops it, and the open form stays."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        path = max(tmp_path.glob("*.log"))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(LogCorruptError, match="expected rows up to 3, found rows up to 0"):
            writer.rotate()
    assert names(tmp_path) == ["0.log"]


# --- sealed elsewhere -----------------------------------------------------------------------------------------------


def test_appending_goes_on_while_a_segment_is_sealed(tmp_path: Path) -> None:
    """The full segment lies there in its open form, synced, before the next one; readers see both."""
    later = Later()
    with LogWriter(tmp_path, SCHEMA, seal_in=later) as writer:
        append(writer, 3)
        writer.rotate()
        assert writer.synced_row == 3
        append(writer, 2)
        assert names(tmp_path) == ["0.log", "3.log", "writer.lock"]
        assert checked_rows(tmp_path) == 5
        later.run()
        assert names(tmp_path) == ["0.parquet", "3.log", "writer.lock"]
        assert checked_rows(tmp_path) == 5


def test_a_rotation_does_not_wait_for_sealing(tmp_path: Path) -> None:
    """A segment that is full while another one is being sealed waits in its open form, and is sealed behind it."""
    later = Later()
    with LogWriter(tmp_path, SCHEMA, seal_in=later) as writer:
        for _ in range(3):
            append(writer, 2)
            writer.rotate()
        assert names(tmp_path) == ["0.log", "2.log", "4.log", "writer.lock"]
        append(writer, 2)
        later.run()
        assert later.given == []
        assert names(tmp_path) == ["0.parquet", "2.parquet", "4.parquet", "6.log", "writer.lock"]
        assert checked_rows(tmp_path) == 8


def test_a_segment_that_the_executor_has_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It became full when the executor had looked for the last time and was not done: `close` seals it."""
    later = Later()
    with LogWriter(tmp_path, SCHEMA, seal_in=later) as writer:
        append(writer, 2)
        writer.rotate()
        future, work = later.given.pop()
        work()
        append(writer, 2)
        monkeypatch.setattr(future, "result", lambda: None)
        writer.close(seal=True)
        future.set_result(None)
    assert names(tmp_path) == ["0.parquet", "2.parquet"]


def test_sealing_elsewhere_fails(tmp_path: Path) -> None:
    """The next rotation says so, once; the one after tries again, and nothing is lost."""
    later = Later()
    with LogWriter(tmp_path, SCHEMA, seal_in=later) as writer:
        append(writer, 30)
        writer.rotate()
        with largest_file(500):
            later.run()
        append(writer, 2)
        with pytest.raises(DiskFullError):
            writer.rotate()
        append(writer, 2)
        writer.rotate()
        later.run()
    assert names(tmp_path) == ["0.parquet", "30.parquet"]
    assert checked_rows(tmp_path) == 34


def test_sealing_in_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One segment at a time is sealed in the executor, and the lock is held until that is done."""
    at_work = threading.Lock()
    monkeypatch.setattr("order_book_platform.storage.log.log_writer.seal", alone(at_work))
    with (
        ThreadPoolExecutor(2) as pool,
        LogWriter(tmp_path, SCHEMA, segment_bytes=3_000, seal_in=pool) as writer,
    ):
        for _ in range(60):
            append(writer, 10)
        writer.close(seal=True)
    assert not list(tmp_path.glob("*.log"))
    assert len(sealed_hashes(tmp_path)) > 5
    assert checked_rows(tmp_path) == 600


def alone(at_work: threading.Lock) -> Callable[..., None]:
    """Sealing that fails if another one is at work."""

    def seal(*arguments: Any) -> None:
        assert at_work.acquire(blocking=False)
        try:
            sealed_segment.seal(*arguments)
        finally:
            at_work.release()

    return seal


@pytest.mark.parametrize("died", ["waiting", "half sealed", "sealed"])
def test_a_writer_that_died_with_segments_waiting(tmp_path: Path, died: str) -> None:
    """The next one seals them first, in order; the last one is written on."""
    later = Later()
    with LogWriter(tmp_path / "log", SCHEMA, seal_in=later) as writer:
        append(writer, 3)
        writer.rotate()
        append(writer, 2)
        writer.sync()
        copied = tmp_path / "copy"
        copied.mkdir()
        for path in (tmp_path / "log").glob("*.log"):
            (copied / path.name).write_bytes(path.read_bytes())
        later.run()
    if died == "half sealed":
        (copied / f".sealing-{0:020d}.parquet").write_bytes(b"PAR1")
    if died == "sealed":
        sealed = tmp_path / "log" / f"{0:020d}.parquet"
        (copied / sealed.name).write_bytes(sealed.read_bytes())
    assert checked_rows(copied) == 5
    with LogWriter(copied, SCHEMA) as writer:
        assert names(copied) == ["0.parquet", "3.log", "writer.lock"]
        assert writer.recovered.open_rows == 2
        append(writer, 1)
    assert checked_rows(copied) == 6
