"""Some columns of one segment of a log, without the cost of reading the others or of comparing checksums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from order_book_platform.storage.log.segment_key import read_segment_key
from order_book_platform.storage.log.segments import (
    OpenSegment,
    open_path,
    sealed_path,
    translate_damage,
)
from order_book_platform.storage.master_keys import MasterKeys

Statistics = dict[str, tuple[object, object]]
"""Smallest and greatest value of each column of a row group, of the columns that have them."""


def segment_bytes(folder: Path, first_row: int) -> int:
    """Return the size of a segment's file in bytes; 0 if it has gone."""
    for path in (open_path(folder, first_row), sealed_path(folder, first_row)):
        try:
            return path.stat().st_size
        except FileNotFoundError:
            continue
    return 0


class ColumnRange(NamedTuple):
    """Smallest and greatest value of an int64 column in a segment, and the number of the segment's rows."""

    lowest: int
    greatest: int
    rows: int


def column_range(
    folder: Path, first_row: int, column: str, keys: MasterKeys | None = None
) -> ColumnRange | None:
    """Return the smallest and greatest value of an int64 column in a segment; None for one without rows.

    Of a sealed segment they come from the statistics in its footer; an open one is read.

    Raises:
        LogCorruptError: The segment is damaged.
        LogKeyError: The segment is encrypted and its key is not at hand.
    """
    low: list[int] = []
    high: list[int] = []
    with _sealed_file(folder, first_row, keys) as file:
        if file is not None:
            for group in range(file.metadata.num_row_groups):
                smallest, greatest = _statistics(file, group).get(column, (None, None))
                if isinstance(smallest, int) and isinstance(greatest, int):
                    low.append(smallest)
                    high.append(greatest)
            return ColumnRange(min(low), max(high), file.metadata.num_rows) if low else None
    rows = 0
    for _, batch in segment_columns(folder, first_row, [column], keys):
        found = pc.min_max(batch.column(0)).as_py()
        low.append(found["min"])
        high.append(found["max"])
        rows += batch.num_rows
    return ColumnRange(min(low), max(high), rows) if low else None


def segment_columns(
    folder: Path,
    first_row: int,
    columns: Sequence[str],
    keys: MasterKeys | None = None,
    wanted: Callable[[Statistics], bool] = lambda statistics: True,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Read some columns of a segment; give the number of the first row of each batch with it.

    Args:
        folder: Folder of the log.
        first_row: First row of the segment.
        columns: Names of the columns.
        keys: Master keys of an encrypted log.
        wanted: Whether a row group of a sealed segment has to be read, by the statistics of its columns.

    Raises:
        LogCorruptError: The segment is damaged.
        LogKeyError: The segment is encrypted and its key is not at hand.
    """
    with _sealed_file(folder, first_row, keys) as file:
        if file is not None:
            row = first_row
            for group in range(file.metadata.num_row_groups):
                if wanted(_statistics(file, group)):
                    with translate_damage("a readable row group", f"{sealed_path(folder, first_row)}"):
                        table = file.read_row_group(group, columns=list(columns))
                    start = row
                    for batch in table.to_batches():
                        yield start, batch
                        start += batch.num_rows
                row += file.metadata.row_group(group).num_rows
            return
    try:
        segment = OpenSegment(folder, first_row, keys)
    except FileNotFoundError:
        if sealed_path(folder, first_row).exists():  # it was sealed meanwhile
            yield from segment_columns(folder, first_row, columns, keys, wanted)
        return
    with segment:
        for rows in segment.batches(first_row):
            yield rows.first_row, rows.batch.select(list(columns))


@contextmanager
def _sealed_file(folder: Path, first_row: int, keys: MasterKeys | None) -> Iterator[pq.ParquetFile | None]:
    """Open the sealed form of a segment without comparing its checksum; gives None where there is none."""
    path = sealed_path(folder, first_row)
    try:
        key = read_segment_key(path)
    except FileNotFoundError:
        yield None
        return
    properties = None if key is None else key.decryption_properties(path, keys)
    with translate_damage("a readable Parquet file", str(path)):
        file = pq.ParquetFile(path, decryption_properties=properties)
    with file:
        yield file


def _statistics(file: pq.ParquetFile, group: int) -> Statistics:
    metadata = file.metadata.row_group(group)
    found: Statistics = {}
    for index in range(metadata.num_columns):
        column = metadata.column(index)
        if column.statistics is not None and column.statistics.has_min_max:
            found[column.path_in_schema] = column.statistics.min, column.statistics.max
    return found
