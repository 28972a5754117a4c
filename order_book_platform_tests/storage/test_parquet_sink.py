"""The Parquet sink: the same rows give the same bytes, and nothing is lost on the way."""

from __future__ import annotations

import resource
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA, SnapshotBatch
from order_book_platform.storage import ParquetSink

SCHEMA = pa.schema(
    [
        pa.field("time", pa.int64(), nullable=False),
        pa.field("is_bid", pa.bool_(), nullable=False),
        pa.field("id", pa.int64()),
        pa.field("kind", pa.string(), nullable=False),
    ]
)


def rows(n: int) -> pa.Table:
    """Make a table of n rows with nulls and text in it."""
    time = np.random.default_rng(n).integers(-(2**60), 2**60, n)
    columns = [
        pa.array(time),
        pa.array(time % 2 == 0),
        pa.array(time, mask=time % 3 == 0),
        pa.array([f"kind {each % 5}" for each in time], pa.string()),
    ]
    return pa.table(columns, schema=SCHEMA)


def snapshots(n: int) -> pa.Table:
    """Snapshots of 20 levels: list columns whose pages fill long before a row group does."""
    generator = np.random.default_rng(n)
    levels = generator.integers(0, 2**60, (n, 2, 20))
    times = generator.integers(0, 2**60, (3, n))
    return SnapshotBatch(times[0], times[1], times[2], levels, levels).to_arrow()


def written(path: Path, table: pa.Table, cuts: list[int], row_group_rows: int) -> bytes:
    """Return the bytes of the file when the rows arrive cut at `cuts`."""
    sink = ParquetSink(path, table.schema, row_group_rows)
    bounds = sorted({0, *cuts, table.num_rows})
    for start, stop in pairwise(bounds):
        sink.write(table.slice(start, stop - start))
    assert sink.rows == table.num_rows
    sink.close({"made by": "a test"})
    return path.read_bytes()


def test_columns_are_packed_as_asked(tmp_path: Path) -> None:
    """Columns get a dictionary, plain values or deltas; the bytes are the same however the rows arrive."""
    names = ("by_delta", "by_dictionary", "by_nothing")
    schema = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in names])
    table = pa.table({name: np.arange(3_000) % 7 for name in names}, schema=schema)

    def file(name: str, cut: int) -> Path:
        sink = ParquetSink(
            tmp_path / name, schema, 1_000, packing={"by_dictionary": "dictionary", "by_nothing": "plain"}
        )
        sink.write(table.slice(0, cut))
        sink.write(table.slice(cut))
        sink.close()
        return tmp_path / name

    path = file("one", 1_500)
    assert path.read_bytes() == file("other", 7).read_bytes()
    assert pq.read_table(path).equals(table)
    group = pq.ParquetFile(path).metadata.row_group(0)
    encodings = [set(group.column(index).encodings) for index in range(3)]
    assert "DELTA_BINARY_PACKED" in encodings[0]
    assert "RLE_DICTIONARY" in encodings[1]
    assert not encodings[2] & {"DELTA_BINARY_PACKED", "RLE_DICTIONARY"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for all examples."""
    return tmp_path_factory.mktemp("sink")


@given(cuts=st.lists(st.integers(0, 300), max_size=20), row_group_rows=st.integers(10, 400))
def test_bytes_do_not_depend_on_how_rows_arrive(folder: Path, cuts: list[int], row_group_rows: int) -> None:
    """One table or thirty, with whatever cuts: the same file, with row groups of the size asked for."""
    table = rows(300)
    whole = written(folder / "whole.parquet", table, [], row_group_rows)
    assert written(folder / "cut.parquet", table, cuts, row_group_rows) == whole
    with pq.ParquetFile(folder / "cut.parquet") as file:
        assert file.read().equals(table)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        assert set(sizes[:-1]) <= {row_group_rows}
        assert file.metadata.metadata[b"made by"] == b"a test"


def test_pages_of_lists_do_not_depend_on_it_either(tmp_path: Path) -> None:
    """A page of list values fills at a megabyte; where it ends must not follow the arriving tables."""
    table = snapshots(30_000)
    whole = written(tmp_path / "whole.parquet", table, [], 30_000)
    for step in (777, 1_000, 12_345):
        assert written(tmp_path / "cut.parquet", table, list(range(0, 30_000, step)), 30_000) == whole


def test_zero_rows_are_a_file(tmp_path: Path) -> None:
    """No rows give a readable file with the schema, not an absent one."""
    sink = ParquetSink(tmp_path / "empty.parquet", SCHEMA)
    sink.write(SCHEMA.empty_table())
    sink.close()
    table = pq.read_table(tmp_path / "empty.parquet")
    assert (table.num_rows, table.schema) == (0, SCHEMA)


def test_integers_are_delta_packed(tmp_path: Path) -> None:
    """Whole columns and the values inside lists; zstd if nothing else is asked for."""
    written(tmp_path / "snapshots.parquet", snapshots(10), [], 10)
    with pq.ParquetFile(tmp_path / "snapshots.parquet") as file:
        group = file.metadata.row_group(0)
        for index in range(group.num_columns):
            column = group.column(index)
            assert "DELTA_BINARY_PACKED" in column.encodings
            assert column.compression == "ZSTD"
    assert SNAPSHOTS_SCHEMA.names == file.schema_arrow.names


def test_nulls_where_none_may_be_are_refused(tmp_path: Path) -> None:
    """A column that is never null in the schema is never null in a file."""
    nullable = pa.schema([pa.field("time", pa.int64())])
    sink = ParquetSink(tmp_path / "x.parquet", pa.schema([pa.field("time", pa.int64(), nullable=False)]))
    with pytest.raises((pa.ArrowInvalid, ValueError)):
        sink.write(pa.table([pa.array([1, None])], schema=nullable))
        sink.close()
    sink.abandon()


def test_giving_up_leaves_a_file_to_the_write_that_hangs_in_it(tmp_path: Path) -> None:
    """Neither are two at one file, nor does the one that gives up hang as well; later it can be closed."""
    sink, began, wake = ParquetSink(tmp_path / "x.parquet", SCHEMA, row_group_rows=5), Event(), Event()

    def hanging(table: pa.Table) -> None:
        began.set()
        wake.wait(60)
        write_group(table)

    write_group = sink._write_group
    sink._write_group = hanging  # type: ignore[method-assign]
    thread = Thread(target=sink.write, args=(rows(5),))
    thread.start()
    began.wait(60)
    sink.abandon()
    wake.set()
    thread.join(60)
    assert not thread.is_alive()
    sink.close()
    assert pq.ParquetFile(tmp_path / "x.parquet").metadata.num_rows == 5


def test_an_abandoned_file_raises_nothing(tmp_path: Path) -> None:
    """The error that led to giving up is the one to be seen, not the one of closing the file."""
    sink = ParquetSink(tmp_path / "large.parquet", SCHEMA, row_group_rows=1_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            sink.write(rows(10_000))
        sink.abandon()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    sink = ParquetSink(tmp_path / "x.parquet", SCHEMA)
    sink.write(rows(5))
    sink.abandon()
