"""The writer thread: durable rows, and a device that stalls, fills up or fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.capture import raw_writer
from order_book_platform.capture.raw_writer import NS_PER_HOUR, RawWriter
from order_book_platform.capture.row_buffer import Row, RowBuffer
from order_book_platform.clock import Clock
from order_book_platform.datasets.raw_capture import raw_capture_schema
from order_book_platform.errors import DiskFullError, LogBrokenError
from order_book_platform.storage import LogReader, LogWriter

SCHEMA = raw_capture_schema("usdm")


def message(number: int, received_ns: int = 0) -> Row:
    """A message with a number of its own."""
    return Row(received_ns or number, number, 1, "public", "message", False, b"%d" % number, None)


def opener(folder: Path, kind: type[LogWriter] = LogWriter) -> Callable[[ThreadPoolExecutor], LogWriter]:
    """Open the log of a folder."""
    return lambda sealing: kind(folder, SCHEMA, seal_in=sealing)


def payloads(folder: Path) -> list[bytes]:
    """Payloads of all rows of a log."""
    return [value for batch in LogReader(folder).read() for value in batch.batch["payload"].to_pylist()]


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that refuses rows is tried again at once."""
    monkeypatch.setattr(raw_writer, "RETRY_S", 0.001)


def test_rows_are_durable_in_order(tmp_path: Path) -> None:
    """All rows are there, and the time from arrival to durability of each was measured."""
    buffer = RowBuffer(10**8)
    writer = RawWriter(opener(tmp_path / "log"), buffer, Clock())
    writer.start()
    for number in range(1000):
        buffer.put(message(number))
    writer.stop(30)
    assert payloads(tmp_path / "log") == [b"%d" % number for number in range(1000)]
    assert writer.rows == int(writer.durable.counts.sum()) == 1000
    assert writer.syncs.maximum_ns > 0


class LateRow(RowBuffer):
    """A buffer into which a row is put, and which is closed, behind a look that found nothing."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(limit_bytes)
        self.ended = threading.Event()

    def take(self, timeout_s: float) -> list[Row]:
        """Find nothing, the first time, and then bring the last row."""
        rows = super().take(0)
        if not self.ended.is_set():
            self.put(message(1))
            self.close()
            self.ended.set()
        return rows


def test_a_row_just_before_the_end_is_written(tmp_path: Path) -> None:
    """That the buffer is closed says nothing about a look that began before."""
    buffer = LateRow(10**8)
    writer = RawWriter(opener(tmp_path / "log"), buffer, Clock())
    writer.start()
    assert buffer.ended.wait(30)
    writer.stop(30)
    assert payloads(tmp_path / "log") == [b"1"]


def test_a_segment_ends_with_the_hour(tmp_path: Path) -> None:
    """So it does at midnight; a sealed segment is plain Parquet."""
    buffer = RowBuffer(10**8)
    writer = RawWriter(opener(tmp_path / "log"), buffer, Clock())
    for number, received_ns in enumerate((NS_PER_HOUR - 1, NS_PER_HOUR, 24 * NS_PER_HOUR)):
        writer._write([message(number, received_ns)])
    writer.start()
    writer.stop(30, seal=True)
    assert [path.suffix for path in sorted((tmp_path / "log").iterdir())] == [".parquet"] * 3


class _FullOften(LogWriter):
    """Has no space for every second frame."""

    calls = 0

    def append(self, batch: Any, *, whole: bool = False) -> int:
        type(self).calls += 1
        if self.calls % 2:
            raise DiskFullError(expected="space", found="none", where="disk", remedy="Free some.")
        return super().append(batch, whole=whole)


class _BrokenOften(LogWriter):
    """Fails at every third sync, after the rows have been appended."""

    calls = 0

    def sync(self) -> None:
        type(self).calls += 1
        if self.calls % 3 == 1:
            self._broken = "a device that fails"
            raise LogBrokenError(expected="an open log", found="a failure", where="disk", remedy="Open it.")
        super().sync()


@pytest.mark.parametrize("kind", [_FullOften, _BrokenOften])
def test_a_device_that_refuses_rows_is_tried_again(
    tmp_path: Path, kind: type[LogWriter], caplog: pytest.LogCaptureFixture
) -> None:
    """No row is lost and none is there twice; the log is opened anew where it has to be."""
    buffer = RowBuffer(10**8)
    writer = RawWriter(opener(tmp_path / "log", kind), buffer, Clock())
    for number in range(20):
        writer._write([message(number)])
    writer.start()
    writer.stop(30)
    assert payloads(tmp_path / "log") == [b"%d" % number for number in range(20)]
    events = [getattr(record, "event", None) for record in caplog.records]
    assert events[:2] == ["device_refuses_rows", "device_takes_rows"]
    assert "goes on by itself" in caplog.text


def test_a_device_that_hangs_is_given_up_at_the_end(tmp_path: Path) -> None:
    """The error says how much waits; meanwhile the buffer has dropped what did not fit."""
    hanging = threading.Event()

    class Hanging(LogWriter):
        def sync(self) -> None:
            hanging.wait(60)
            super().sync()

    buffer = RowBuffer(2000)
    writer = RawWriter(opener(tmp_path / "log", Hanging), buffer, Clock())
    writer.start()
    for number in range(100):
        buffer.put(message(number))
    assert buffer.dropped > 0
    with pytest.raises(LogBrokenError, match="bytes that wait"):
        writer.stop(0.01)
    hanging.set()
    writer._thread.join(30)


def test_an_error_of_the_code_ends_the_thread_and_is_told(tmp_path: Path) -> None:
    """It is raised at the end, and known before."""
    buffer = RowBuffer(10**8)
    writer = RawWriter(opener(tmp_path / "log"), buffer, Clock())
    buffer.put(message(1)._replace(received_time=None))  # type: ignore[arg-type]
    writer.start()
    with pytest.raises(TypeError):
        writer.stop(30)
    assert isinstance(writer.failure, TypeError)
