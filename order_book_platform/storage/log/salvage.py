"""Reading what is left of a damaged log: everything that can be proven, and the place of everything that cannot."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogCorruptError, LogKeyError, StorageError
from order_book_platform.storage.log.high_water import read_high_water
from order_book_platform.storage.log.sealed_segment import SealedSegment
from order_book_platform.storage.log.segments import LogBatch, OpenSegment, first_rows, sealed_path
from order_book_platform.storage.master_keys import MasterKeys


@dataclass(frozen=True, slots=True)
class Damage:
    """Rows of a log that cannot be read.

    Attributes:
        first_row: Number of the first of them.
        next_row: Number of the row behind the last of them; equal to `first_row` where no row is known to be lost.
        error: Error that names the place and says what was found there.
    """

    first_row: int
    next_row: int
    error: StorageError


_Parts = Generator[LogBatch | Damage, None, tuple[int, pa.Schema | None, bytes | None]]
"""Rows and damages of a segment; at the end the row behind it, its schema, and the 16 bytes of its encrypted log."""


def salvage(folder: Path, keys: MasterKeys | None = None) -> Iterator[LogBatch | Damage]:
    """Read a log from its beginning to its end, whatever is damaged; nothing is changed.

    Rows of an encrypted log are proven one frame, or one row group, at a time. A sealed segment that is not encrypted
    has one checksum for all its bytes: if that is wrong, none of its rows is trusted.

    Args:
        folder: Folder of a log that nobody writes to.
        keys: Master keys of an encrypted log.

    Returns:
        Rows and damages, in the order of row numbers.

    Raises:
        LogMissingError: The folder does not exist.
    """
    rows = first_rows(folder)
    place, schema, log_id = rows[0] if rows else 0, None, None
    for index, first_row in enumerate(rows):
        behind = rows[index + 1] if index + 1 < len(rows) else None
        if first_row > place:
            missing = LogCorruptError(
                expected=f"a segment from row {place} on",
                found=f"the next one from row {first_row} on",
                where=str(sealed_path(folder, place)),
                remedy="Restore the segment from a copy.",
            )
            yield Damage(place, first_row, missing)
        is_sealed = sealed_path(folder, first_row).exists()
        parts = (
            _sealed(folder, first_row, behind, keys)
            if is_sealed
            else _open(folder, first_row, behind, keys, schema)
        )
        place, found_schema, found_id = yield from parts
        schema, log_id = found_schema or schema, log_id or found_id or None
    if log_id is not None and keys is not None:
        try:
            known = read_high_water(folder, log_id, keys)
        except StorageError as error:
            yield Damage(place, place, error)
            return
        if place < known:
            cut = LogCorruptError(
                expected=f"{known} rows, which were on the device",
                found=f"{place}",
                where=str(folder),
                remedy="The end of the log was cut off: restore it from a copy.",
            )
            yield Damage(place, known, cut)


def _sealed(folder: Path, first_row: int, behind: int | None, keys: MasterKeys | None) -> _Parts:
    """Read a sealed segment, row group by row group where each can be proven by itself."""
    try:
        with SealedSegment(folder, first_row, keys) as segment:
            yield from segment.batches(first_row)
            return segment.next_row, segment.schema, segment.log_id
    except LogKeyError as error:
        yield Damage(first_row, behind or first_row, error)
        return behind or first_row, None, None
    except LogCorruptError as error:
        damaged = error
    try:
        with SealedSegment(folder, first_row, keys, checked=False) as segment:
            if segment.log_id is None:
                raise damaged
            place, is_whole = first_row, True
            for group, rows in enumerate(segment.group_rows()):
                try:
                    yield from segment.group(group, place, place)
                except LogCorruptError as error:
                    is_whole = False
                    yield Damage(place, place + rows, error)
                place += rows
            if is_whole:  # bytes that no row depends on
                yield Damage(place, place, damaged)
            return place, segment.schema, segment.log_id
    except LogCorruptError as error:
        yield Damage(first_row, behind or first_row, error)
        return behind or first_row, None, None


def _open(
    folder: Path, first_row: int, behind: int | None, keys: MasterKeys | None, schema: pa.Schema | None
) -> _Parts:
    """Read an open segment frame by frame; behind a damaged frame it goes on with the next complete one."""
    with OpenSegment(folder, first_row, keys) as segment:
        while True:
            place = segment.next_row
            try:
                yield from segment.batches(first_row)
                if behind is not None and segment.next_row < behind:
                    raise LogCorruptError(
                        expected=f"rows up to {behind}",
                        found=f"rows up to {segment.next_row}",
                        where=f"{segment.path}, byte {segment.end}",
                        remedy="Restore the segment from a copy.",
                    )
                return segment.next_row, segment.schema, segment.log_id
            except StorageError as error:
                place = max(place, segment.next_row)
                going_on = segment.skip_damage(schema)
                next_row = segment.next_row if going_on else max(place, behind or place)
                yield Damage(place, next_row, error)
                if not going_on:
                    return next_row, segment.schema, segment.log_id
