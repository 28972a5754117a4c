"""Sealed segments: Parquet files whose footer has their first row and one checksum over all their bytes.

Parquet's own checksums leave out page headers and the footer, where a changed bit gives other rows without an error. A
sealed form is written aside, flushed and renamed; only then the open form is removed. Rows that could not be sealed
later are refused before they are written to a log.
"""

from __future__ import annotations

import base64
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.errors import LogSchemaError
from order_book_platform.storage.disk import sync_path
from order_book_platform.storage.log.frames import ENCRYPTED_VERSION, VERSION
from order_book_platform.storage.log.segment_key import SegmentKey, new_segment_key, read_segment_key
from order_book_platform.storage.log.segments import (
    LogBatch,
    OpenSegment,
    corrupt,
    open_path,
    sealed_path,
    translate_damage,
)
from order_book_platform.storage.master_keys import MasterKeys
from order_book_platform.storage.parquet_sink import ParquetSink

FOOTER = "order_book_platform_log"
"""Key of the log's own metadata in the Parquet footer."""
SEALING_PREFIX = ".sealing-"
"""Prefix of the file name of a sealed segment that is not complete yet."""
_MARK = b'{"_crc32": "'
_DIGITS = b"00000000"
_TRAILER_BYTES = 8
_READ_BYTES = 1 << 20


class SealedSegment:
    """A segment in its final form; FileNotFoundError if there is none.

    Attributes:
        schema: schema of its rows, with the log's metadata.
        next_row: number of the row behind its last one.
        log_id: the 16 bytes that tell an encrypted log from others; None of another log.

    Raises:
        LogCorruptError: the file is damaged, or has another first row than its name says.
        LogKeyError: the file is encrypted and its key is not at hand.
    """

    def __init__(
        self, folder: Path, first_row: int, keys: MasterKeys | None = None, *, checked: bool = True
    ) -> None:
        self.first_row = first_row
        self._path = sealed_path(folder, first_row)
        self.log_id: bytes | None = None
        key = read_segment_key(self._path)
        if key is None:
            with self._path.open("rb", buffering=0) as file:
                crc, position, digits = _checksum(file, self._path)
            if digits != b"%08x" % crc:
                expected = f"CRC-32 {digits.decode(errors='replace')} (byte {position})"
                raise corrupt(expected, f"{crc:08x}", str(self._path))
            decryption = None
        else:
            if checked:
                key.check(self._path)
            self.log_id, decryption = key.log_id, key.decryption_properties(self._path, keys)
        with translate_damage("a readable Parquet file", str(self._path)):
            self._file = pq.ParquetFile(self._path, decryption_properties=decryption)
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
        """Read the rows from `from_row` on, row group by row group; a damaged one raises `LogCorruptError`."""
        start = self.first_row
        for group, rows in enumerate(self.group_rows()):
            if start + rows > from_row:
                yield from self.group(group, start, from_row)
            start += rows

    def group_rows(self) -> list[int]:
        """Return the number of rows of each row group."""
        metadata = self._file.metadata
        return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_footer(self) -> None:
        with translate_damage("the footer of a segment", str(self._path)):
            footer = json.loads(self._file.metadata.metadata[FOOTER.encode()])
            # The schema that pyarrow makes of Parquet's renames list items and has the footer's keys as metadata.
            self.schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(footer["schema"])))
            if footer["version"] not in (VERSION, ENCRYPTED_VERSION):
                raise ValueError(f"version {footer['version']}: read it with a later version of this package")
        if footer["first_row"] != self.first_row:
            raise corrupt(
                f"rows from {self.first_row} on", f"rows from {footer['first_row']} on", str(self._path)
            )
        self.next_row = self.first_row + int(self._file.metadata.num_rows)

    def group(self, group: int, start: int, from_row: int) -> Iterator[LogBatch]:
        """Read a row group, which begins with row `start`, from `from_row` on."""
        where = f"{self._path}, row group {group}"
        with translate_damage("a readable row group", where):
            table = self._file.read_row_group(group)
        first_row = max(start, from_row)
        for batch in table.slice(first_row - start).to_batches():
            exact = pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
            yield LogBatch(first_row, self.next_row, exact)
            first_row += batch.num_rows


def footer_metadata(first_row: int, schema: pa.Schema, *, encrypted: bool = False) -> dict[str, str]:
    """Return the metadata of a segment's footer, of one that is not encrypted with zeros for the checksum's digits."""
    content = {
        "first_row": first_row,
        "schema": base64.b64encode(schema.serialize()).decode(),
        "version": ENCRYPTED_VERSION if encrypted else VERSION,
    }
    return {FOOTER: json.dumps(content if encrypted else {"_crc32": _DIGITS.decode(), **content})}


def write_checksum(path: Path) -> None:
    """Compute the checksum of a file that is not sealed yet, and write it into the footer."""
    with path.open("r+b") as file:
        crc, position, _ = _checksum(file, path)
        file.seek(position)
        file.write(b"%08x" % crc)


