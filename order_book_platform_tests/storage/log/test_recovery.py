"""A new writer recovers logs that are cut short, damaged, half sealed, in both forms or out of order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from order_book_platform.errors import LogCorruptError, LogSchemaError
from order_book_platform.storage.log import LogReader, LogWriter, Recovered
from order_book_platform.storage.log.frames import Frame, read_frame
from order_book_platform_tests.storage.log.rows import SCHEMA, append, batch, checked_rows, names

FIRST = f"{0:020d}"


def all_frames(path: Path) -> list[Frame]:
    """Read every frame of an undamaged file."""
    descriptor = os.open(path, os.O_RDONLY)
    found = []
    while (frame := read_frame(descriptor, found[-1].end if found else 0, str(path))) is not None:
        found.append(frame)
    os.close(descriptor)
    assert found[-1].end == path.stat().st_size
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An open segment: three rows, two rows, synced, two rows, synced, one row, one row."""
    folder = tmp_path / "log"
    with LogWriter(folder, SCHEMA) as writer:
        append(writer, 3)
        append(writer, 2)
        writer.sync()
        append(writer, 2)
        writer.sync()
        append(writer, 1)
        append(writer, 1)
        shutil.copytree(folder, tmp_path / "killed")
    (tmp_path / "killed" / "writer.lock").unlink()
    return tmp_path / "killed"


@pytest.mark.usefixtures("no_waiting_for_the_device")
def test_a_tail_cut_at_every_byte(folder: Path) -> None:
    """Rows of whole frames are there, the rest is cut off and counted, and the log goes on behind them."""
    path = folder / f"{FIRST}.log"
    content = path.read_bytes()
    frames = all_frames(path)
    last = frames[-2].offset
    for length in [*range(0, last, 11), *range(last, len(content))]:
        path.write_bytes(content[:length])
        whole = [frame for frame in frames if frame.end <= length]
        rows = sum(frame.rows for frame in whole)
        assert checked_rows(folder) == LogReader(folder).next_row() == rows
        assert path.stat().st_size == length
        with LogWriter(folder, SCHEMA) as writer:
            kept = whole[-1].end if rows else 0
            removed = () if rows else (path.name,)
            assert writer.recovered == Recovered(
                next_row=rows,
                open_rows=rows,
                cut_bytes=length - (whole[-1].end if whole else 0),
                removed=removed,
            )
            assert (path.stat().st_size if path.exists() else 0) >= kept
            append(writer, 1)
        assert checked_rows(folder) == rows + 1


@pytest.mark.usefixtures("no_waiting_for_the_device")
def test_every_byte_changed(folder: Path) -> None:
    """Rows that a later frame says were on the device are not cut off, but named as damaged; all others are cut."""
    path = folder / f"{FIRST}.log"
    content = path.read_bytes()
    frames = all_frames(path)
    refused = cut = 0
    for position in range(0, len(content), 3):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x10]) + content[position + 1 :])
        hit = next(number for number, frame in enumerate(frames) if position < frame.end)
        frame = frames[hit]
        if any(later.synced_row > frame.first_row for later in frames[hit + 1 :]):
            place = rf"{path}, byte {frame.offset}: expected row {frame.first_row}, which was on the device"
            damaged = path.read_bytes()
            for attempt in (
                lambda: list(LogReader(folder).read()),
                LogReader(folder).next_row,
                lambda: LogWriter(folder, SCHEMA),
            ):
                with pytest.raises(LogCorruptError, match=place):
                    attempt()
            assert path.read_bytes() == damaged
            assert names(folder) == ["0.log"]
            refused += 1
        else:
            assert checked_rows(folder) == frame.first_row
            with LogWriter(folder, SCHEMA) as writer:
                assert writer.recovered.cut_bytes == len(content) - frame.offset
                append(writer, 1)
            assert checked_rows(folder) == frame.first_row + 1
            cut += 1
    assert min(refused, cut) > 100


def test_damage_to_the_last_rows_that_were_synced(tmp_path: Path) -> None:
    """Nothing was appended behind them, and still they are not taken for a write that was cut short."""
    with LogWriter(tmp_path, SCHEMA) as writer:
        append(writer, 3)
        append(writer, 3)
        writer.sync()
    path = tmp_path / f"{FIRST}.log"
    content = bytearray(path.read_bytes())
    content[all_frames(path)[2].end - 1] ^= 1
    path.write_bytes(content)
    for attempt in (lambda: list(LogReader(tmp_path).read()), lambda: LogWriter(tmp_path, SCHEMA)):
        with pytest.raises(LogCorruptError, match="expected row 3, which was on the device"):
            attempt()


def test_what_recovery_found_counts_as_synced(folder: Path) -> None:
    """It is flushed, and the log says so: damage to it is noticed from then on."""
    path = folder / f"{FIRST}.log"
    with LogWriter(folder, SCHEMA) as writer:
        assert writer.synced_row == writer.next_row == 9
    last = [frame for frame in all_frames(path) if frame.rows][-1]
    content = bytearray(path.read_bytes())
    content[last.end - 1] ^= 1
    path.write_bytes(content)
    with pytest.raises(LogCorruptError, match="expected row 8, which was on the device"):
        LogWriter(folder, SCHEMA)


