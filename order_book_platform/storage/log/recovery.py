"""Recovery of a log when a writer opens it: unfinished work is completed or removed, and no synced row is lost."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogKeyError, LogSchemaError
from order_book_platform.storage.disk import sync_path
from order_book_platform.storage.log.high_water import read_high_water
from order_book_platform.storage.log.log_reader import LogReader
from order_book_platform.storage.log.sealed_segment import SEALING_PREFIX, SealedSegment, finish_sealing, seal
from order_book_platform.storage.log.segments import OpenSegment, corrupt, first_rows, open_path, sealed_path
from order_book_platform.storage.master_keys import MasterKeys


@dataclass(frozen=True, slots=True)
class Recovered:
    """State of a log when a writer opened it, and the changes that recovery made.

    Attributes:
        next_row: number of rows in the log.
        open_rows: number of rows in the segment that was not sealed.
        cut_bytes: bytes cut off behind the last valid frame; 0 unless a writer died while it wrote.
        removed: names of removed files: remains of sealing, and segments without a row.
        log_id: 16 bytes that tell an encrypted log from others; None of another log, or a new one.
    """

    next_row: int
    open_rows: int
    cut_bytes: int
    removed: tuple[str, ...]
    log_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class ResumableSegment:
    """An open segment with rows and `size` bytes, all in valid frames, to which a writer may append."""

    first_row: int
    size: int
    synced_row: int


def recover(
    folder: Path, schema: pa.Schema, row_group_rows: int, keys: MasterKeys | None = None
) -> tuple[Recovered, ResumableSegment | None]:
    """Bring a log into a state in which rows can be appended to it. The caller holds the writer's lock.

    Returns:
        What was found and done, and the open segment that goes on; None if the next row begins a segment.

    Raises:
        LogSchemaError: the log has another schema; nothing has been changed.
        LogCorruptError: rows that had reached the device are damaged or gone; no row has been changed.
    """
    segments = first_rows(folder)
    found = LogReader(folder, keys).schema()
    if found is not None and not found.equals(schema, check_metadata=True):
        raise LogSchemaError(
            expected=f"the schema of the log: {_text(found)}",
            found=_text(schema),
            where=str(folder),
            remedy="Append rows of that schema, or begin another log.",
        )
    removed = _remove_leftovers(folder, segments, keys)
    still_open = [row for row in segments if not sealed_path(folder, row).exists()]
    sealed, end, log_id = [row for row in segments if row not in still_open], 0, None
    if sealed:
        with SealedSegment(folder, sealed[-1], keys) as newest:
            end, log_id = newest.next_row, newest.log_id
        if still_open and still_open[0] != end:
            raise corrupt(
                f"a segment from row {end} on, where the last sealed one ends",
                f"one from row {still_open[0]} on",
                str(open_path(folder, still_open[0])),
            )
    for row, following in pairwise(still_open):
        seal(folder, row, following, row_group_rows, keys)
    if not still_open:
        if segments:
            _check_encryption(folder, log_id, keys, end)
        return Recovered(end, 0, 0, tuple(removed), log_id), None
    last = still_open[-1]
    with OpenSegment(folder, last, keys) as segment:
        for _ in segment.frames():
            pass
        cut_bytes, rows, log_id = segment.invalid_bytes(), segment.next_row - last, segment.log_id
    if segment.schema is not None:
        _check_encryption(folder, log_id, keys, last + rows)
    resumable = None
    if rows:
        resumable = ResumableSegment(last, segment.end, segment.synced_row)
        if cut_bytes:
            os.truncate(segment.path, segment.end)
        sync_path(segment.path)
    else:
        segment.path.unlink()
        removed.append(segment.path.name)
    sync_path(folder)
    return Recovered(last + rows, rows, cut_bytes, tuple(removed), log_id), resumable


def _remove_leftovers(folder: Path, segments: list[int], keys: MasterKeys | None) -> list[str]:
    """Remove incomplete sealed forms and the open forms of sealed segments, and return the names of the files."""
    removed = []
    for path in sorted(folder.glob(f"{SEALING_PREFIX}*")):
        path.unlink()
        removed.append(path.name)
    for row in segments:
        if sealed_path(folder, row).exists() and open_path(folder, row).exists():
            finish_sealing(folder, row, keys=keys)
            removed.append(open_path(folder, row).name)
    return removed


def _check_encryption(folder: Path, log_id: bytes | None, keys: MasterKeys | None, rows: int) -> None:
    """Refuse keys for a log that has rows in plain text, and an encrypted log that has lost rows of the device."""
    if keys is None:
        return
    if log_id is None:
        raise LogKeyError(
            expected="an encrypted log, or a new one, since there are keys",
            found="a log that is not encrypted",
            where=str(folder),
            remedy="Begin another log: a log is encrypted from its first row, or not at all.",
        )
    known = read_high_water(folder, log_id, keys)
    if rows < known:
        raise corrupt(f"{known} rows, which were on the device", f"{rows}", str(folder))


def _text(schema: pa.Schema) -> str:
    """Format a schema for an error message."""
    fields = ", ".join(f"{each.name}: {each.type}{'' if each.nullable else ' not null'}" for each in schema)
    pairs = (schema.metadata or {}).items()
    metadata = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in pairs}
    return f"{fields}; metadata {metadata}" if metadata else fields
