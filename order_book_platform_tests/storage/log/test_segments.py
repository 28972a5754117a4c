"""Names of segments, and what errors about them say."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.errors import LogCorruptError, LogMissingError
from order_book_platform.storage.log.segments import (
    LogBatch,
    first_rows,
    open_path,
    sealed_path,
    translate_damage,
)


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