def sealed_and_open(folder: Path, tmp_path: Path) -> None:
    """Make a log of a sealed segment (0 to 3) and an open one (from 3), both forms of the first in `tmp_path`."""
    with LogWriter(folder, SCHEMA) as writer:
        append(writer, 3)
        shutil.copy(folder / f"{FIRST}.log", tmp_path)
        writer.rotate()
        append(writer, 2)
        shutil.copy(folder / f"{FIRST}.parquet", tmp_path)


def test_leftovers_of_sealing(tmp_path: Path) -> None:
    """Incomplete sealed segments are removed, and open forms of sealed ones; files of other names stay."""
    folder = tmp_path / "log"
    sealed_and_open(folder, tmp_path)
    shutil.copy(tmp_path / f"{FIRST}.log", folder)
    (folder / f".sealing-{3:020d}.parquet").write_bytes(b"PAR1")
    (folder / "notes.log").touch()
    assert checked_rows(folder) == 5
    with LogWriter(folder, SCHEMA) as writer:
        removed = (f".sealing-{3:020d}.parquet", f"{FIRST}.log")
        assert writer.recovered == Recovered(next_row=5, open_rows=2, cut_bytes=0, removed=removed)
    assert names(folder) == ["0.parquet", "3.log", "notes.log"]


def test_a_sealed_form_that_cannot_be_read(tmp_path: Path) -> None:
    """The open form beside it is the only copy, and stays."""
    folder = tmp_path / "log"
    sealed_and_open(folder, tmp_path)
    shutil.copy(tmp_path / f"{FIRST}.log", folder)
    (folder / f"{FIRST}.parquet").write_bytes(b"PAR1")
    with pytest.raises(LogCorruptError, match=r"\.parquet, byte 4: expected a whole Parquet file"):
        LogWriter(folder, SCHEMA)
    assert names(folder) == ["0.log", "0.parquet", "3.log"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / f"{3:020d}.log").rename(folder / f"{5:020d}.log"),
            "expected a segment from row 3 on, where the last sealed one ends, found one from row 5 on",
        ),
        (
            lambda folder: (folder / f"{FIRST}.parquet").rename(folder / f"{1:020d}.parquet"),
            "expected rows from 1 on, found rows from 0 on",
        ),
        (
            lambda folder: (folder / f"{FIRST}.parquet").rename(folder / f"{8:020d}.parquet"),
            "expected rows from 8 on, found rows from 0 on",
        ),
    ],
    ids=["gap", "renamed", "out of order"],
)
def test_segments_that_do_not_follow_each_other(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    """A gap, or a file under another's name: nothing is appended to it."""
    folder = tmp_path / "log"
    sealed_and_open(folder, tmp_path)
    damage(folder)
    before = names(folder)
    with pytest.raises(LogCorruptError, match=message):
        LogWriter(folder, SCHEMA)
    with pytest.raises(LogCorruptError):
        list(LogReader(folder).read())
    assert names(folder) == before


def test_an_older_open_segment_cut_short(tmp_path: Path) -> None:
    """One that waits to be sealed is complete: if the next does not begin where it ends, rows are gone."""
    folder = tmp_path / "log"
    sealed_and_open(folder, tmp_path)
    (folder / f"{FIRST}.parquet").unlink()
    (folder / f"{FIRST}.log").write_bytes((tmp_path / f"{FIRST}.log").read_bytes()[:-8])
    for attempt in (lambda: list(LogReader(folder).read()), lambda: LogWriter(folder, SCHEMA)):
        with pytest.raises(LogCorruptError):
            attempt()
    assert names(folder) == ["0.log", "3.log"]


@pytest.mark.parametrize(
    "length", [0, 39, 40, None], ids=["empty", "half a header", "header", "schema alone"]
)
def test_a_segment_without_rows(tmp_path: Path, length: int | None) -> None:
    """The segment of a writer that died at its first row is removed, and the next row takes its number."""
    folder = tmp_path / "log"
    sealed_and_open(folder, tmp_path)
    path = folder / f"{3:020d}.log"
    path.write_bytes(path.read_bytes()[: length if length is not None else all_frames(path)[0].end])
    assert checked_rows(folder) == 3
    assert LogReader(folder).schema() == SCHEMA
    with LogWriter(folder, SCHEMA) as writer:
        assert writer.recovered == Recovered(
            next_row=3, open_rows=0, cut_bytes=length or 0, removed=(path.name,)
        )
        append(writer, 4)
    assert checked_rows(folder) == 7


def test_a_schema_is_told_by_the_segments_before(tmp_path: Path) -> None:
    """If the newest segment died before it could tell its own."""
    folder = tmp_path / "log"
    sealed_and_open(folder, tmp_path)
    (folder / f"{3:020d}.log").write_bytes(b"")
    with pytest.raises(LogSchemaError):
        LogWriter(folder, SCHEMA.remove_metadata())
    assert names(folder) == ["0.parquet", "3.log"]


def test_a_log_without_its_first_segments(tmp_path: Path) -> None:
    """Somebody has removed old rows: the log goes on at its place, and a reader from there on too."""
    folder = tmp_path / "log"
    sealed_and_open(folder, tmp_path)
    (folder / f"{FIRST}.parquet").unlink()
    with LogWriter(folder, SCHEMA) as writer:
        assert writer.recovered.next_row == 5
        assert writer.append(batch(5, 2)) == 5
    assert checked_rows(folder, 3) == checked_rows(folder, 4) == 7
    with pytest.raises(
        LogCorruptError, match="expected a segment from row 0 on, found the next one from row 3 on"
    ):
        list(LogReader(folder).read(2))
