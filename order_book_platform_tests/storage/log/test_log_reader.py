"""Reading and following: every row once and in order, whatever the writer does meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from threading import Semaphore, Thread
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.errors import LogCorruptError, LogMissingError
from order_book_platform.storage.log import LogReader, LogWriter, log_reader
from order_book_platform.storage.log.sealed_segment import SealedSegment
from order_book_platform.storage.log.segments import OpenSegment
from order_book_platform_tests.storage.log.dying import BOUNDARIES, work
from order_book_platform_tests.storage.log.executors import AtOnce, Lazy
from order_book_platform_tests.storage.log.rows import SCHEMA, append, batch, checked_rows

STRIDE = 5
"""Every so many bytes of a sealed segment are damaged; a file has some thousand."""


class Follower:
    """A reader in a thread that runs only while the test waits for it, and checks each row against its place."""

    def __init__(self, folder: Path, from_row: int = 0) -> None:
        self.place = from_row
        self._folder = folder
        self._going_on = True
        self._go, self._idle = Semaphore(0), Semaphore(0)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Let the follower read all rows that exist."""
        self._go.release()
        self._idle.acquire()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Let the follower read all rows that exist, and end it."""
        self._going_on = False
        self.look()
        self._thread.join()

    def _run(self) -> None:
        self._go.acquire()
        try:
            for rows in LogReader(self._folder).follow(self.place, self._wait):
                assert rows.first_row == self.place
                assert rows.batch.equals(batch(self.place, rows.batch.num_rows))
                self.place = rows.next_row
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._error = error
        self._idle.release()

    def _wait(self) -> bool:
        if self._going_on:
            self._idle.release()
            self._go.acquire()
        return self._going_on


@contextmanager
def following(folder: Path, *from_rows: int) -> Iterator[list[Follower]]:
    """Followers that have to be at the end of the log when the block ends."""
    followers = [Follower(folder, row) for row in from_rows]
    yield followers
    for follower in followers:
        follower.stop()
        assert follower.place == checked_rows(folder)


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sealed segments of 20 and 7 rows in groups of 6, and an open one of frames of 4, 1 and 5 rows."""
    folder = tmp_path / "log"
    with LogWriter(folder, SCHEMA, row_group_rows=6) as writer:
        append(writer, 20)
        writer.rotate()
        append(writer, 7)
        writer.rotate()
        for rows in (4, 1, 5):
            append(writer, rows)
    return folder


def test_from_every_row(folder: Path) -> None:
    """Reading may begin in the middle of a row group, a segment or a frame; from the end on there is nothing yet."""
    for row in range(38):
        assert checked_rows(folder, row) == 37
    assert [each.first_row for each in LogReader(folder).read()] == [0, 6, 12, 18, 20, 26, 27, 31, 32]
    assert [each.first_row for each in LogReader(folder).read(29)] == [29, 31, 32]


def test_beyond_the_end(folder: Path, tmp_path: Path) -> None:
    """A reader that has seen rows the log has not is told; waiting for them would hide that they are lost."""
    (tmp_path / "empty").mkdir()
    for place, rows in ((folder, 37), (tmp_path / "empty", 0)):
        for attempt in (LogReader(place).read(rows + 1), LogReader(place).follow(rows + 1, lambda: True)):
            with pytest.raises(LogMissingError, match=f"expected at least {rows + 1} rows, found {rows}"):
                next(attempt)


def test_its_end_and_its_schema(folder: Path, tmp_path: Path) -> None:
    """Number of rows and schema are told for a log with rows and for an empty one; a missing one is an error."""
    assert LogReader(folder).next_row() == 37
    found = LogReader(folder).schema()
    assert found is not None
    assert found.equals(SCHEMA, check_metadata=True)
    (tmp_path / "empty").mkdir()
    empty = LogReader(tmp_path / "empty")
    assert (empty.next_row(), empty.schema(), list(empty.read())) == (0, None, [])
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent", tmp_path / "file"):
        absent = LogReader(path)
        for attempt in (absent.next_row, absent.schema, lambda absent=absent: next(absent.read())):
            with pytest.raises(LogMissingError, match="expected the folder of a log, found none"):
                attempt()


