"""`raw_deltas`: batches into arrow and back, cut and joined; streams cut anew, no message of which is split."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets import raw_deltas
from order_book_platform.datasets.raw_deltas import (
    RAW_DELTAS_SCHEMA,
    DeltaBatch,
    PublishedDeltas,
    whole_messages,
)
from order_book_platform.errors import BatchError
from order_book_platform.observability import silent
from order_book_platform_tests.datasets.files import KEY, column, publish_first_row_alone, published, same

OPTIONAL = ("transaction_time", "first_update_id", "prev_final_update_id")


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


def numbered(sequence: list[int]) -> DeltaBatch:
    """A delta for each sequence number, its price being its row."""
    numbers, rows = np.array(sequence, dtype=np.int64), np.arange(len(sequence), dtype=np.int64)
    return DeltaBatch(rows, rows, numbers, rows % 2 == 0, rows, rows)


@given(
    st.lists(st.integers(0, 8), max_size=40),
    st.lists(st.integers(0, 40), max_size=12),
    st.sampled_from([0, 5, 65_536]),
)
def test_messages_are_never_split(sequence: list[int], cuts: list[int], small: int) -> None:
    """However a stream was cut, and whichever batches are small, its rows come out in order, each message in one."""
    batch = numbered(sorted(sequence))
    bounds = [0, *sorted(min(cut, len(batch)) for cut in cuts), len(batch)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_deltas, "JOINED_ROWS", small)
        parts = list(whole_messages(batch.slice(start, stop) for start, stop in pairwise(bounds)))
    assert all(len(part) for part in parts)
    assert [row for part in parts for row in part.encoded_price] == list(range(len(sequence)))
    messages = [set(part.sequence_number.tolist()) for part in parts]
    assert sum(len(each) for each in messages) == len(set(sequence))


@pytest.mark.parametrize(("small", "lengths"), [(4, [3, 4, 1]), (3, [3, 3, 1, 1])])
def test_only_small_batches_are_joined(
    small: int, lengths: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the message that was split, which otherwise comes by itself, and what follows it as a view."""
    monkeypatch.setattr(raw_deltas, "JOINED_ROWS", small)
    batch = numbered([1, 1, 1, 2, 2, 2, 3, 4])
    parts = list(whole_messages([batch.slice(0, 4), batch.slice(4, 8)]))
    assert [len(part) for part in parts] == lengths
    assert np.shares_memory(parts[2].encoded_price, batch.encoded_price) == (small < 4)


@pytest.mark.parametrize("first_has", [False, True])
def test_batches_with_and_without_ids_follow_each_other(first_has: bool) -> None:
    """A source may begin or cease to give an id between two messages, whatever the size of a batch."""

    def part(first: int, has: bool) -> DeltaBatch:
        numbers = np.arange(first, first + 100, dtype=np.int64)
        ids = {"first_update_id": numbers} if has else {}
        return DeltaBatch(numbers, numbers, numbers, numbers > 0, numbers, numbers, **ids)

    whole = list(whole_messages([part(1, first_has), part(101, not first_has)]))
    assert np.concatenate([each.sequence_number for each in whole]).tolist() == list(range(1, 201))
    for each in whole:
        has = each.sequence_number < 101 if first_has else each.sequence_number > 100
        assert has.all() == has.any() == (each.first_update_id is not None)


def test_the_partition_is_read_as_it_was_when_it_was_asked_for(tmp_path: Path) -> None:
    """One that is published anew before the first batch is taken is not what the reader's manifest spoke of."""
    chain = published(tmp_path)
    wanted = chain.store.rows("raw_deltas", KEY).num_rows
    batches = PublishedDeltas(chain.store, KEY).batches(1_000, silent, "read")
    publish_first_row_alone(chain, "raw_deltas", "deltas.parquet")
    assert sum(len(batch) for batch in batches) == wanted > 1


def test_reading_may_begin_at_any_message(tmp_path: Path) -> None:
    """Rows from the first row of a message on, and progress that counts those before as done."""
    chain = published(tmp_path)
    whole = DeltaBatch.concat(list(PublishedDeltas(chain.store, KEY).batches(10_000, silent, "read")))
    start = int(np.searchsorted(whole.sequence_number, whole.sequence_number[len(whole) // 2]))
    told: list[tuple[str, int, int]] = []
    deltas = PublishedDeltas(chain.store, KEY)
    rest = list(deltas.batches(100, lambda *state: told.append(state), "replay", start))
    assert same(DeltaBatch.concat(rest), whole.slice(start, len(whole)))
    assert told[-1] == ("replay", len(whole), deltas.num_rows)
    assert told[0][1] > start > 0
