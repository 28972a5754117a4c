"""Batches: into arrow and back, cut and joined, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.snapshots import SNAPSHOTS_SCHEMA, SnapshotBatch
from order_book_platform.errors import BatchError
from order_book_platform.model.levels import MISSING_PIPS

INT64 = st.integers(-(2**63), 2**63 - 1)
OPTIONAL = ("transaction_time", "first_update_id", "prev_final_update_id")


def column(n: int) -> st.SearchStrategy[Any]:
    """An int64 column of n rows."""
    return st.lists(INT64, min_size=n, max_size=n).map(lambda values: np.array(values, dtype=np.int64))


@st.composite
def deltas(draw: st.DrawFn, min_rows: int = 0) -> DeltaBatch:
    """A batch of any values; each optional column is there or not."""
    n = draw(st.integers(min_rows, 12))
    bids = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    columns = {
        name: draw(column(n))
        for name in ("origin_time", "received_time", "sequence_number", "encoded_price", "encoded_size")
    }
    for name in OPTIONAL:
        columns[name] = draw(column(n)) if n and draw(st.booleans()) else None
    return DeltaBatch(is_bid=np.array(bids, dtype=np.bool_), **columns)


@st.composite
def snapshots(draw: st.DrawFn) -> SnapshotBatch:
    """Up to five snapshots with up to four levels a side; missing levels stand at the end."""
    n, depth = draw(st.integers(0, 5)), draw(st.integers(1, 4))
    prices = np.full((n, 2, depth), MISSING_PIPS, dtype=np.int64)
    sizes = np.zeros((n, 2, depth), dtype=np.int64)
    for row in range(n):
        for side in (0, 1):
            levels = draw(st.integers(0, depth))
            prices[row, side, :levels] = draw(
                st.lists(st.integers(0, 2**62), min_size=levels, max_size=levels)
            )
            sizes[row, side, :levels] = draw(
                st.lists(st.integers(0, 2**62), min_size=levels, max_size=levels)
            )
    return SnapshotBatch(draw(column(n)), draw(column(n)), draw(column(n)), prices, sizes)


def same(one: DeltaBatch | SnapshotBatch, other: DeltaBatch | SnapshotBatch) -> bool:
    """Whether two batches hold the same columns with the same values."""
    return all(
        (getattr(one, name) is None and getattr(other, name) is None)
        or np.array_equal(getattr(one, name), getattr(other, name))
        for name in one.__slots__
    )


def three_rows(**changes: Any) -> DeltaBatch:
    """Three plain rows, with columns replaced."""
    columns: dict[str, Any] = {
        name: np.arange(3, dtype=np.int64)
        for name in ("origin_time", "received_time", "sequence_number", "encoded_price", "encoded_size")
    }
    return DeltaBatch(**{**columns, "is_bid": np.zeros(3, dtype=np.bool_), **changes})


@given(deltas())
def test_deltas_through_arrow(batch: DeltaBatch) -> None:
    """Arrow and back gives the same batch, with the schema of the dataset."""
    table = batch.to_arrow()
    assert table.schema == RAW_DELTAS_SCHEMA
    assert same(DeltaBatch.from_arrow(table), batch)


@given(deltas(), st.data())
def test_cut_and_joined_deltas_are_the_same(batch: DeltaBatch, data: st.DataObject) -> None:
    """Wherever a batch is cut, joining the parts gives it back, empty parts or not."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(batch)), max_size=4)))
    parts = [batch.slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, len(batch)], strict=True)]
    assert sum(len(part) for part in parts) == len(batch)
    assert same(DeltaBatch.concat(parts), batch)


def test_slices_are_views() -> None:
    """Cutting copies nothing."""
    batch = three_rows()
    assert np.shares_memory(batch.slice(1, 3).encoded_price, batch.encoded_price)


def test_arrow_columns_are_not_copied() -> None:
    """A batch of one chunk looks at arrow's own memory."""
    table = three_rows().to_arrow()
    batch = DeltaBatch.from_arrow(table)
    buffer = table.column("price_pips").chunk(0).buffers()[1]
    assert buffer is not None
    assert batch.encoded_price.__array_interface__["data"][0] == buffer.address


def test_several_chunks_and_record_batches() -> None:
    """A table of several chunks and a record batch give the same rows."""
    table = three_rows().to_arrow()
    chunked = pa.concat_tables([table.slice(0, 1), table.slice(1, 2)])
    assert same(DeltaBatch.from_arrow(chunked), three_rows())
    assert same(DeltaBatch.from_arrow(table.to_batches()[0]), three_rows())


def test_joining_batches_of_different_sources_is_refused() -> None:
    """Ids of one half would be dropped without a word."""
    with pytest.raises(BatchError, match=r"DeltaBatch\.first_update_id: .*found 1 of 2 batches without it"):
        DeltaBatch.concat([three_rows(first_update_id=np.arange(3, dtype=np.int64)), three_rows()])


def test_joining_nothing_is_refused() -> None:
    """No batch says no columns."""
    with pytest.raises(BatchError, match=r"DeltaBatch\.concat: expected at least one batch, found none"):
        DeltaBatch.concat([])


