"""A log that rows are put into once, however often they are made."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import LogBrokenError, LogBusyError, ReplayMismatchError
from order_book_platform.storage import LogReader, LogWriter
from order_book_platform.storage.log import log_writer
from order_book_platform.storage.log.idempotent_log import IdempotentLog

SCHEMA = pa.schema([pa.field("place", pa.int64(), nullable=False), pa.field("size", pa.int64())])


def rows(start: int, stop: int) -> pa.Table:
    """Rows whose content follows from their place."""
    place = np.arange(start, stop)
    sizes = pa.array([None if at % 3 == 0 else at * 7 for at in place.tolist()], pa.int64())
    return pa.table([pa.array(place), sizes], schema=SCHEMA)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(0, 15), max_size=5)), min_size=1, max_size=5)
)
def test_each_row_is_there_once(tmp_path_factory: pytest.TempPathFactory, runs: list) -> None:  # type: ignore[type-arg]
    """Runs that begin anywhere among what is there, and get as far as they get."""
    folder, most = tmp_path_factory.mktemp("once"), 0
    for start, lengths in runs:
        with IdempotentLog(folder, SCHEMA) as log:
            assert log.rows_at_opening == most
            log.go_on_at(min(start, most))
            for length in lengths:
                log.write(rows(log.next_row, log.next_row + length))
            most = max(most, log.next_row)
            assert log.rows == most
    found = [each.batch for each in LogReader(folder).read()]
    assert pa.Table.from_batches(found, SCHEMA).equals(rows(0, most))


def test_a_row_that_differs_is_named(tmp_path: Path) -> None:
    """Its place, the columns, both values; a null is another value than a number."""
    with IdempotentLog(tmp_path, SCHEMA) as log:
        log.write(rows(0, 10))
    with IdempotentLog(tmp_path, SCHEMA) as log:
        log.go_on_at(4)
        log.write(rows(4, 6))
        wrong = pa.concat_tables([rows(6, 8), pa.table([[8], [1]], schema=SCHEMA)])
        with pytest.raises(
            ReplayMismatchError, match="row 8: expected the row that is there: size 56, found size 1"
        ):
            log.write(wrong)
        assert log.rows == 10


def read_files(folder: Path) -> int:
    """Files of the log that this process has open for reading."""
    flags = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            path = each.readlink()
            if path.parent == folder and path.name != "writer.lock":
                info = Path(f"/proc/self/fdinfo/{each.name}").read_text()
                flags.append(int(info.split("flags:")[1].split()[0], 8) & os.O_ACCMODE)
    return flags.count(os.O_RDONLY)


@pytest.mark.skipif(sys.platform != "linux", reason="open files come from /proc")
@pytest.mark.parametrize("ends_badly", [False, True])
def test_rows_to_compare_with_are_let_go_of(tmp_path: Path, ends_badly: bool) -> None:
    """With the last one that was there, or with the log."""
    with IdempotentLog(tmp_path, SCHEMA) as log:
        log.write(rows(0, 10))
    with IdempotentLog(tmp_path, SCHEMA) as log:
        log.go_on_at(0)
        log.write(rows(0, 5))
        assert read_files(tmp_path) == 1
        log.write(rows(5, 10))
        assert read_files(tmp_path) == 0
        log.go_on_at(0)
        log.write(rows(0, 5))
        assert read_files(tmp_path) == 1
        log.__exit__(*((KeyboardInterrupt, KeyboardInterrupt(), None) if ends_badly else (None, None, None)))
        assert read_files(tmp_path) == 0


def test_one_process_writes(tmp_path: Path) -> None:
    """A second one is refused, and leaves nothing open."""
    with IdempotentLog(tmp_path, SCHEMA), pytest.raises(LogBusyError):
        IdempotentLog(tmp_path, SCHEMA)
    IdempotentLog(tmp_path, SCHEMA).__exit__(None, None, None)


def test_a_sync_that_hangs_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody calls the device again; until the call returns the log stays held, and then it is let go of."""
    hangs, released, callers, outcome = threading.Event(), threading.Event(), [], []

    def fsync(_: int) -> None:
        callers.append(threading.current_thread().name)
        hangs.set()
        released.wait(60)

    def sync(log: IdempotentLog) -> None:
        try:
            log.sync()
        except LogBrokenError as error:
            outcome.append(error)

    with pytest.raises(KeyboardInterrupt), IdempotentLog(tmp_path, SCHEMA) as log:
        log.write(rows(0, 10))
        monkeypatch.setattr(os, "fsync", fsync)
        thread = threading.Thread(target=sync, args=(log,), name="write", daemon=True)
        thread.start()
        assert hangs.wait(60)
        raise KeyboardInterrupt
    assert callers == ["write"]
    with pytest.raises(LogBusyError):
        IdempotentLog(tmp_path, SCHEMA)
    released.set()
    thread.join()
    monkeypatch.undo()
    assert [error.found for error in outcome] == ["one that was let go of while a call to the device hung"]
    with IdempotentLog(tmp_path, SCHEMA) as again:
        assert again.rows_at_opening == 10


def test_a_segment_whose_sealing_hangs_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the caller nor the end of the interpreter waits; the lock goes when it is over."""
    begun, released = threading.Event(), threading.Event()
    monkeypatch.setitem(LogWriter.__init__.__kwdefaults__, "segment_bytes", 2_000)  # type: ignore[attr-defined]

    def hanging(*_: object) -> None:
        begun.set()
        released.wait(60)

    monkeypatch.setattr(log_writer, "seal", hanging)
    with pytest.raises(KeyboardInterrupt), IdempotentLog(tmp_path, SCHEMA) as log:
        for place in range(0, 200, 20):
            if not begun.is_set():
                log.write(rows(place, place + 20))
        assert begun.wait(60)
        there = log.rows
        raise KeyboardInterrupt
    thread = next(each for each in threading.enumerate() if each.name == "seal")
    assert thread.daemon
    with pytest.raises(LogBusyError):
        IdempotentLog(tmp_path, SCHEMA)
    released.set()
    thread.join()
    monkeypatch.undo()
    with IdempotentLog(tmp_path, SCHEMA) as again:
        assert again.rows_at_opening == there
