"""Sealed segments: a Parquet file with the log's own footer and a checksum over every byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import LogCorruptError
from order_book_platform.storage.log import LogWriter
from order_book_platform.storage.log.sealed_segment import SealedSegment, write_checksum
from order_book_platform.storage.log.segments import sealed_path
from order_book_platform_tests.storage.log.rows import SCHEMA, append, batch


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with one sealed segment of ten rows in row groups of four."""
    with LogWriter(tmp_path / "log", SCHEMA, row_group_rows=4) as writer:
        append(writer, 10)
        writer.rotate()
    return tmp_path / "log"


@pytest.mark.parametrize("from_row", [0, 3, 4, 9, 10])
def test_rows_from_anywhere(folder: Path, from_row: int) -> None:
    """Rows come in order, by row group, with the log's own schema, which Parquet alone would change."""
    with SealedSegment(folder, 0) as segment:
        assert segment.schema.equals(SCHEMA, check_metadata=True)
        assert (segment.first_row, segment.next_row) == (0, 10)
        row = from_row
        for rows in segment.batches(from_row):
            assert (rows.first_row, rows.synced_row) == (row, 10)
            assert rows.batch.schema.equals(SCHEMA, check_metadata=True)
            assert rows.batch.equals(batch(row, rows.batch.num_rows))
            row = rows.next_row
    assert row == 10


def test_any_parquet_reader_can_read_it(folder: Path) -> None:
    """It is a plain file."""
    assert pq.read_table(sealed_path(folder, 0)).column("place").to_pylist() == list(range(10))


def test_a_segment_under_another_name(folder: Path) -> None:
    """Undamaged, but not the segment it claims to be."""
    shutil.copy(sealed_path(folder, 0), sealed_path(folder, 7))
    with pytest.raises(LogCorruptError, match="expected rows from 7 on, found rows from 0 on"):
        SealedSegment(folder, 7)


def test_a_changed_byte_is_found_when_it_is_opened(folder: Path) -> None:
    """The error names the checksum; the same digits again are right once more."""
    path = sealed_path(folder, 0)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(LogCorruptError, match=r"expected CRC-32 [0-9a-f]{8} \(byte \d+\), found [0-9a-f]{8}"):
        SealedSegment(folder, 0)
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    SealedSegment(folder, 0).close()


def test_a_checksum_is_written_in_place(folder: Path) -> None:
    """Writing it again changes nothing: its own digits count as zeros."""
    path = sealed_path(folder, 0)
    before = path.read_bytes()
    write_checksum(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 5])
def test_what_is_no_segment(folder: Path, content: bytes) -> None:
    """Too short, or without a footer: damage, and no error of a parser."""
    sealed_path(folder, 3).write_bytes(content)
    with pytest.raises(LogCorruptError):
        SealedSegment(folder, 3)


def test_a_segment_that_is_not_sealed(folder: Path) -> None:
    """An error of the system, so that a reader looks for the open form."""
    with pytest.raises(FileNotFoundError):
        SealedSegment(folder, 10)