def test_batches_outlive_the_reader(folder: Path) -> None:
    """Rows that were given stay what they were when their file is gone."""
    found = [each.batch for each in LogReader(folder).read()]
    for path in folder.iterdir():
        path.write_bytes(bytes(path.stat().st_size))
        path.unlink()
    assert pa.Table.from_batches(found)["place"].to_pylist() == list(range(37))


def test_a_reader_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens no file for writing, makes no lock, mends no torn end."""
    with max(folder.glob("*.log")).open("ab") as file:
        file.write(b"OBPf")
    (folder / ".sealing-x").touch()
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    opened: list[int] = []
    call = os.open

    def seen(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        opened.append(flags)
        return call(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", seen)
    assert checked_rows(folder) == LogReader(folder).next_row() == 37
    assert opened
    assert not [flags for flags in opened if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)]
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_no_file_stays_open(folder: Path) -> None:
    """Neither at the end, nor when a consumer goes away, nor at damage."""

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - the listing itself opens one, both times

    before = open_files()
    for row in (0, 30):
        list(LogReader(folder).read(row))
        rows = LogReader(folder).read(row)
        next(rows)
        rows.close()  # type: ignore[attr-defined]
    (folder / f"{20:020d}.parquet").write_bytes(b"PAR1")
    with pytest.raises(LogCorruptError):
        list(LogReader(folder).read())
    assert open_files() == before


# --- damaged --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first_row", [0, 20])
def test_a_missing_segment(folder: Path, first_row: int) -> None:
    """Never passed over: what lies before it is read, then the error names it."""
    (folder / f"{first_row:020d}.parquet").unlink()
    after = {0: 20, 20: 27}[first_row]
    seen = []
    found = f"expected a segment from row {first_row} on, found the next one from row {after} on"
    message = rf"{first_row:020d}\.parquet: {found}"
    with pytest.raises(LogCorruptError, match=message):
        seen.extend(LogReader(folder).read())
    assert sum(each.batch.num_rows for each in seen) == first_row
    assert checked_rows(folder, after) == 37


def test_every_byte_of_a_sealed_segment_changed(folder: Path) -> None:
    """The same rows, or an error that names the file: never others."""
    path = folder / f"{20:020d}.parquet"
    content = path.read_bytes()
    named = []
    for position in range(0, len(content), STRIDE):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 1 << position % 8]) + content[position + 1 :]
        )
        try:
            assert checked_rows(folder) == 37
        except LogCorruptError as error:
            named.append(error.where)
    assert len(named) > len(content) // STRIDE // 4
    assert all(where.startswith(str(path)) for where in named)


def test_a_frame_that_is_right_and_means_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checksum says that bytes are what was written, not that they are rows: file and offset are named."""
    from order_book_platform.storage.log import log_writer as writing

    pack_frame = writing.pack_frame
    for number, wrong in enumerate(
        (lambda kind, *rest: pack_frame(kind, *rest[:3], pa.py_buffer(b"nonsense")), None)
    ):
        folder = tmp_path / str(number)
        with LogWriter(folder, SCHEMA) as writer:
            append(writer, 2)
            size = max(folder.glob("*.log")).stat().st_size
            with monkeypatch.context() as patch:
                patch.setattr(
                    writing,
                    "pack_frame",
                    wrong
                    or (
                        lambda kind, first, synced, rows, payload, seal: pack_frame(
                            kind, first, synced, rows + 1, payload, seal
                        )
                    ),
                )
                writer.append(batch(2, 2))
            with pytest.raises(
                LogCorruptError, match=rf"\.log, byte {size}: expected (3 rows|an Arrow record batch)"
            ):
                list(LogReader(folder).read())


# --- following ------------------------------------------------------------------------------------------------------