def test_a_half_null_column_is_refused() -> None:
    """Either the source has the id or it has not; a mixture is not thrown away."""
    table = three_rows(first_update_id=np.arange(3, dtype=np.int64)).to_arrow()
    index = table.schema.get_field_index("first_update_id")
    mixed = table.set_column(index, table.schema.field(index), pa.array([1, None, 3], pa.int64()))
    with pytest.raises(BatchError, match=r"DeltaBatch\.first_update_id: .*found 1 nulls in 3 rows"):
        DeltaBatch.from_arrow(mixed)


@pytest.mark.parametrize(
    ("name", "array", "found"),
    [
        ("encoded_price", np.zeros(3), r"float64\[3\]"),
        ("encoded_price", np.zeros(2, dtype=np.int64), r"int64\[2\]"),
        ("encoded_price", np.zeros((3, 1), dtype=np.int64), r"int64\[3, 1\]"),
        ("is_bid", np.zeros(3, dtype=np.int64), r"int64\[3\]"),
        ("transaction_time", np.zeros(3, dtype=np.int32), r"int32\[3\]"),
    ],
)
def test_wrong_arrays_are_refused(name: str, array: Any, found: str) -> None:
    """Another dtype, length or shape never reaches a kernel."""
    with pytest.raises(BatchError, match=rf"DeltaBatch\.{name}: expected \w+\[3\], found {found}"):
        three_rows(**{name: array})


def test_null_prices_are_refused() -> None:
    """A null in a required column turns into floats on the way to numpy, which the batch does not take."""
    table = three_rows().to_arrow()
    index = table.schema.get_field_index("price_pips")
    broken = table.set_column(index, "price_pips", pa.array([1, None, 3], pa.int64()))
    with pytest.raises(
        BatchError, match=r"DeltaBatch\.encoded_price: expected int64\[3\], found float64\[3\]"
    ):
        DeltaBatch.from_arrow(broken)


@given(snapshots())
def test_snapshots_through_arrow(batch: SnapshotBatch) -> None:
    """Arrow and back gives the same levels; the depth shrinks to the longest side that is there."""
    table = batch.to_arrow()
    assert table.schema == SNAPSHOTS_SCHEMA
    table.validate(full=True)
    back = SnapshotBatch.from_arrow(table)
    assert 1 <= back.depth <= batch.depth
    shrunk = SnapshotBatch(
        batch.origin_time,
        batch.received_time,
        batch.sequence_number,
        batch.encoded_price[:, :, : back.depth],
        batch.encoded_size[:, :, : back.depth],
    )
    assert same(back, shrunk)
    assert (batch.encoded_price[:, :, back.depth :] == MISSING_PIPS).all()


@given(snapshots(), st.data())
def test_cut_snapshots_are_the_same(batch: SnapshotBatch, data: st.DataObject) -> None:
    """Slices and chunks of the arrow table hold the same snapshots."""
    table = batch.to_arrow()
    cut = data.draw(st.integers(0, len(batch)))
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert same(SnapshotBatch.from_arrow(chunked), SnapshotBatch.from_arrow(table))
    rest = SnapshotBatch.from_arrow(table.slice(cut))
    taken = SnapshotBatch.from_arrow(batch.take(slice(cut, None)).to_arrow())
    assert same(rest, taken)


def test_take_by_rows_and_by_mask() -> None:
    """Snapshots are chosen by position or by a mask."""
    ones = np.arange(3, dtype=np.int64)
    levels = np.arange(6, dtype=np.int64).reshape(3, 2, 1)
    batch = SnapshotBatch(ones, ones, ones, levels, levels)
    assert batch.take(np.array([2, 0])).sequence_number.tolist() == [2, 0]
    assert batch.take(ones != 1).encoded_price.tolist() == [[[0], [1]], [[4], [5]]]


def test_a_price_without_its_size_is_refused() -> None:
    """Lists of different lengths name the side and the row."""
    ones = np.ones(2, dtype=np.int64)
    levels = np.ones((2, 2, 2), dtype=np.int64)
    table = SnapshotBatch(ones, ones, ones, levels, levels).to_arrow()
    index = table.schema.get_field_index("ask_size_pips")
    short = pa.array([[1, 1], [1]], table.schema.field(index).type)
    with pytest.raises(BatchError, match=r"SnapshotBatch\.ask_size_pips, row 1: .*\(2\), found 1"):
        SnapshotBatch.from_arrow(table.set_column(index, table.schema.field(index), short))


def test_wrong_snapshot_arrays_are_refused() -> None:
    """Both level arrays have one shape and int64."""
    ones = np.ones(2, dtype=np.int64)
    levels = np.ones((2, 2, 3), dtype=np.int64)
    with pytest.raises(
        BatchError, match=r"SnapshotBatch\.size_pips: expected int64\[2, 2, 3\], found float64"
    ):
        SnapshotBatch(ones, ones, ones, levels, levels.astype(np.float64))
    with pytest.raises(
        BatchError, match=r"SnapshotBatch\.received_time: expected int64\[2\], found int64\[1\]"
    ):
        SnapshotBatch(ones, ones[:1], ones, levels, levels)
