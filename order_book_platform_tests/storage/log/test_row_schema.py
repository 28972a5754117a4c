"""Rows that a log cannot keep are refused when they are appended, not when they are to be sealed."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from order_book_platform.errors import LogSchemaError
from order_book_platform.storage.log import LogReader, LogWriter
from order_book_platform_tests.all_schemas import ALL_SCHEMAS

REQUIRED = pa.field("item", pa.int64(), nullable=False)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int64(),
        pa.uint64(),
        pa.float32(),
        pa.bool_(),
        pa.string(),
        pa.large_binary(),
        pa.timestamp("ns", "UTC"),
        pa.decimal128(38, 18),
        pa.list_(REQUIRED),
        pa.list_(pa.list_(REQUIRED)),
        pa.struct([pa.field("a", pa.list_(REQUIRED)), pa.field("b", pa.int8(), nullable=False)]),
        pa.map_(pa.string(), pa.int32()),
    ],
    ids=str,
)
def test_types_come_back_as_they_were(tmp_path: Path, kind: pa.DataType) -> None:
    """Open and sealed segments give the same types, including the names of list items and metadata."""
    schema = pa.schema([pa.field("value", kind, metadata={"unit": "pips"})], metadata={"decimals": "8"})
    values = pa.array([None], kind)
    rows = pa.RecordBatch.from_arrays([values], schema=schema)
    with LogWriter(tmp_path, schema) as writer:
        for seal in (False, True):
            writer.append(rows)
            if seal:
                writer.rotate()
            found = [each.batch for each in LogReader(tmp_path).read()]
            assert all(each.schema.equals(schema, check_metadata=True) for each in found)
            assert sum(each.num_rows for each in found) == writer.next_row
            found_schema = LogReader(tmp_path).schema()
            assert found_schema is not None
            assert found_schema.equals(schema, check_metadata=True)


@pytest.mark.parametrize("name", sorted(ALL_SCHEMAS))
def test_every_schema_of_the_platform_can_be_logged(tmp_path: Path, name: str) -> None:
    """Deltas, books and all else that a stream may have to move to disk."""
    with LogWriter(tmp_path, ALL_SCHEMAS[name]) as writer:
        assert writer.next_row == 0


@pytest.mark.parametrize(
    "kind",
    [
        pa.dictionary(pa.int32(), pa.string()),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
        pa.run_end_encoded(pa.int32(), pa.int64()),
        pa.month_day_nano_interval(),
        pa.dense_union([pa.field("a", pa.int8())]),
    ],
    ids=str,
)
def test_types_that_cannot_be_kept(tmp_path: Path, kind: pa.DataType) -> None:
    """Refused before there is a log."""
    with pytest.raises(LogSchemaError, match="Write the column as another type"):
        LogWriter(tmp_path / "log", pa.schema([pa.field("value", kind)]))
    assert not (tmp_path / "log").exists()


def test_another_schema_than_the_logs(tmp_path: Path) -> None:
    """Another type, another order, metadata: the log says what it has; nothing is changed."""
    one, two = pa.field("one", pa.int64()), pa.field("two", pa.int64())
    schema = pa.schema([one, two], metadata={"decimals": "8"})
    with LogWriter(tmp_path, schema) as writer:
        writer.append(pa.RecordBatch.from_pylist([{"one": 1, "two": 2}], schema=schema))
    for seal in (False, True):
        for other in (
            pa.schema([two, one], metadata={"decimals": "8"}),
            pa.schema([one], metadata={"decimals": "8"}),
            pa.schema([one, two], metadata={"decimals": "9"}),
            pa.schema([one, two.with_nullable(False)], metadata={"decimals": "8"}),
        ):
            before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
            wanted = re.escape("one: int64, two: int64; metadata {'decimals': '8'}")
            with pytest.raises(LogSchemaError, match=wanted):
                LogWriter(tmp_path, other)
            assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        with LogWriter(tmp_path, schema) as writer:
            writer.close(seal=not seal)


def test_rows_of_another_schema(tmp_path: Path) -> None:
    """Refused, and the log goes on."""
    schema = pa.schema([pa.field("one", pa.int64())])
    with LogWriter(tmp_path, schema) as writer:
        with pytest.raises(LogSchemaError, match="one: double"):
            writer.append(pa.RecordBatch.from_pydict({"one": [1.0]}))
        assert writer.append(pa.RecordBatch.from_pydict({"one": [1]})) == 0


@pytest.mark.parametrize(
    ("kind", "array", "name"),
    [
        (pa.int64(), pa.array([1, None]), "value"),
        (
            pa.list_(REQUIRED),
            pa.ListArray.from_arrays(
                pa.array([0, 2], pa.int32()), pa.array([1, None]), type=pa.list_(REQUIRED)
            ),
            "value[]",
        ),
        (
            pa.struct([REQUIRED]),
            pa.StructArray.from_arrays([pa.array([1, None])], fields=[REQUIRED.with_nullable(True)]),
            "value.item",
        ),
    ],
    ids=["plain", "list", "struct"],
)
def test_nulls_where_there_must_be_none(
    tmp_path: Path, kind: pa.DataType, array: pa.Array, name: str
) -> None:
    """Parquet would refuse them when the segment is sealed, and its rows could never leave the open form."""
    schema = pa.schema([pa.field("value", kind, nullable=False)])
    if array.type != kind:
        array = pa.Array.from_buffers(kind, len(array), array.buffers()[:1], children=[array.field(0)])
    with LogWriter(tmp_path, schema) as writer:
        rows = pa.RecordBatch.from_arrays([array], schema=schema)
        with pytest.raises(LogSchemaError, match=re.escape(f"expected no null in {name}, found 1 of 2")):
            writer.append(rows)
        assert writer.append(rows.slice(0, 0)) == writer.next_row == 0


def test_nulls_below_a_null(tmp_path: Path) -> None:
    """A struct that is null has no members, whatever lies there."""
    kind = pa.struct([REQUIRED])
    schema = pa.schema([pa.field("value", kind)])
    rows = pa.RecordBatch.from_pylist([{"value": {"item": 1}}, {"value": None}], schema=schema)
    with LogWriter(tmp_path, schema) as writer:
        writer.append(rows)
        writer.rotate()
    assert [each.batch for each in LogReader(tmp_path).read()] == [rows]