def test_what_is_appended_while_it_waits(tmp_path: Path) -> None:
    """Rows appended, sealed, or both between two looks; what came before `wait` said to stop is still read."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        steps = iter(
            [
                lambda: append(writer, 2),
                lambda: None,
                writer.rotate,
                lambda: (append(writer, 3), writer.rotate(), append(writer, 1)),
                lambda: (append(writer, 1), writer.rotate(), append(writer, 1), writer.rotate()),
            ]
        )
        lengths = []

        def wait() -> bool:
            lengths.append(writer.next_row)
            step = next(steps, None)
            if step is None:
                append(writer, 5)
                return False
            step()
            return True

        found = list(LogReader(tmp_path).follow(0, wait))
    assert lengths == [0, 2, 2, 2, 6, 8]
    assert [each.first_row for each in found] == [0, 2, 5, 6, 7, 8]
    assert found[-1].next_row == 13


@pytest.mark.parametrize("seal_in", [None, AtOnce(), Lazy()], ids=["by itself", "elsewhere", "later"])
def test_looking_at_every_boundary_of_the_writer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seal_in: Executor | None
) -> None:
    """Before and after each write, sync, rename and removal a steady follower and a new reader see the right rows."""
    folder = tmp_path / "log"
    folder.mkdir()
    with following(folder, 0) as (steady,):

        def look() -> None:
            before = steady.place
            steady.look()
            assert checked_rows(folder, before // 2) == steady.place == LogReader(folder).next_row()

        def watched(call: Callable[..., Any]) -> Callable[..., Any]:
            def replaced(*arguments: Any, **named: Any) -> Any:
                look()
                result = call(*arguments, **named)
                look()
                return result

            return replaced

        with LogWriter(folder, SCHEMA, segment_bytes=4_000, seal_in=seal_in) as writer:
            with monkeypatch.context() as patch:
                for name in set(BOUNDARIES) - {"open"}:
                    patch.setattr(os, name, watched(getattr(os, name)))
                work(writer, 5, 15, lambda row: None)
            assert len(list(folder.glob("*.parquet"))) >= 2


@pytest.mark.parametrize("step", ["rotate", "append", "append and rotate", "rotate and append"])
@pytest.mark.parametrize("call", ["listing", "sealed", "open"])
def test_a_writer_that_goes_on_while_a_reader_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, call: str
) -> None:
    """Between the listing of names and each opening of a file: nothing is lost, repeated or taken for damage."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        moves = 12
        moving = False

        def move() -> None:
            nonlocal moves, moving
            if moves and not moving:
                moving = True
                moves -= 1
                for name in step.split(" and "):
                    append(writer, 2) if name == "append" else writer.rotate()
                if step == "rotate":
                    append(writer, 1)
                moving = False

        def first(original: Callable[..., Any]) -> Callable[..., Any]:
            def replaced(*arguments: Any) -> Any:
                move()
                return original(*arguments)

            return replaced

        with monkeypatch.context() as patch:
            if call == "listing":
                listing = log_reader.first_rows

                def stale(path: Path) -> list[int]:
                    found = listing(path)
                    move()
                    return found

                patch.setattr(log_reader, "first_rows", stale)
            else:
                kind = SealedSegment if call == "sealed" else OpenSegment
                patch.setattr(kind, "__init__", first(kind.__init__))
            with following(tmp_path, 0) as (follower,):
                for _ in range(8):
                    follower.look()
                    checked_rows(tmp_path)
                    LogReader(tmp_path).next_row()
                    LogReader(tmp_path).schema()
                    append(writer, 1)
        assert moves < 12


def test_a_segment_that_is_sealed_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its sealed form was not there yet, its open form is not any more: its rows count all the same."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        opening = OpenSegment.__init__

        def sealed_first(self: OpenSegment, *arguments: Any) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(OpenSegment, "__init__", opening)
                writer.rotate()
            opening(self, *arguments)

        monkeypatch.setattr(OpenSegment, "__init__", sealed_first)
        assert LogReader(tmp_path).next_row() == 3


