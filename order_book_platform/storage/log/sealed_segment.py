"""Sealed segments: Parquet files whose footer has their first row and one checksum over all their bytes.

Parquet's own checksums leave out page headers and the footer, where a changed bit gives other rows without an error.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.storage.log.frames import VERSION
from order_book_platform.storage.log.segments import LogBatch, corrupt, sealed_path, translate_damage

FOOTER = "order_book_platform_log"
"""Key of the log's own metadata in the Parquet footer."""

_MARK = b'{"_crc32": "'
_DIGITS = b"00000000"
_TRAILER_BYTES = 8
_READ_BYTES = 1 << 20


class SealedSegment:
    """A segment in its final form.

    Args:
        folder: folder of the log.
        first_row: number of the segment's first row.

    Attributes:
        schema: schema of its rows, with the log's metadata.
        next_row: number of the row behind its last one.

    Raises:
        FileNotFoundError: there is no such segment, or it is not sealed.
        LogCorruptError: the file is damaged, or has another first row than its name says.
    """

    def __init__(self, folder: Path, first_row: int) -> None:
        self.first_row = first_row
        self._path = sealed_path(folder, first_row)
        _check(self._path)
        with translate_damage("a readable Parquet file", str(self._path)):
            self._file = pq.ParquetFile(self._path)
        try:
            self._read_footer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SealedSegment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """Read the rows from `from_row` on, row group by row group.

        Raises:
            LogCorruptError: a row group is damaged.
        """
        start = self.first_row
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if start + rows > from_row:
                yield from self._group(group, start, from_row)
            start += rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_footer(self) -> None:
        with translate_damage("the footer of a segment", str(self._path)):
            footer = json.loads(self._file.metadata.metadata[FOOTER.encode()])
            # The schema that pyarrow makes of Parquet's renames list items and has the footer's keys as metadata.
            self.schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(footer["schema"])))
            if footer["version"] != VERSION:
                raise ValueError(f"version {footer['version']}: read it with a later version of this package")
        if footer["first_row"] != self.first_row:
            raise corrupt(
                f"rows from {self.first_row} on", f"rows from {footer['first_row']} on", str(self._path)
            )
        self.next_row = self.first_row + int(self._file.metadata.num_rows)

    def _group(self, group: int, start: int, from_row: int) -> Iterator[LogBatch]:
        where = f"{self._path}, row group {group}"
        with translate_damage("a readable row group", where):
            table = self._file.read_row_group(group)
        first_row = max(start, from_row)
        for batch in table.slice(first_row - start).to_batches():
            exact = pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
            yield LogBatch(first_row, self.next_row, exact)
            first_row += batch.num_rows


def footer_metadata(first_row: int, schema: pa.Schema) -> dict[str, str]:
    """Return the metadata of a segment's footer, with zeros for the digits of the checksum.

    Args:
        first_row: number of the segment's first row in the log.
        schema: schema of its rows, with the log's metadata.
    """
    content = {
        "_crc32": _DIGITS.decode(),
        "first_row": first_row,
        "schema": base64.b64encode(schema.serialize()).decode(),
        "version": VERSION,
    }
    return {FOOTER: json.dumps(content)}


def write_checksum(path: Path) -> None:
    """Compute the checksum of a file that is not sealed yet, and write it into the footer."""
    with path.open("r+b") as file:
        crc, position, _ = _checksum(file, path)
        file.seek(position)
        file.write(b"%08x" % crc)


def _check(path: Path) -> None:
    """Compare a file with the checksum in its footer.

    Raises:
        FileNotFoundError: there is no such file.
        LogCorruptError: the file has changed since it was sealed.
    """
    with path.open("rb", buffering=0) as file:
        crc, position, digits = _checksum(file, path)
    if digits != b"%08x" % crc:
        raise corrupt(f"CRC-32 {digits.decode(errors='replace')} (byte {position})", f"{crc:08x}", str(path))


def _checksum(file: BinaryIO, path: Path) -> tuple[int, int, bytes]:
    """Compute the CRC-32 of a file, taking the digits of its checksum as zeros.

    Returns:
        The CRC-32, the offset of the checksum's digits in the file, and the digits that are there.

    Raises:
        LogCorruptError: the file has no complete Parquet footer, or one without a checksum.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _TRAILER_BYTES))
    trailer = file.read(_TRAILER_BYTES)
    footer_at = size - _TRAILER_BYTES - int.from_bytes(trailer[:4], "little")
    if trailer[4:] != b"PAR1" or footer_at < 0:
        raise corrupt("a whole Parquet file", "another end", f"{path}, byte {size}")
    file.seek(footer_at)
    footer = bytearray(file.read(size - footer_at))
    found = footer.rfind(_MARK)
    if found < 0:
        raise corrupt("the footer of a segment", "another one", f"{path}, byte {footer_at}")
    digits_at = found + len(_MARK)
    digits = bytes(footer[digits_at : digits_at + len(_DIGITS)])
    footer[digits_at : digits_at + len(_DIGITS)] = _DIGITS
    crc = 0
    file.seek(0)
    for offset in range(0, footer_at, _READ_BYTES):
        crc = zlib.crc32(file.read(min(_READ_BYTES, footer_at - offset)), crc)
    return zlib.crc32(footer, crc), footer_at + digits_at, digits
