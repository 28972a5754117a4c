"""Sealed segments: the rows they can hold, their checksum, and sealing, which is done again if it was half done."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import LogCorruptError, LogSchemaError
from order_book_platform.storage.log import LogReader, LogWriter, sealed_segment
from order_book_platform.storage.log.sealed_segment import (
    SEALING_PREFIX,
    SealedSegment,
    finish_sealing,
    seal,
    write_checksum,
)
from order_book_platform.storage.log.segments import open_path, sealed_path
from order_book_platform_tests.all_schemas import ALL_SCHEMAS
from order_book_platform_tests.storage.log.rows import SCHEMA, append, batch, checked_rows, names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log with one sealed segment of ten rows in row groups of four."""
    with LogWriter(tmp_path / "log", SCHEMA, row_group_rows=4) as writer:
        append(writer, 10)
        writer.rotate()
    return tmp_path / "log"


@pytest.mark.parametrize("from_row", [0, 3, 4, 9, 10])
def test_rows_from_anywhere(folder: Path, from_row: int) -> None:
    """Rows come in order, by row group, with the log's own schema, which Parquet alone would change."""
    with SealedSegment(folder, 0) as segment:
        assert segment.schema.equals(SCHEMA, check_metadata=True)
        assert (segment.first_row, segment.next_row) == (0, 10)
        row = from_row
        for rows in segment.batches(from_row):
            assert (rows.first_row, rows.synced_row) == (row, 10)
            assert rows.batch.schema.equals(SCHEMA, check_metadata=True)
            assert rows.batch.equals(batch(row, rows.batch.num_rows))
            row = rows.next_row
    assert row == 10


def test_any_parquet_reader_can_read_it(folder: Path) -> None:
    """It is a plain file."""
    assert pq.read_table(sealed_path(folder, 0)).column("place").to_pylist() == list(range(10))


def test_a_segment_under_another_name(folder: Path) -> None:
    """Undamaged, but not the segment it claims to be."""
    shutil.copy(sealed_path(folder, 0), sealed_path(folder, 7))
    with pytest.raises(LogCorruptError, match="expected rows from 7 on, found rows from 0 on"):
        SealedSegment(folder, 7)


def test_a_changed_byte_is_found_when_it_is_opened(folder: Path) -> None:
    """The error names the checksum; the same digits again are right once more."""
    path = sealed_path(folder, 0)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    with pytest.raises(LogCorruptError, match=r"expected CRC-32 [0-9a-f]{8} \(byte \d+\), found [0-9a-f]{8}"):
        SealedSegment(folder, 0)
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    SealedSegment(folder, 0).close()


def test_a_checksum_is_written_in_place(folder: Path) -> None:
    """Writing it again changes nothing: its own digits count as zeros."""
    path = sealed_path(folder, 0)
    before = path.read_bytes()
    write_checksum(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 5])
def test_what_is_no_segment(folder: Path, content: bytes) -> None:
    """Too short, or without a footer: damage, and no error of a parser."""
    sealed_path(folder, 3).write_bytes(content)
    with pytest.raises(LogCorruptError):
        SealedSegment(folder, 3)


def test_a_segment_that_is_not_sealed(folder: Path) -> None:
    """An error of the system, so that a reader looks for the open form."""
    with pytest.raises(FileNotFoundError):
        SealedSegment(folder, 10)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log with five rows in an open segment."""
    with LogWriter(tmp_path / "log", SCHEMA) as writer:
        append(writer, 5)
    return tmp_path / "log"


def test_the_form_changes_and_the_rows_do_not(log: Path) -> None:
    """One file is replaced by the other."""
    seal(log, 0, 5, 2)
    assert names(log) == ["0.parquet"]
    assert checked_rows(log) == 5


def test_equal_rows_give_equal_bytes(log: Path, tmp_path: Path) -> None:
    """However they came: in one batch or in several."""
    with LogWriter(tmp_path / "other", SCHEMA) as writer:
        for rows in (2, 1, 2):
            append(writer, rows)
    for each in (log, tmp_path / "other"):
        seal(each, 0, 5, 2)
    assert sealed_path(log, 0).read_bytes() == sealed_path(tmp_path / "other", 0).read_bytes()


def test_a_segment_that_ends_elsewhere_stays_open(log: Path) -> None:
    """Nothing is sealed that is not all there, and nothing is left beside it."""
    with pytest.raises(LogCorruptError, match="expected rows up to 6, found rows up to 5"):
        seal(log, 0, 6, 2)
    assert names(log) == ["0.log"]
    assert checked_rows(log) == 5


@pytest.mark.parametrize("step", ["write_checksum", "sync_path"])
def test_an_error_leaves_the_open_form(log: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """After an error before the rename the new file is removed, and sealing again succeeds."""

    def fail(path: Path) -> None:
        assert path.name.startswith(SEALING_PREFIX)
        raise OSError("no")

    with monkeypatch.context() as patch:
        patch.setattr(sealed_segment, step, fail)
        with pytest.raises(OSError, match="no"):
            seal(log, 0, 5, 2)
    assert names(log) == ["0.log"]
    seal(log, 0, 5, 2)
    assert checked_rows(log) == 5


def test_the_open_form_goes_only_when_the_sealed_one_is_sound(log: Path) -> None:
    """A damaged or short sealed form keeps it; a sound one is taken as it is, without writing it again."""
    kept = log.parent / "kept"
    shutil.copytree(log, kept)
    seal(log, 0, 5, 2)
    shutil.copy(open_path(kept, 0), open_path(log, 0))
    with pytest.raises(LogCorruptError, match="expected rows up to 4, found rows up to 5"):
        finish_sealing(log, 0, 4)
    assert open_path(log, 0).exists()
    before = sealed_path(log, 0).stat().st_ino
    seal(log, 0, 5, 2)
    assert (names(log), sealed_path(log, 0).stat().st_ino) == (["0.parquet"], before)


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
        for rotating in (False, True):
            writer.append(rows)
            if rotating:
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
    for sealed in (False, True):
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
            writer.close(seal=not sealed)


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