def _checksum(file: BinaryIO, path: Path) -> tuple[int, int, bytes]:
    """Return a file's CRC-32 with its checksum's digits taken as zeros, their offset, and the digits found."""
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


def seal(
    folder: Path, first_row: int, next_row: int, row_group_rows: int, keys: MasterKeys | None = None
) -> None:
    """Turn an open segment, to which nothing is appended any more, into a sealed one.

    After a crash or an error it can be called again. The rows are those from `first_row` up to `next_row`, with
    `row_group_rows` in each row group of the sealed form, which is encrypted if the open one is.

    Raises:
        LogCorruptError: the segment is damaged, or does not end at `next_row`; it is left as it is.
        OSError: an operation of the system failed; one of the two forms is complete.
    """
    target = sealed_path(folder, first_row)
    if not target.exists():
        aside = target.with_name(SEALING_PREFIX + target.name)
        try:
            key = _write(folder, first_row, next_row, aside, row_group_rows, keys)
            if key is None:
                write_checksum(aside)
            else:
                key.save(aside, target)
            sync_path(aside)
            aside.rename(target)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
    finish_sealing(folder, first_row, next_row, keys)


def finish_sealing(
    folder: Path, first_row: int, next_row: int | None = None, keys: MasterKeys | None = None
) -> None:
    """Remove the open form of a segment after checking the sealed one, which ends at `next_row` unless that is None."""
    with SealedSegment(folder, first_row, keys) as sealed:
        if next_row not in (None, sealed.next_row):
            raise corrupt(
                f"rows up to {next_row}",
                f"rows up to {sealed.next_row}",
                str(sealed_path(folder, first_row)),
            )
    sync_path(folder)
    open_path(folder, first_row).unlink(missing_ok=True)
    sync_path(folder)


def _write(
    folder: Path, first_row: int, next_row: int, path: Path, row_group_rows: int, keys: MasterKeys | None
) -> SegmentKey | None:
    """Write the sealed form aside; returns its key if it is encrypted."""
    with OpenSegment(folder, first_row, keys) as segment:
        sink: ParquetSink | None = None
        key, encryption = None, None
        try:
            for rows in segment.batches(first_row):
                if sink is None and segment.log_id is not None and keys is not None:
                    key, encryption = new_segment_key(
                        segment.log_id, sealed_path(folder, first_row).name, keys
                    )
                sink = sink or ParquetSink(path, segment.schema, row_group_rows, encryption=encryption)
                sink.write(pa.Table.from_batches([rows.batch]))
            if segment.next_row != next_row:
                raise corrupt(
                    f"rows up to {next_row}",
                    f"rows up to {segment.next_row}",
                    f"{segment.path}, byte {segment.end}",
                )
            assert sink is not None  # a segment that is sealed has rows
            sink.close(footer_metadata(first_row, segment.schema, encrypted=key is not None))
        except BaseException:
            if sink is not None:
                sink.abandon()
            raise
    return key


def check_schema(schema: pa.Schema, folder: Path) -> None:
    """Refuse a schema that Arrow messages cannot hold, such as one with a dictionary, or that Parquet changes."""
    try:
        empty = pa.RecordBatch.from_pylist([], schema=schema)
        pa.ipc.read_record_batch(empty.serialize(), schema)
        content = io.BytesIO()
        pq.write_table(pa.Table.from_batches([empty]), content, store_schema=True)
        found = pq.read_schema(pa.BufferReader(content.getvalue()))
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise _refused(folder, "types that Arrow messages and Parquet hold", str(error)) from error
    if not found.equals(schema):
        raise _refused(folder, f"types that Parquet gives back: {found}", str(schema))


def check_batch(batch: pa.RecordBatch, schema: pa.Schema, folder: Path) -> None:
    """Refuse rows whose schema is not the log's, or with a null where that allows none."""
    if not batch.schema.equals(schema):
        raise LogSchemaError(
            expected=f"rows of the log's schema: {schema.remove_metadata()}",
            found=f"{batch.schema.remove_metadata()}",
            where=str(folder),
            remedy="Convert the rows first.",
        )
    for field, column in zip(schema, batch.columns, strict=True):
        _check_nulls(field, column, folder, field.name)


def _check_nulls(field: pa.Field, column: pa.Array, folder: Path, name: str) -> None:
    if not field.nullable and column.null_count:
        raise LogSchemaError(
            expected=f"no null in {name}",
            found=f"{column.null_count} of {len(column)}",
            where=str(folder),
            remedy="Fill them, or begin a log whose schema allows nulls there.",
        )
    kind = field.type
    if pa.types.is_struct(kind):
        for index, part in enumerate(column.drop_null().flatten() if column.null_count else column.flatten()):
            _check_nulls(kind.field(index), part, folder, f"{name}.{kind.field(index).name}")
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        _check_nulls(kind.value_field, column.flatten(), folder, f"{name}[]")


def _refused(folder: Path, expected: str, found: str) -> LogSchemaError:
    return LogSchemaError(
        expected=expected, found=found, where=str(folder), remedy="Write the column as another type."
    )
