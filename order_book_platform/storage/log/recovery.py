"""Recovery of a log when a writer opens it: unfinished work is completed or removed, and no synced row is lost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogSchemaError
from order_book_platform.storage.atomic import sync_path
from order_book_platform.storage.log.open_segment import OpenSegment
from order_book_platform.storage.log.sealed_segment import SealedSegment
from order_book_platform.storage.log.sealing import SEALING_PREFIX, finish_sealing, seal
from order_book_platform.storage.log.segments import corrupt, first_rows, open_path, sealed_path


@dataclass(frozen=True, slots=True)
class Recovered:
    """State of a log when a writer opened it, and the changes that recovery made.

    Attributes:
        next_row: number of rows in the log.
        open_rows: number of rows in the segment that was not sealed.
        cut_bytes: bytes cut off behind the last valid frame; 0 unless a writer died while it wrote.
        removed: names of removed files: remains of sealing, and segments without a row.
    """

    next_row: int
    open_rows: int
    cut_bytes: int
    removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResumableSegment:
    """An open segment with rows, to which a writer may append.

    Attributes:
        first_row: number of the segment's first row.
        size: bytes of its file, all of them in valid frames.
        synced_row: number of the log's rows that were on the device according to its frames.
    """

    first_row: int
    size: int
    synced_row: int


def recover(
    folder: Path, schema: pa.Schema, row_group_rows: int
) -> tuple[Recovered, ResumableSegment | None]:
    """Bring a log into a state in which rows can be appended to it. The caller holds the writer's lock.

    Args:
        folder: folder of the log.
        schema: schema of the rows that will be appended.
        row_group_rows: rows per row group of segments that are sealed now.

    Returns:
        What was found and done, and the open segment that goes on; None if the next row begins a segment.

    Raises:
        LogSchemaError: the log has another schema; nothing has been changed.
        LogCorruptError: rows that had reached the device are damaged or gone; no row has been changed.
    """
    segments = first_rows(folder)
    _check_schema(folder, segments, schema)
    removed = [*_remove_incomplete(folder), *_remove_open_forms(folder, segments)]
    still_open = [row for row in segments if not sealed_path(folder, row).exists()]
    _check_order(folder, segments, still_open)
    for row, end in pairwise(still_open):
        seal(folder, row, end, row_group_rows)
    if not still_open:
        return Recovered(_end_of_sealed(folder, segments), 0, 0, tuple(removed)), None
    last = still_open[-1]
    with OpenSegment(folder, last) as segment:
        for _ in segment.frames():
            pass
        cut_bytes = segment.invalid_bytes()
        end, rows = segment.end, segment.next_row - last
    resumable = ResumableSegment(last, end, segment.synced_row) if rows else None
    _cut(folder, last, end if rows else None, cut_bytes)
    if not rows:
        removed.append(open_path(folder, last).name)
    return Recovered(last + rows, rows, cut_bytes, tuple(removed)), resumable


def _check_schema(folder: Path, segments: list[int], schema: pa.Schema) -> None:
    """Compare with the newest segment that has a schema; one whose writer died at once may have none."""
    for row in reversed(segments):
        found = segment_schema(folder, row)
        if found is not None:
            if not found.equals(schema, check_metadata=True):
                raise LogSchemaError(
                    expected=f"the schema of the log: {_text(found)}",
                    found=_text(schema),
                    where=str(folder),
                    remedy="Append rows of that schema, or begin another log.",
                )
            return


def segment_schema(folder: Path, first_row: int) -> pa.Schema | None:
    """Read the schema of a segment; returns None if the segment has no valid frame."""
    if sealed_path(folder, first_row).exists():
        with SealedSegment(folder, first_row) as sealed:
            return sealed.schema
    with OpenSegment(folder, first_row) as segment:
        next(segment.frames(), None)
        return segment.schema


def _remove_incomplete(folder: Path) -> list[str]:
    """Remove sealed segments that were not complete, and return their names."""
    removed = []
    for path in sorted(folder.glob(f"{SEALING_PREFIX}*")):
        path.unlink()
        removed.append(path.name)
    return removed


def _remove_open_forms(folder: Path, segments: list[int]) -> list[str]:
    """Remove the open form of segments that are sealed already, and return the names of the files."""
    removed = []
    for row in segments:
        if sealed_path(folder, row).exists() and open_path(folder, row).exists():
            finish_sealing(folder, row)
            removed.append(open_path(folder, row).name)
    return removed


def _check_order(folder: Path, segments: list[int], still_open: list[int]) -> None:
    """Check that open segments come after the sealed ones, and begin where those end."""
    sealed = [row for row in segments if row not in still_open]
    if not (sealed and still_open):
        return
    end = _end_of_sealed(folder, sealed)
    if still_open[0] != end:
        raise corrupt(
            f"a segment from row {end} on, where the last sealed one ends",
            f"one from row {still_open[0]} on",
            str(open_path(folder, still_open[0])),
        )


def _end_of_sealed(folder: Path, sealed: list[int]) -> int:
    if not sealed:
        return 0
    with SealedSegment(folder, sealed[-1]) as last:
        return last.next_row


def _cut(folder: Path, first_row: int, size: int | None, cut_bytes: int) -> None:
    """Cut the open segment to `size` bytes, or remove it if None, and flush the remaining frames to the device."""
    path = open_path(folder, first_row)
    if size is None:
        path.unlink()
    else:
        if cut_bytes:
            os.truncate(path, size)
        sync_path(path)
    sync_path(folder)


def _text(schema: pa.Schema) -> str:
    """Format a schema for an error message."""
    fields = ", ".join(f"{each.name}: {each.type}{'' if each.nullable else ' not null'}" for each in schema)
    pairs = (schema.metadata or {}).items()
    metadata = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in pairs}
    return f"{fields}; metadata {metadata}" if metadata else fields
