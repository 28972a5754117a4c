"""Sealed segments: plain Parquet files that know their place, with one checksum over all their bytes.

Parquet's own checksums leave page headers and footer out: a bit changed there gives other rows without a word.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.storage.log.frames import VERSION
from order_book_platform.storage.log.segments import LogBatch, corrupt, damage_named, sealed_path

FOOTER = "order_book_platform_log"
"""Key of a sealed segment's own words in the Parquet footer."""

_MARK = b'{"_crc32": "'
_DIGITS = b"00000000"
_TRAILER_BYTES = 8
_READ_BYTES = 1 << 20


class SealedSegment:
    """A segment in its final form.

    Args:
        folder: of the log.
        first_row: which segment.

    Raises:
        FileNotFoundError: it is not there, or not sealed.
        LogCorruptError: it is there and cannot be read, or is another segment under this name.
    """

    def __init__(self, folder: Path, first_row: int) -> None:
        self.first_row = first_row
        self._path = sealed_path(folder, first_row)
        _check(self._path)
        with damage_named("a readable Parquet file", str(self._path)):
            self._file = pq.ParquetFile(self._path)
        try:
            self._read_footer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SealedSegment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """Rows from `from_row` on, row group by row group.

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
        """Let go of the file."""
        self._file.close()

    def _read_footer(self) -> None:
        with damage_named("the footer of a segment", str(self._path)):
            words = json.loads(self._file.metadata.metadata[FOOTER.encode()])
            # Not what pyarrow makes of Parquet's own: that renames the items of lists and adds the footer's keys.
            self.schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(words["schema"])))
            if words["version"] != VERSION:
                raise ValueError(f"version {words['version']}: read it with a later version of this package")
        if words["first_row"] != self.first_row:
            raise corrupt(
                f"rows from {self.first_row} on", f"rows from {words['first_row']} on", str(self._path)
            )
        self.next_row = self.first_row + int(self._file.metadata.num_rows)

    def _group(self, group: int, start: int, from_row: int) -> Iterator[LogBatch]:
        where = f"{self._path}, row group {group}"
        with damage_named("a readable row group", where):
            table = self._file.read_row_group(group)
        place = max(start, from_row)
        for batch in table.slice(place - start).to_batches():
            exact = pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
            yield LogBatch(place, self.next_row, exact)
            place += batch.num_rows


def own_words(first_row: int, schema: pa.Schema) -> dict[str, str]:
    """What a segment says of itself in its footer, with room for the checksum.

    Args:
        first_row: place of its first row in the log.
        schema: of its rows, with the log's metadata.
    """
    words = {
        "_crc32": _DIGITS.decode(),
        "first_row": first_row,
        "schema": base64.b64encode(schema.serialize()).decode(),
        "version": VERSION,
    }
    return {FOOTER: json.dumps(words)}


def stamp(path: Path) -> None:
    """Put the checksum of a file that is not sealed yet into its footer."""
    with path.open("r+b") as file:
        crc, position, _ = _checksum(file, path)
        file.seek(position)
        file.write(b"%08x" % crc)


def _check(path: Path) -> None:
    """Compare a file with its checksum.

    Raises:
        FileNotFoundError: it is not there.
        LogCorruptError: it is not what was sealed.
    """
    with path.open("rb", buffering=0) as file:
        crc, position, digits = _checksum(file, path)
    if digits != b"%08x" % crc:
        raise corrupt(f"CRC-32 {digits.decode(errors='replace')} (byte {position})", f"{crc:08x}", str(path))


def _checksum(file: BinaryIO, path: Path) -> tuple[int, int, bytes]:
    """CRC-32 of a file whose checksum's digits are taken as zeros; where these are, and what they say."""
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
