"""Segments: file names, batches, damage, and an open one: valid frames only, in steps, while its file grows."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.errors import LogCorruptError, LogMissingError
from order_book_platform.storage.log import LogWriter
from order_book_platform.storage.log.segments import (
    LogBatch,
    OpenSegment,
    first_rows,
    open_path,
    sealed_path,
    translate_damage,
)
from order_book_platform_tests.storage.log.rows import SCHEMA, append, batch


def test_names_sort_as_rows_do(tmp_path: Path) -> None:
    """Twenty digits hold every row number of 64 bits."""
    numbers = [0, 9, 10, 2**63, 2**64 - 1]
    names = [sealed_path(tmp_path, number).name for number in numbers]
    assert sorted(names) == names
    assert open_path(tmp_path, 7).name == "00000000000000000007.log"


def test_segments_are_listed_once(tmp_path: Path) -> None:
    """Segments are listed in ascending order, one in both forms once, and other files not at all."""
    for path in (open_path(tmp_path, 30), sealed_path(tmp_path, 30), sealed_path(tmp_path, 4)):
        path.touch()
    for name in ("writer.lock", ".sealing-00000000000000000004.parquet", "4.log", "0000000000000000000x.log"):
        (tmp_path / name).touch()
    assert first_rows(tmp_path) == [4, 30]


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """A missing folder and a file in its place are the same error."""
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(LogMissingError, match=f"{name}: expected the folder of a log, found none"):
            first_rows(tmp_path / name)


def test_a_batch_knows_the_next_row() -> None:
    """It is where a reader goes on."""
    assert LogBatch(5, 7, pa.record_batch({"n": [1, 2, 3]})).next_row == 8


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), pa.ArrowInvalid("x"), OSError("x")])
def test_what_cannot_be_parsed_is_damage(error: Exception) -> None:
    """Whatever a parser raises, the error names the place and keeps the cause."""
    message = r"log, byte 7: expected a frame, found"
    with pytest.raises(LogCorruptError, match=message) as caught, translate_damage("a frame", "log, byte 7"):
        raise error
    assert caught.value.__cause__ is error


def test_errors_of_the_system_are_no_damage() -> None:
    """A file that may not be read, or a device that fails, says nothing about the bytes."""
    with pytest.raises(PermissionError), translate_damage("a frame", "log"):
        raise PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[LogWriter]:
    """A log with three rows in its first segment."""
    with LogWriter(tmp_path / "log", SCHEMA) as writer:
        append(writer, 3)
        yield writer


def test_rows_come_when_they_are_there(writer: LogWriter) -> None:
    """Each once, with the schema; nothing comes twice, and later calls go on."""
    with OpenSegment(writer.folder, 0) as segment:
        assert segment.schema is None
        assert [each.first_row for each in segment.batches(0)] == [0]
        assert segment.schema.equals(SCHEMA, check_metadata=True)
        assert list(segment.batches(0)) == []
        append(writer, 2)
        (more,) = segment.batches(0)
        assert more.batch.equals(batch(3, 2))
        assert (segment.next_row, segment.invalid_bytes()) == (5, 0)


def test_rows_from_within_a_frame(writer: LogWriter) -> None:
    """The first frame is cut to the wanted rows."""
    with OpenSegment(writer.folder, 0) as segment:
        (rows,) = segment.batches(2)
    assert (rows.first_row, rows.batch.num_rows) == (2, 1)
    assert rows.batch.equals(batch(2, 1))


def test_synced_rows_are_known(writer: LogWriter) -> None:
    """The number grows as soon as the frame that says so has been read."""
    with OpenSegment(writer.folder, 0) as segment:
        list(segment.frames())
        assert segment.synced_row == 0
        writer.sync()
        list(segment.frames())
        assert segment.synced_row == 3


def test_an_incomplete_frame_is_not_read(writer: LogWriter) -> None:
    """It counts as invalid bytes until it is complete."""
    path = open_path(writer.folder, 0)
    complete = path.stat().st_size
    append(writer, 2)
    os.truncate(path, path.stat().st_size - 1)
    with OpenSegment(writer.folder, 0) as segment:
        assert [each.rows for each in segment.frames()] == [3]
        assert (segment.end, segment.next_row) == (complete, 3)
        assert segment.invalid_bytes() == path.stat().st_size - complete


def test_synced_rows_that_are_damaged_are_an_error(writer: LogWriter) -> None:
    """A changed byte before a frame that proves them is no incomplete end."""
    path = open_path(writer.folder, 0)
    first_end = path.stat().st_size
    writer.sync()
    append(writer, 2)
    content = bytearray(path.read_bytes())
    content[first_end - 1] ^= 1
    path.write_bytes(content)
    with (
        OpenSegment(writer.folder, 0) as segment,
        pytest.raises(LogCorruptError, match="row 0, which was on"),
    ):
        list(segment.frames())


def test_a_segment_that_is_not_there(tmp_path: Path) -> None:
    """An error of the system, by which a reader sees that it may be sealed; closing twice does nothing."""
    with pytest.raises(FileNotFoundError):
        OpenSegment(tmp_path, 0)
    open_path(tmp_path, 0).touch()
    segment = OpenSegment(tmp_path, 0)
    segment.close()
    segment.close()
