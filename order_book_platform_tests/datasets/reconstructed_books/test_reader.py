"""Reading books: the same rows wherever the batches are cut."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.columns import NumberedRows
from order_book_platform.datasets.reconstructed_books.reader import (
    BookHeads,
    BookRows,
    PickedRows,
    from_seed,
    read_as_of,
    read_best,
    read_books,
    read_heads,
)
from order_book_platform.datasets.reconstructed_books.schema import books_schema, level_columns
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.pip_encoding import VERBATIM
from order_book_platform_tests.datasets.files import write
from order_book_platform_tests.oracle import OracleReplay


def assert_equal(ours: NumberedRows, theirs: NumberedRows) -> None:
    """All columns equal."""
    for name in ours.__dataclass_fields__:
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.parametrize("levels", [1, 3, 20])
def test_books_are_read_as_they_were_written(tmp_path: Path, replayed: OracleReplay, levels: int) -> None:
    """Every level, flag and count arrives where it belongs, and batch size changes nothing."""
    table = replayed.rows.slice(0, 150)
    file = write(tmp_path, table)
    parts = list(read_books(file, levels, VERBATIM, batch_rows=7))
    whole = type(parts[0]).concat(parts)
    assert_equal(whole, type(parts[0]).concat(list(read_books(file, levels, VERBATIM))))
    assert whole.sequence_number.tolist() == table["sequence_number"].to_pylist()
    assert whole.time_ns.tolist() == table["origin_time"].to_pylist()
    assert whole.flags.tolist() == table["flags"].to_pylist()
    assert whole.known[:, 1].tolist() == table["known_ask_levels"].to_pylist()
    for side, name in enumerate(("bid", "ask")):
        for level in range(levels):
            assert (
                whole.encoded_price[:, side, level].tolist()
                == table[f"{name}_{level}_price_pips"].to_pylist()
            )
            assert (
                whole.encoded_size[:, side, level].tolist() == table[f"{name}_{level}_size_pips"].to_pylist()
            )


def test_levels_that_do_not_exist_are_marked(tmp_path: Path, replayed: OracleReplay) -> None:
    """Null in the file is `MISSING_PIPS` without size in the arrays."""
    table = replayed.rows.slice(0, 2)
    for name in ("bid_0_price_pips", "bid_0_size_pips"):
        at = table.schema.get_field_index(name)
        table = table.set_column(at, table.schema.field(at), pa.array([None, 5], pa.int64()))
    file = write(tmp_path, table)
    (rows,) = read_books(file, 2, VERBATIM)
    (heads,) = read_heads(file, VERBATIM)
    assert rows.encoded_price[:, 0, 0].tolist() == [MISSING_PIPS, 5]
    assert rows.encoded_size[:, 0, 0].tolist() == [0, 5]
    assert heads.best_prices[:, 0].tolist() == [MISSING_PIPS, 5]


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_book_rows_that_go_back_are_left_out(tmp_path: Path, replayed: OracleReplay, batch_rows: int) -> None:
    """A row behind an earlier sequence number cannot be aligned; the others are kept."""
    table = replayed.rows.take([3, 1, 4, 2, 4, 7])
    file = write(tmp_path, table)
    kept = [n for part in read_books(file, 1, VERBATIM, batch_rows) for n in part.sequence_number.tolist()]
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
        parts = list(read_as_of(file, 2, np.array(asked, np.int64), VERBATIM, batch_rows, equal=equal))
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
            assert part.encoded_price[at].tolist() == [
                [1_000 + row, 2_000 + row],
                [MISSING_PIPS, 4_000 + row],
            ]
            assert part.encoded_size[at].tolist() == [[5_000 + row, 6_000 + row], [0, 8_000 + row]]
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
    schema = books_schema(2)
    return pa.table({name: pa.array(columns[name], schema.field(name).type) for name in schema.names}, schema)


@pytest.mark.parametrize("batch_rows", [1, 7, 40, 1_000])
def test_rows_are_picked_out_of_the_stream(tmp_path: Path, replayed: OracleReplay, batch_rows: int) -> None:
    """Wherever batches end, all columns of the wanted rows come as they are in the file, also of rows left out."""
    table = pa.concat_tables([replayed.rows.slice(0, 100), replayed.rows.slice(0, 50)])
    file = write(tmp_path, table)
    wanted = np.array([0, 6, 7, 99, 120, 149])
    columns = ["origin_time", *level_columns(5)]
    picked = PickedRows(wanted, columns)
    for _ in read_as_of(file, 2, np.array([5]), VERBATIM, batch_rows, picked=picked):
        pass
    assert picked.table(file.schema).equals(table.take(wanted).select(columns))


def test_no_row_picked_is_an_empty_table(tmp_path: Path, replayed: OracleReplay) -> None:
    """The columns are there, with their types."""
    file = write(tmp_path, replayed.rows.slice(0, 10))
    picked = PickedRows(np.zeros(0, np.int64), ["origin_time"])
    list(read_as_of(file, 2, np.array([5]), VERBATIM, picked=picked))
    assert picked.table(file.schema).schema.names == ["origin_time"]
    assert picked.table(file.schema).num_rows == 0


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_best_prices_begin_at_a_number(tmp_path: Path, replayed: OracleReplay, batch_rows: int) -> None:
    """Rows before the first number and rows that go back are left out; without a number there are none."""
    table = pa.concat_tables([replayed.rows.slice(0, 60), replayed.rows.slice(0, 20)])
    file = write(tmp_path, table)
    first = table["sequence_number"][10].as_py()
    parts = list(read_best(file, first, VERBATIM, batch_rows))
    whole = type(parts[0]).concat(parts)
    kept = [row for row in range(60) if table["sequence_number"][row].as_py() >= first]
    assert whole.sequence_number.tolist() == table["sequence_number"].take(kept).to_pylist()
    assert whole.arrival_ns.tolist() == table["received_time"].take(kept).to_pylist()
    assert whole.encoded_price[:, 1].tolist() == table["ask_0_price_pips"].take(kept).to_pylist()
    assert whole.encoded_size[:, 0].tolist() == table["bid_0_size_pips"].take(kept).to_pylist()
    assert list(read_best(file, None, VERBATIM)) == []


def by_column(n: int, levels: int) -> BookRows:
    """Rows of a book as they are read: levels lie column after column."""
    rows = np.arange(n)
    cube = np.arange(2 * levels * 2 * n).reshape(2, levels, 2, n)
    prices, sizes = (cube[:, :, what].transpose(2, 0, 1) for what in (0, 1))
    return BookRows(rows, rows, rows.astype(np.uint8), np.full((n, 2), levels, np.uint8), prices, sizes)


def test_chosen_book_rows_lie_row_after_row() -> None:
    """Read as columns, taken as rows: by number or by mask the same ones, contiguous for the comparison."""
    rows = by_column(90, 20)
    chosen = np.array([3, 4, 80, 80])
    taken = rows.take(chosen)
    assert isinstance(taken, BookRows)
    assert taken.encoded_price.flags.c_contiguous
    mask = np.arange(90) % 7 == 2
    for name in BookRows.__dataclass_fields__:
        assert np.array_equal(getattr(taken, name), getattr(rows, name)[chosen]), name
        assert np.array_equal(getattr(rows.take(mask), name), getattr(rows, name)[mask]), name


def test_rows_begin_at_the_first_seeded_one() -> None:
    """Rows before are left out, whole parts too; later rows come even if they are not seeded."""
    parts = []
    for numbers, flags in (([1, 2], [0, 0]), ([3, 4, 5], [0, 1, 0]), ([6], [0])):
        n = np.array(numbers, np.int64)
        parts.append(BookHeads(n, n, np.array(flags, np.uint8), np.stack([n, n], 1)))
    found = list(from_seed(iter(parts)))
    assert [part.sequence_number.tolist() for part in found] == [[4, 5], [6]]
