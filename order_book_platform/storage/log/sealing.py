"""From an open segment to a sealed one: written aside, flushed, renamed; only then the open file goes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from order_book_platform.storage.atomic import sync_path
from order_book_platform.storage.log.open_segment import OpenSegment
from order_book_platform.storage.log.sealed_segment import SealedSegment, own_words, stamp
from order_book_platform.storage.log.segments import LogBatch, corrupt, open_path, sealed_path
from order_book_platform.storage.parquet_sink import ParquetSink

ASIDE = ".sealing-"
"""Start of the name of a sealed segment that is not whole yet."""


def seal(folder: Path, first_row: int, next_row: int, row_group_rows: int) -> None:
    """Turn an open segment, to which nothing is appended any more, into a sealed one.

    What a crash or an error leaves half done is taken up by calling it again.

    Args:
        folder: of the log.
        first_row: which segment.
        next_row: place of the row behind its last one.
        row_group_rows: rows per row group.

    Raises:
        LogCorruptError: the segment is damaged, or does not end there; it is left as it is.
        OSError: the system refuses; the open segment is still there, unless the sealed one is.
    """
    target = sealed_path(folder, first_row)
    if not target.exists():
        aside = target.with_name(ASIDE + target.name)
        try:
            _write(folder, first_row, next_row, aside, row_group_rows)
            stamp(aside)
            sync_path(aside)
            aside.rename(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    finish_sealing(folder, first_row, next_row)


def finish_sealing(folder: Path, first_row: int, next_row: int | None = None) -> None:
    """Remove the open form of a segment that lies there sealed, after a look at the sealed form.

    Raises:
        LogCorruptError: the sealed form cannot be read, or ends elsewhere than at `next_row`.
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
                _put(sink, rows)
            if segment.next_row != next_row:
                raise corrupt(
                    f"rows up to {next_row}",
                    f"rows up to {segment.next_row}",
                    f"{segment.path}, byte {segment.end}",
                )
            assert sink is not None  # a segment that is sealed has rows
            sink.close(own_words(first_row, segment.schema))
        except BaseException:
            if sink is not None:
                sink.abandon()
            raise


def _put(sink: ParquetSink, rows: LogBatch) -> None:
    sink.write(pa.Table.from_batches([rows.batch]))
