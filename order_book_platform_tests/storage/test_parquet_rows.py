"""Tables in parts: any beginning, any batch size, by batches or by groups, and damage that is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import PartitionCorruptError, StorageAccessError
from order_book_platform.storage import ParquetRows


def part(first: int, rows: int, group_rows: int, *, dictionary: bool = False) -> pa.Buffer:
    """Rows numbered from `first` on, in row groups; three columns, so that pages lie side by side."""
    numbers = np.arange(first, first + rows)
    table = pa.table({"n": numbers, "half": numbers / 2, "word": [f"{n % 7}" for n in numbers.tolist()]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=group_rows, use_dictionary=dictionary, compression="zstd")
    return sink.getvalue()


def parts(sizes: list[int], group_rows: int, *, dictionary: bool = False) -> ParquetRows:
    """Make a table of parts with these numbers of rows."""
    starts = np.cumsum([0, *sizes]).tolist()
    return ParquetRows(
        [
            part(start, size, group_rows, dictionary=dictionary)
            for start, size in zip(starts, sizes, strict=False)
        ]
    )


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=4),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 100),
    st.booleans(),
)
def test_every_row_from_any_row_on(
    sizes: list[int], group_rows: int, rows: int, from_row: int, dictionary: bool
) -> None:
    """Batches and row groups give the same rows, wherever files and row groups end."""
    table = parts(sizes, group_rows, dictionary=dictionary)
    wanted = list(range(min(from_row, sum(sizes)), sum(sizes)))
    assert table.num_rows == sum(sizes)
    batches = list(table.batches(rows, from_row=from_row))
    assert [n for batch in batches for n in batch.column("n").to_pylist()] == wanted
    assert all(0 < batch.num_rows <= rows for batch in batches)
    groups = list(table.row_groups(from_row))
    found = [batch for group in groups for batch in group.batches(rows)]
    assert [n for batch in found for n in batch.column("n").to_pylist()] == wanted
    assert [word for batch in found for word in batch.column("word").to_pylist()] == [
        f"{n % 7}" for n in wanted
    ]
    assert sum(group.rows for group in groups) == len(wanted)


def test_columns_and_spans() -> None:
    """Some columns only; smallest and largest over all parts, where there are statistics."""
    table = parts([5, 0, 6], 2)
    assert next(table.batches(3, ["half", "n"])).schema.names == ["half", "n"]
    assert table.value_range("n") == (0, 10)
    assert table.value_range("none") is None
    assert parts([0], 2).value_range("n") is None
    assert table.read(["n"]).column("n").to_pylist() == list(range(11))


def test_columns_of_nothing_but_nulls_need_not_be_read() -> None:
    """They are known by the statistics, in all parts together and row group by row group; one value is enough."""
    rows = {
        "n": pa.array([1, 2, 3, 4]),
        "none": pa.nulls(4, pa.int64()),
        "late": pa.array([None, None, 3, None]),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), sink, row_group_size=2)
    table = ParquetRows([sink.getvalue()])
    assert table.non_null_columns == ["n", "late"]
    first, second = [next(group.batches(9)) for group in table.row_groups()]
    assert first.schema.names == ["n"]
    assert second.to_pydict() == {"n": [3, 4], "late": [3, None]}
    unknown = pa.BufferOutputStream()
    pq.write_table(pa.table(rows), unknown, write_statistics=False)
    assert ParquetRows([unknown.getvalue()]).non_null_columns == ["n", "none", "late"]


def test_damage_is_named(tmp_path: Path) -> None:
    """Which part; at its opening, or where its pages are decoded."""
    good = part(0, 1_000, 100).to_pybytes()
    (tmp_path / "cut.parquet").write_bytes(good[:-9])
    with pytest.raises(PartitionCorruptError, match=r"cut\.parquet: expected a readable Parquet file"):
        ParquetRows([tmp_path / "cut.parquet"])
    (tmp_path / "spoiled.parquet").write_bytes(good[:4] + bytes(200) + good[204:])
    table = ParquetRows([tmp_path / "spoiled.parquet"])
    for read in (
        lambda: list(table.batches(10)),
        table.read,
        lambda: [batch for group in table.row_groups() for batch in group.batches(10)],
    ):
        with pytest.raises(PartitionCorruptError, match=r"spoiled\.parquet"):
            read()


def test_an_error_of_who_reads_is_left_alone() -> None:
    """A disk error elsewhere is not damage of the table."""
    with pytest.raises(OSError, match="elsewhere"):
        for _ in parts([3], 2).batches(1):
            raise OSError("elsewhere")


def test_a_part_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is not called damaged."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    pq.write_table(pa.table({"n": [1]}), tmp_path / "part.parquet")
    monkeypatch.setattr(pq, "ParquetFile", refused)
    with pytest.raises(StorageAccessError, match="a file that can be read, found Permission denied"):
        ParquetRows([tmp_path / "part.parquet"])
