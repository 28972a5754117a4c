"""`snapshots`: batches into arrow and back; references are the same rows wherever the batches are cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.snapshots import (
    SNAPSHOTS_SCHEMA,
    SnapshotBatch,
    longest_list,
    read_reference_snapshots,
    read_snapshots,
)
from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.pip_encoding import VERBATIM
from order_book_platform_tests.datasets.files import (
    KEY,
    column,
    publish_first_row_alone,
    published,
    same,
    write,
)
from order_book_platform_tests.fidelity.partitions import Market


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
        BatchError, match=r"SnapshotBatch\.encoded_size: expected int64\[2, 2, 3\], found float64"
    ):
        SnapshotBatch(ones, ones, ones, levels, levels.astype(np.float64))
    with pytest.raises(
        BatchError, match=r"SnapshotBatch\.received_time: expected int64\[2\], found int64\[1\]"
    ):
        SnapshotBatch(ones, ones[:1], ones, levels, levels)


def test_snapshots_that_are_not_admitted_do_not_come(tmp_path: Path, market: Market) -> None:
    """Asked by their numbers, batch by batch; lists of any length keep their place."""
    batch = market.snapshots.take(slice(0, 9))
    prices = batch.encoded_price.copy()
    prices[[1, 4], 0, 3:] = MISSING_PIPS
    uneven = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.encoded_size
    )
    file = write(tmp_path, uneven.to_arrow(), 4)
    kept = np.array([True, True, False, False, True, False, True, False, True])
    told: list[int] = []

    def admit(numbers: np.ndarray) -> np.ndarray:
        here = kept[len(told) : len(told) + len(numbers)]
        told.extend(numbers.tolist())
        return here

    parts = list(read_reference_snapshots(file, 20, VERBATIM, batch_rows=3, admit=admit))
    whole = type(parts[0]).concat(parts)
    assert told == batch.sequence_number.tolist()
    assert whole.sequence_number.tolist() == batch.sequence_number[kept].tolist()
    assert whole.time_ns.tolist() == batch.origin_time[kept].tolist()
    assert np.array_equal(whole.encoded_price, prices[kept])
    assert np.array_equal(whole.encoded_size, np.where(prices == MISSING_PIPS, 0, batch.encoded_size)[kept])


def test_snapshots_are_filled_up_to_the_longest(tmp_path: Path, market: Market) -> None:
    """K is that of the longest list of the whole file, though a batch may hold shorter ones only."""
    batch = market.snapshots.take(slice(0, 5))
    prices = batch.encoded_price.copy()
    prices[:4, :, 2:] = MISSING_PIPS
    short = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.encoded_size
    )
    file = write(tmp_path, short.to_arrow(), 2)
    assert longest_list(file, batch_rows=2) == 20
    parts = list(read_reference_snapshots(file, 20, VERBATIM, batch_rows=2))
    whole = type(parts[0]).concat(parts)
    assert np.array_equal(whole.encoded_price, prices)
    assert np.array_equal(whole.encoded_size, np.where(prices == MISSING_PIPS, 0, batch.encoded_size))
    assert whole.cut(2).encoded_price.shape == (5, 2, 2)


def test_the_longest_list_is_looked_for_no_further_than_needed(tmp_path: Path, market: Market) -> None:
    """A list that is long enough ends the search; otherwise all are looked at."""
    batch = market.snapshots.take(slice(0, 4))
    prices = batch.encoded_price.copy()
    prices[0, :, 5:] = MISSING_PIPS
    short = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.encoded_size
    )
    file = write(tmp_path, short.to_arrow(), 1)
    assert longest_list(file, 1, enough=5) == 5
    assert longest_list(file, 1, enough=6) == 20
    assert longest_list(file, 1, enough=21) == 20


def test_long_lists_come_fewer_at_a_time(tmp_path: Path, market: Market) -> None:
    """Levels held at once are bounded, whatever their number a row; deeper rows keep all of them."""
    good = market.snapshots.take(slice(0, 6))
    ladder = np.arange(50, dtype=np.int64)
    deep = np.broadcast_to(np.stack([1_000 - ladder, 1_001 + ladder]), (6, 2, 50)).copy()
    long = type(good)(good.origin_time, good.received_time, good.sequence_number, deep, deep)
    parts = list(read_reference_snapshots(write(tmp_path, long.to_arrow()), 20, VERBATIM, batch_rows=5))
    assert [len(part) for part in parts] == [2, 2, 1, 1]
    assert np.array_equal(np.concatenate([part.encoded_price for part in parts]), deep)


def test_the_partition_is_read_as_it_was_when_it_was_asked_for(tmp_path: Path) -> None:
    """One that is published anew before the first batch is taken is not what the reader's manifest spoke of."""
    chain = published(tmp_path)
    wanted = chain.store.rows("snapshots", KEY).num_rows
    batches = read_snapshots(chain.store, KEY, VERBATIM)
    publish_first_row_alone(chain, "snapshots", "snapshots.parquet")
    assert sum(len(batch) for batch in batches) == wanted > 1


def test_batches_of_different_depth_are_joined() -> None:
    """Places beyond a batch's own levels are missing, with size 0; an empty batch does not decide the depth."""
    one, two = (np.arange(n, dtype=np.int64) for n in (1, 2))
    shallow = SnapshotBatch(one, one, one, np.full((1, 2, 1), 7), np.full((1, 2, 1), 8))
    deep = SnapshotBatch(two, two, two, np.full((2, 2, 3), 9), np.full((2, 2, 3), 4))
    whole = SnapshotBatch.concat([SnapshotBatch.nothing(), shallow, deep])
    assert whole.encoded_price[:, 0].tolist() == [[7, MISSING_PIPS, MISSING_PIPS], [9, 9, 9], [9, 9, 9]]
    assert whole.encoded_size[:, 1].tolist() == [[8, 0, 0], [4, 4, 4], [4, 4, 4]]