def test_a_frame_that_is_finished_while_a_reader_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a frame, then, before the reader has looked further, all of it and later ones: that is not damage."""
    from order_book_platform.storage.log import segments

    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        path = max(tmp_path.glob("*.log"))
        whole = path.stat().st_size
        append(writer, 3)
        writer.sync()
        content = path.read_bytes()
        claim = segments.later_synced_frame

        def finished_meanwhile(*arguments: Any) -> Any:
            with path.open("r+b") as file:
                file.write(content)
            return claim(*arguments)

        os.truncate(path, whole + 50)
        monkeypatch.setattr(segments, "later_synced_frame", finished_meanwhile)
        assert checked_rows(tmp_path) == 6


def test_a_segment_that_is_replaced_while_it_is_followed(tmp_path: Path) -> None:
    """A writer died before its first row was whole; the next one begins the segment anew, in another file."""
    folder = tmp_path
    path = folder / f"{0:020d}.log"
    for torn in (b"", b"OBPf" + bytes(60)):
        path.write_bytes(torn)
        with following(folder, 0) as (follower,):
            follower.look()
            assert follower.place == 0
            with LogWriter(folder, SCHEMA) as writer:
                assert writer.recovered.removed == (path.name,)
                append(writer, 4)
                follower.look()
                assert follower.place == 4
        path.unlink()


def test_a_tail_that_is_cut_off_while_it_is_followed(tmp_path: Path) -> None:
    """Half a frame is waited for; when a new writer has cut it off and gone on, its rows come."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 4)
    with max(tmp_path.glob("*.log")).open("ab") as file:
        file.write(b"OBPf" + bytes(5_000))
    with following(tmp_path, 0, 2, 4) as followers:
        for follower in followers:
            follower.look()
        with LogWriter(tmp_path, SCHEMA) as writer:
            assert writer.recovered.cut_bytes == 5_004
            for follower in followers:
                follower.look()
            append(writer, 1)
            for follower in followers:
                follower.look()
                assert follower.place == 5


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 60)),
        st.tuples(st.just("sync"), st.just(0)),
        st.tuples(st.just("rotate"), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0)),
        st.tuples(st.just("torn"), st.integers(1, 100)),
        st.tuples(st.just("look"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(
    steps=STEPS,
    segment_bytes=st.sampled_from([1, 2_000, 10_000]),
    row_group_rows=st.sampled_from([1, 7, 100]),
)
def test_any_order_of_steps(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[str, int]],
    segment_bytes: int,
    row_group_rows: int,
) -> None:
    """Batches and rotations of any size and order, writers that come and go, torn ends: the rows, once and in order."""
    folder = tmp_path_factory.mktemp("log")
    rows = 0

    def opened() -> LogWriter:
        return LogWriter(folder, SCHEMA, segment_bytes=segment_bytes, row_group_rows=row_group_rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)  # nothing loses power here
        writer = opened()
        with following(folder, 0) as (follower,):
            for step, number in steps:
                if step == "append":
                    append(writer, number)
                    rows += number
                elif step == "look":
                    follower.look()
                    assert follower.place == rows
                elif step in ("sync", "rotate"):
                    getattr(writer, step)()
                    assert writer.synced_row == rows
                else:
                    writer.close()
                    tails = sorted(folder.glob("*.log"))
                    if step == "torn" and tails:
                        with tails[-1].open("ab") as file:
                            file.write(bytes(range(number)))
                    writer = opened()
                    assert writer.recovered.cut_bytes == (number if step == "torn" and tails else 0)
                assert writer.next_row == rows
            writer.close()
        assert checked_rows(folder) == rows


WRITES = """
import sys
from pathlib import Path
from order_book_platform.storage.log import LogWriter
from order_book_platform_tests.storage.log.dying import work
from order_book_platform_tests.storage.log.executors import AtOnce, Lazy
from order_book_platform_tests.storage.log.rows import SCHEMA
with LogWriter(Path(sys.argv[1]), SCHEMA, segment_bytes=20_000) as writer:
    work(writer, 11, 300, lambda row: print(row, flush=True))
    writer.close(seal=True)
    print(writer.next_row, flush=True)
"""


def test_following_another_process(tmp_path: Path) -> None:
    """Each line of the writer says what must be there by now; at its end, all of it has been read."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITES, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        with following(tmp_path, 0) as (follower,):
            said = 0
            for line in process.stdout:
                said = int(line)
                follower.look()
                assert follower.place >= said
            assert process.wait(60) == 0
        assert follower.place == said == checked_rows(tmp_path)
    assert not list(tmp_path.glob("*.log"))


def test_a_tail_says_when_it_has_all_and_what_is_on_the_device(tmp_path: Path) -> None:
    """None where nothing new is there, again and again; a sync is seen without a row behind it."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        tail = LogReader(tmp_path).tail(2)
        append(writer, 3)
        first = next(tail)
        assert first is not None
        assert (first.first_row, first.next_row) == (2, 3)
        assert [next(tail), next(tail)] == [None, None]
        assert tail.synced_row == 0
        writer.sync()
        assert next(tail) is None
        assert tail.synced_row == 3
        append(writer, 1)
        rows = next(tail)
        assert rows is not None
        assert rows.first_row == 3
        writer.rotate()
        assert next(tail) is None
        assert tail.synced_row == 4
    tail.close()
    assert list(tail) == []
