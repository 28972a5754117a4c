"""A Parquet file in row groups of fixed size: the same rows give the same bytes, however they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

Packing = Literal["dictionary", "plain"]
"""Encoding of a column before compression: `dictionary` where values repeat, `plain` where runs are long."""
Compression = Literal["zstd", "lz4"]
"""Codec of a file; `lz4`, decoded in a third of the time, is for tables that are read often (docs/adr/0018)."""


class ParquetSink:
    """Streams tables into one Parquet file; int64 columns are delta-packed unless `packing` says otherwise.

    Args:
        path: file to write.
        schema: schema of every table that will be written.
        row_group_rows: rows per row group; memory is bounded by two groups and one incoming table.
        packing: encoding of columns that are not delta-packed, by name; `NAME.list.element` for values in lists.
        compression: codec of dictionary-encoded columns; all others use zstd.
        options: options of pyarrow's writer, instead of compression and packing, for files in a foreign layout.
        encryption: pyarrow's encryption properties, for a file that is encrypted.
    """

    def __init__(
        self,
        path: Path,
        schema: pa.Schema,
        row_group_rows: int = 262_144,
        *,
        packing: Mapping[str, Packing] = MappingProxyType({}),
        compression: Compression = "zstd",
        options: Mapping[str, object] | None = None,
        encryption: object = None,
    ) -> None:
        values = [
            f"{each.name}.list.element" if pa.types.is_list(each.type) else each.name for each in schema
        ]
        packed = {
            "compression": {
                name: compression if packing.get(name) == "dictionary" else "zstd" for name in values
            },
            "use_dictionary": [name for name, how in packing.items() if how == "dictionary"],
            "column_encoding": _encodings(schema, packing),
        }
        self._writer = pq.ParquetWriter(
            path,
            schema,
            write_statistics=True,
            store_schema=True,
            encryption_properties=encryption,
            **(packed if options is None else options),
        )
        self._schema = schema
        self._row_group_rows = row_group_rows
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._write_lock = Lock()
        self.rows = 0
        """Number of rows taken so far."""

    @property
    def stored_rows(self) -> int:
        """Number of rows that are in the file already."""
        return self.rows - self._pending_rows

    def write(self, table: pa.Table) -> None:
        """Take the rows of `table`; complete row groups are written to the file."""
        with self._write_lock:
            self._take(table)

    def _take(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        self._pending.append(table)
        self._pending_rows += table.num_rows
        if self._pending_rows < self._row_group_rows:
            return
        rest = pa.concat_tables(self._pending)
        self._pending = []
        while rest.num_rows >= self._row_group_rows:
            group = rest.slice(0, self._row_group_rows).combine_chunks()
            rest = rest.slice(self._row_group_rows)  # releases the copied rows before the group is encoded
            self._write_group(group)
            del group
        self._pending = [rest] if rest.num_rows else []
        self._pending_rows = rest.num_rows

    def close(self, metadata: dict[str, str] | None = None) -> None:
        """Write the remaining rows and the footer, with additional texts by key."""
        if self._pending_rows or self.rows == 0:
            group = pa.concat_tables([self._schema.empty_table(), *self._pending]).combine_chunks()
            self._pending = []
            self._write_group(group)
        self._pending = []
        if metadata:
            self._writer.add_key_value_metadata(metadata)
        self._writer.close()

    def _write_group(self, group: pa.Table) -> None:
        # The writer may end a page at the end of a chunk: with one chunk a column, bytes do not depend on arrivals.
        self._writer.write_table(group, row_group_size=self._row_group_rows)

    def abandon(self) -> None:
        """Close the file, whose content no longer matters; a write that hangs in another thread keeps it open."""
        if not self._write_lock.acquire(blocking=False):
            return
        self._pending = []
        try:
            self._writer.close()
        except (OSError, pa.ArrowException):
            # The content is thrown away; a full disk while closing must not hide the error that led here.
            return
        finally:
            self._write_lock.release()


def _encodings(schema: pa.Schema, packing: Mapping[str, Packing]) -> dict[str, str]:
    """Return DELTA_BINARY_PACKED for each int64 column, or list of int64, that `packing` does not name."""
    encodings: dict[str, str] = {}
    for field in schema:
        if field.type == pa.int64():
            encodings[field.name] = "DELTA_BINARY_PACKED"
        elif pa.types.is_list(field.type) and field.type.value_type == pa.int64():
            encodings[f"{field.name}.list.element"] = "DELTA_BINARY_PACKED"
    return {name: how for name, how in encodings.items() if name not in packing}
