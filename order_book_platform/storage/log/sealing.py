"""Sealing a segment: its sealed form is written aside, flushed and renamed; only then the open form is removed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from order_book_platform.storage.atomic import sync_path
from order_book_platform.storage.log.open_segment import OpenSegment
from order_book_platform.storage.log.sealed_segment import SealedSegment, footer_metadata, write_checksum
from order_book_platform.storage.log.segments import corrupt, open_path, sealed_path
from order_book_platform.storage.parquet_sink import ParquetSink

SEALING_PREFIX = ".sealing-"
"""Prefix of the file name of a sealed segment that is not complete yet."""


def seal(folder: Path, first_row: int, next_row: int, row_group_rows: int) -> None:
    """Turn an open segment, to which nothing is appended any more, into a sealed one.

    After a crash or an error it can be called again.

    Args:
        folder: folder of the log.
        first_row: number of the segment's first row.
        next_row: number of the row behind its last one.
        row_group_rows: rows per row group of the sealed form.

    Raises:
        LogCorruptError: the segment is damaged, or does not end at `next_row`; it is left as it is.
        OSError: an operation of the system failed; one of the two forms is complete.
    """
    target = sealed_path(folder, first_row)
    if not target.exists():
        aside = target.with_name(SEALING_PREFIX + target.name)
        try:
            _write(folder, first_row, next_row, aside, row_group_rows)
            write_checksum(aside)
            sync_path(aside)
            aside.rename(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    finish_sealing(folder, first_row, next_row)


def finish_sealing(folder: Path, first_row: int, next_row: int | None = None) -> None:
    """Remove the open form of a segment whose sealed form exists, after checking the sealed form.

    Args:
        folder: folder of the log.
        first_row: number of the segment's first row.
        next_row: number of the row behind its last one; None to leave that unchecked.

    Raises:
        LogCorruptError: the sealed form is damaged, or does not end at `next_row`.
    """
    with SealedSegment(folder, first_row) as sealed:
        if next_row not in (None, sealed.next_row):
            raise corrupt(
                f"rows up to {next_row}",
                f"rows up to {sealed.next_row}",
                str(sealed_path(folder, first_row)),
            )
    sync_path(folder)
    open_path(folder, first_row).unlink(missing_ok=True)
    sync_path(folder)


def _write(folder: Path, first_row: int, next_row: int, path: Path, row_group_rows: int) -> None:
    with OpenSegment(folder, first_row) as segment:
        sink: ParquetSink | None = None
        try:
            for rows in segment.batches(first_row):
                sink = sink or ParquetSink(path, segment.schema, row_group_rows)
                sink.write(pa.Table.from_batches([rows.batch]))
            if segment.next_row != next_row:
                raise corrupt(
                    f"rows up to {next_row}",
                    f"rows up to {segment.next_row}",
                    f"{segment.path}, byte {segment.end}",
                )
            assert sink is not None  # a segment that is sealed has rows
            sink.close(footer_metadata(first_row, segment.schema))
        except BaseException:
            if sink is not None:
                sink.abandon()
            raise
