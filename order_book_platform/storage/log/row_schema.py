"""Checks of rows before they are written to a log: what could not be sealed later is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.errors import LogSchemaError


def check_schema(schema: pa.Schema, folder: Path) -> None:
    """Refuse a schema that an Arrow record batch message or Parquet cannot hold.

    Args:
        schema: schema of a log's rows.
        folder: folder of the log, for the error.

    Raises:
        LogSchemaError: the schema has a dictionary, which is not part of the message, or a type that Parquet changes.
    """
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
    """Refuse rows of another schema, or with a null where the schema allows none: they could not be sealed.

    Args:
        batch: rows to be appended.
        schema: schema of the log.
        folder: folder of the log, for the error.

    Raises:
        LogSchemaError: the schema differs, or there is such a null.
    """
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
