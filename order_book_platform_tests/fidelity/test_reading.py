"""Reading books and references: the same rows wherever the batches are cut."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.fidelity.reading import (
    PickedRows,
    count_nulls,
    longest_list,
    read_as_of,
    read_books,
    read_heads,
    read_snapshots,
    read_tickers,
)
from order_book_platform.fidelity.rows import ArrayRows, TickerRows
from order_book_platform.model import schemas
from order_book_platform.model.schemas import MISSING_PIPS
from order_book_platform.storage import ParquetRows
from order_book_platform_tests.fidelity.partitions import Market
from order_book_platform_tests.oracle import OracleReplay


def write(folder: Path, table: pa.Table, group_rows: int = 100) -> ParquetRows:
    """The table as a file of small row groups."""
    pq.write_table(table, folder / "rows.parquet", row_group_size=group_rows)
    return ParquetRows([folder / "rows.parquet"])


def assert_equal(ours: ArrayRows, theirs: ArrayRows) -> None:
    """All columns equal."""
    for name in ours.__dataclass_fields__:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.parametrize("levels", [1, 3, 20])
def test_books_are_read_as_they_were_written(tmp_path: Path, replayed: OracleReplay, levels: int) -> None:
    """Every level, flag and count arrives where it belongs, and batch size changes nothing."""
    table = replayed.rows.slice(0, 150)
    file = write(tmp_path, table)
    parts = list(read_books(file, levels, batch_rows=7))
    whole = type(parts[0]).concat(parts)
    assert_equal(whole, type(parts[0]).concat(list(read_books(file, levels))))
    assert whole.sequence_number.tolist() == table["sequence_number"].to_pylist()
    assert whole.time_ns.tolist() == table["origin_time"].to_pylist()
    assert whole.flags.tolist() == table["flags"].to_pylist()
    assert whole.known[:, 1].tolist() == table["known_ask_levels"].to_pylist()
    for side, name in enumerate(("bid", "ask")):
        for level in range(levels):
            assert (
                whole.price_pips[:, side, level].tolist() == table[f"{name}_{level}_price_pips"].to_pylist()
            )
            assert whole.size_pips[:, side, level].tolist() == table[f"{name}_{level}_size_pips"].to_pylist()


def test_levels_that_do_not_exist_are_marked(tmp_path: Path, replayed: OracleReplay) -> None:
    """Null in the file is `MISSING_PIPS` without size in the arrays."""
    table = replayed.rows.slice(0, 2)
    for name in ("bid_0_price_pips", "bid_0_size_pips"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array([None, 5], pa.int64()))
    file = write(tmp_path, table)
    (rows,) = read_books(file, 2)
    (heads,) = read_heads(file)
    assert rows.price_pips[:, 0, 0].tolist() == [MISSING_PIPS, 5]
    assert rows.size_pips[:, 0, 0].tolist() == [0, 5]
    assert heads.best_pips[:, 0].tolist() == [MISSING_PIPS, 5]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_book_rows_that_go_back_are_left_out(tmp_path: Path, replayed: OracleReplay, batch_rows: int) -> None:
    """A row behind an earlier sequence number cannot be aligned; the others are kept."""
    table = replayed.rows.take([3, 1, 4, 2, 4, 7])
    file = write(tmp_path, table)
    kept = [n for part in read_books(file, 1, batch_rows) for n in part.sequence_number.tolist()]
    numbers = table["sequence_number"].to_pylist()
    assert kept == [numbers[0], numbers[2], numbers[4], numbers[5]]


@given(
    own=st.lists(st.integers(0, 12), max_size=12),
    asked=st.sets(st.integers(-2, 15)).map(sorted),
    batch_rows=st.integers(1, 13),
    group_rows=st.integers(1, 13),
    equal=st.booleans(),
)
def test_a_book_as_of_some_messages_is_that_of_a_loop(
    own: list[int], asked: list[int], batch_rows: int, group_rows: int, equal: bool
) -> None:
    """Wherever batches and row groups end, with numbers that come twice or go back: the last row up to each number."""
    with tempfile.TemporaryDirectory() as folder:
        file = write(Path(folder), numbered_books(own), group_rows)
        parts = list(read_as_of(file, 2, np.array(asked, np.int64), batch_rows, equal=equal))
    kept = [row for row, number in enumerate(own) if number == max(own[: row + 1])]
    expected = []
    for number in asked:
        last = [row for row in kept if own[row] <= number][-1:]
        expected += [(number, row) for row in last if own[row] == number or not equal]
    found = []
    for part in parts:
        assert 0 < len(part) <= batch_rows
        for at, number in enumerate(part.sequence_number.tolist()):
            row = int(part.flags[at])
            found.append((number, row))
            assert part.time_ns[at] == 100 + row
            assert part.known[at].tolist() == [row + 1, row + 2]
            assert part.price_pips[at].tolist() == [[1_000 + row, 2_000 + row], [MISSING_PIPS, 4_000 + row]]
            assert part.size_pips[at].tolist() == [[5_000 + row, 6_000 + row], [0, 8_000 + row]]
    assert found == expected


def numbered_books(numbers: list[int]) -> pa.Table:
    """A book of two levels whose columns tell the row; the best ask is missing."""
    rows = np.arange(len(numbers))
    columns: dict[str, Any] = {
        "origin_time": 100 + rows,
        "received_time": rows,
        "sequence_number": np.array(numbers, np.int64),
        "flags": rows.astype(np.uint8),
        "known_bid_levels": (rows + 1).astype(np.uint8),
        "known_ask_levels": (rows + 2).astype(np.uint8),
    }
    for index, (side, level) in enumerate(itertools.product(("bid", "ask"), range(2))):
        for what, base in (("price", 1_000), ("size", 5_000)):
            values = base + 1_000 * index + rows
            columns[f"{side}_{level}_{what}_pips"] = values if index != 2 else [None] * len(rows)
    schema = schemas.books(2)
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema)


def test_snapshots_that_are_not_admitted_do_not_come(tmp_path: Path, market: Market) -> None:
    """Asked by their numbers, batch by batch; lists of any length keep their place."""
    batch = market.snapshots.take(slice(0, 9))
    prices = batch.price_pips.copy()
    prices[[1, 4], 0, 3:] = MISSING_PIPS
    uneven = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.size_pips
    )
    file = write(tmp_path, uneven.to_arrow(), 4)
    kept = np.array([True, True, False, False, True, False, True, False, True])
    told: list[int] = []

    def admit(numbers: np.ndarray) -> np.ndarray:
        here = kept[len(told) : len(told) + len(numbers)]
        told.extend(numbers.tolist())
        return here

    parts = list(read_snapshots(file, 20, batch_rows=3, admit=admit))
    whole = type(parts[0]).concat(parts)
    assert told == batch.sequence_number.tolist()
    assert whole.sequence_number.tolist() == batch.sequence_number[kept].tolist()
    assert whole.time_ns.tolist() == batch.origin_time[kept].tolist()
    assert np.array_equal(whole.price_pips, prices[kept])
    assert np.array_equal(whole.size_pips, np.where(prices == MISSING_PIPS, 0, batch.size_pips)[kept])


def test_snapshots_are_filled_up_to_the_longest(tmp_path: Path, market: Market) -> None:
    """K is that of the longest list of the whole file, though a batch may hold shorter ones only."""
    batch = market.snapshots.take(slice(0, 5))
    prices = batch.price_pips.copy()
    prices[:4, :, 2:] = MISSING_PIPS
    short = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.size_pips
    )
    file = write(tmp_path, short.to_arrow(), 2)
    assert longest_list(file, batch_rows=2) == 20
    parts = list(read_snapshots(file, 20, batch_rows=2))
    whole = type(parts[0]).concat(parts)
    assert np.array_equal(whole.price_pips, prices)
    assert np.array_equal(whole.size_pips, np.where(prices == MISSING_PIPS, 0, batch.size_pips))
    assert whole.cut(2).price_pips.shape == (5, 2, 2)


@pytest.mark.parametrize("lacking", [False, True])
def test_tickers_without_exchange_time_are_timed_by_arrival(tmp_path: Path, lacking: bool) -> None:
    """One missing origin_time sends all rows to received_time: two clocks must not be mixed."""
    columns = {
        "origin_time": [10, None if lacking else 20],
        "transaction_time": [None, None],
        "received_time": [15, 25],
        "sequence_number": [1, 2],
        "bid_price_pips": [50, 51],
        "bid_size_pips": [1, 2],
        "ask_price_pips": [60, 61],
        "ask_size_pips": [3, 4],
    }
    file = write(tmp_path, pa.table(columns, schema=schemas.TICKERS), 1)
    parts = list(read_tickers(file))
    whole = type(parts[0]).concat(parts)
    assert whole.time_ns.tolist() == ([15, 25] if lacking else [10, 20])
    assert whole.price_pips.tolist() == [[[50], [60]], [[51], [61]]]
    assert whole.size_pips.tolist() == [[[1], [3]], [[2], [4]]]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_tickers_without_the_wanted_clock_are_left_out(tmp_path: Path, batch_rows: int) -> None:
    """A clock that is asked for is never filled in, also where a whole batch lacks it."""
    columns = {
        "origin_time": [10, 20, 30],
        "transaction_time": [9, None, 29],
        "received_time": [15, 25, 35],
        "sequence_number": [1, 2, 3],
        **{name: [5, 6, 7] for name in schemas.TICKERS.names if name.endswith("_pips")},
    }
    table = pa.table({name: columns[name] for name in schemas.TICKERS.names}, schema=schemas.TICKERS)
    file = write(tmp_path, table)
    whole = TickerRows.concat(list(read_tickers(file, batch_rows, clock="transaction_time")))
    assert (whole.sequence_number.tolist(), whole.time_ns.tolist()) == ([1, 3], [9, 29])
    assert whole.time_ns.dtype == np.int64
    assert count_nulls(file, "transaction_time") == 1


@pytest.mark.parametrize("batch_rows", [1, 7, 40, 1_000])
def test_rows_are_picked_out_of_the_stream(tmp_path: Path, replayed: OracleReplay, batch_rows: int) -> None:
    """Wherever batches end, all columns of the wanted rows come as they are in the file, also of rows left out."""
    table = pa.concat_tables([replayed.rows.slice(0, 100), replayed.rows.slice(0, 50)])
    file = write(tmp_path, table)
    wanted = np.array([0, 6, 7, 99, 120, 149])
    columns = ["origin_time", *schemas.level_columns(5)]
    picked = PickedRows(wanted, columns)
    for _ in read_as_of(file, 2, np.array([5]), batch_rows, picked=picked):
        pass
    assert picked.table(file.schema).equals(table.take(wanted).select(columns))


def test_no_row_picked_is_an_empty_table(tmp_path: Path, replayed: OracleReplay) -> None:
    """The columns are there, with their types."""
    file = write(tmp_path, replayed.rows.slice(0, 10))
    picked = PickedRows(np.zeros(0, np.int64), ["origin_time"])
    list(read_as_of(file, 2, np.array([5]), picked=picked))
    assert picked.table(file.schema).schema.names == ["origin_time"]
    assert picked.table(file.schema).num_rows == 0


def test_the_longest_list_is_looked_for_no_further_than_needed(tmp_path: Path, market: Market) -> None:
    """A list that is long enough ends the search; otherwise all are looked at."""
    batch = market.snapshots.take(slice(0, 4))
    prices = batch.price_pips.copy()
    prices[0, :, 5:] = MISSING_PIPS
    short = type(batch)(
        batch.origin_time, batch.received_time, batch.sequence_number, prices, batch.size_pips
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
    parts = list(read_snapshots(write(tmp_path, long.to_arrow()), 20, batch_rows=5))
    assert [len(part) for part in parts] == [2, 2, 1, 1]
    assert np.array_equal(np.concatenate([part.price_pips for part in parts]), deep)
