"""Readers of tables: streamed where files are in order, sorted stably where they are not, whatever the batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.errors import OffGridError
from order_book_platform.model import FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.sources import LakeSource
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import LakeFile
from order_book_platform.sources.table_reader import (
    PIECE_ROWS,
    DeltaReader,
    SnapshotReader,
    TableReader,
    TickChangeDetector,
    TradeReader,
)
from order_book_platform_tests.lake import KEY, book_frame, delta_frame, files_of, trade_frame, write_lake


@dataclass(slots=True)
class NumberReader(TableReader[list[int]]):
    """Reads sequence numbers."""

    columns = ("sequence_number",)
    order_column = "sequence_number"

    def numbers(self) -> tuple[int, list[list[int]]]:
        """Rows out of order, and the numbers batch by batch."""
        found = list(self._in_order())
        return self.audit.unsorted_rows, found

    def _convert(self, file: LakeFile, row: int, batch: pa.RecordBatch) -> list[int]:
        found: list[int] = batch.column(0).to_pylist()
        return found

    def _sorted(self, parts: list[list[int]]) -> Iterator[list[int]]:
        yield sorted(number for part in parts for number in part)


def read_numbers(folder: Path, *frames: pl.DataFrame, batch_rows: int) -> tuple[int, list[list[int]]]:
    """What a reader says of files with these frames, in this order."""
    files = files_of(folder, *frames, rows=1_000)
    files = sorted(files, key=lambda file: file.path.name)
    return NumberReader(files, KEY.day, FloatDecoder(FixedPoint()), batch_rows).numbers()


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_files_in_order_are_streamed(tmp_path: Path, batch_rows: int) -> None:
    """One batch after another, none larger than asked for."""
    frame = delta_frame(10)
    unsorted, parts = read_numbers(tmp_path, frame[:11], frame[11:], batch_rows=batch_rows)
    assert unsorted == 0
    assert all(len(part) <= batch_rows for part in parts)
    assert [number for part in parts for number in part] == frame["sequence_number"].to_list()


@pytest.mark.parametrize("batch_rows", [1, 7, 1_000])
def test_rows_out_of_order_are_counted_over_batches_and_files(tmp_path: Path, batch_rows: int) -> None:
    """Each step down counts, also from one file to the next; then all rows are sorted at once."""
    frame = delta_frame(10)
    mixed = frame[np.random.default_rng(4).permutation(len(frame)).tolist()]
    numbers = mixed["sequence_number"].to_list()
    unsorted, parts = read_numbers(tmp_path, mixed[:13], mixed[13:], batch_rows=batch_rows)
    assert unsorted == sum(a > b for a, b in pairwise(numbers)) > 0
    assert parts == [sorted(numbers)]


def read_trades(folder: Path, trades: pl.DataFrame) -> tuple[TradeReader, list[list[int]]]:
    """A reader that has read_trades them three at a time, and the ids in each of its tables."""
    write_lake(folder, KEY, delta_frame(), book_frame(), trades)
    files = LakeSource(folder, 1_000).files("trades", KEY)
    reader = TradeReader(files, KEY.day, FloatDecoder(FixedPoint(8, 8, 1, 1)), 3, 0)
    return reader, [table.column("trade_id").to_pylist() for table in reader.tables()]


def test_trades_in_order_are_streamed(tmp_path: Path) -> None:
    """A batch at a time: a day of any length takes the memory of one."""
    reader, found = read_trades(tmp_path, trade_frame(10))
    assert found == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert (reader.audit.rows, reader.audit.unsorted_rows) == (10, 0)


@pytest.mark.parametrize("at", [1, 3])
def test_trades_out_of_order_are_sorted(tmp_path: Path, at: int) -> None:
    """Within a batch or from one to the next; those of one time stay as they came."""
    frame = trade_frame(10)
    order = list(range(10))
    order[at - 1], order[at] = order[at], order[at - 1]
    reader, found = read_trades(tmp_path, frame[order])
    assert found == [list(range(10))]
    assert reader.audit.unsorted_rows == 1


def read_snapshots(
    folder: Path, frame: pl.DataFrame, batch_rows: int = 2, step: int = 50
) -> tuple[SnapshotReader, SnapshotBatch]:
    """A reader that is used up, and all its snapshots."""
    path = folder / "book" / KEY.path
    path.mkdir(parents=True)
    frame.write_parquet(path / "1.parquet")
    files = LakeSource(folder).files("book", KEY)
    reader = SnapshotReader(files, KEY.day, FloatDecoder(FixedPoint(2, 2)), batch_rows, step)
    return reader, SnapshotBatch.concat(list(reader.batches()))


def at(row: int, column: str, value: float | None) -> pl.Expr:
    """A change of one cell."""
    return pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_rows_out_of_order_are_sorted(tmp_path: Path, batch_rows: int) -> None:
    """By sequence number, with their levels."""
    reader, whole = read_snapshots(tmp_path, book_frame().reverse(), batch_rows)
    assert whole.sequence_number.tolist() == book_frame()["sequence_number"].to_list()
    assert (reader.audit.rows, reader.audit.unsorted_rows, reader.tick_pips) == (5, 4, 50)
    assert whole.encoded_price[:, 0, 0].tolist() == [9_950] * 5


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("bid_3_price", None),
        ("ask_0_size", None),
        ("bid_1_size", -1.0),
        ("ask_2_price", np.inf),
        ("ask_2_price", 0.001),
    ],
)
def test_an_unreadable_row_keeps_no_level(tmp_path: Path, column: str, value: float | None) -> None:
    """A hole, a level with half its numbers, a value that no level has: counted and named, the others untouched."""
    reader, whole = read_snapshots(tmp_path, book_frame().with_columns(at(3, column, value)))
    assert (whole.encoded_price[3] == MISSING_PIPS).all()
    assert (whole.encoded_size[3] == 0).all()
    assert (whole.encoded_price[[0, 1, 2, 4]] != MISSING_PIPS).all()
    assert (reader.audit.unreadable_rows, reader.audit.first_unreadable) == (1, "1.parquet: row 3")
    assert reader.readable_rows == 4


def test_levels_may_end_early(tmp_path: Path) -> None:
    """Missing price and size at the end of a side are a shallower book."""
    reader, whole = read_snapshots(
        tmp_path, book_frame().with_columns(at(0, "bid_19_price", None), at(0, "bid_19_size", None))
    )
    assert (whole.encoded_price[0] != MISSING_PIPS).sum(axis=1).tolist() == [19, 20]
    assert reader.audit.unreadable_rows == 0


def test_rows_off_the_step_of_the_deltas_are_counted(tmp_path: Path) -> None:
    """A row counts once, however many of its prices are off; the step of all prices becomes finer."""
    odd = book_frame().with_columns(at(1, "bid_0_price", 99.51), at(1, "bid_1_price", 99.01))
    reader, _ = read_snapshots(tmp_path, odd)
    assert (reader.audit.off_delta_tick_rows, reader.tick_pips) == (1, 1)


def read(
    folder: Path, frame: pl.DataFrame, batch_rows: int, accepted: int = 0
) -> tuple[DeltaReader, list[DeltaBatch]]:
    """A reader that is used up, and its batches."""
    files = files_of(folder, frame, rows=20)
    reader = DeltaReader(files, KEY.day, FloatDecoder(FixedPoint(2, 2)), batch_rows, accepted)
    return reader, list(reader.batches())


@pytest.mark.parametrize("batch_rows", [1, 4, 1_000])
def test_messages_are_whole_and_counted(tmp_path: Path, batch_rows: int) -> None:
    """No message in two batches; rows, messages, deletions, steps and extremes of the whole file."""
    frame = delta_frame(30)
    reader, batches = read(tmp_path, frame, batch_rows)
    numbers = [set(batch.sequence_number.tolist()) for batch in batches]
    assert sum(map(len, numbers)) == len(set.union(*numbers)) == reader.audit.messages == 30
    assert reader.audit.rows == sum(map(len, batches)) == len(frame)
    assert reader.audit.deletions == (frame["size"] == 0).sum()
    assert (reader.audit.longest_message, reader.audit.unsorted_rows) == (3, 0)
    prices = np.rint(frame["price"].to_numpy() * 100).astype(int)
    assert (reader.audit.smallest_price_pips, reader.largest_price) == (prices.min(), prices.max())
    assert (reader.tick_pips, reader.lot_pips) == (np.gcd.reduce(prices), 25)


@pytest.mark.parametrize("batch_rows", [2, 1_000])
def test_unsorted_rows_come_by_number_and_then_by_time(tmp_path: Path, batch_rows: int) -> None:
    """Reversed rows come out in the order of their messages; what they say is what the sorted file says."""
    frame = delta_frame(20)
    reader, batches = read(tmp_path, frame.reverse(), batch_rows)
    whole = DeltaBatch.concat(batches)
    assert whole.sequence_number.tolist() == frame["sequence_number"].to_list()
    assert whole.origin_time.tolist() == frame["timestamp"].to_list()
    assert reader.audit.unsorted_rows == 19


def test_off_grid_values_are_refused_at_the_end(tmp_path: Path) -> None:
    """Once all are counted; as many as accepted are let through."""
    odd = delta_frame(5).with_columns(pl.col("price") + 0.001)
    with pytest.raises(OffGridError, match="15 values off that grid"):
        read(tmp_path / "refused", odd, 4, accepted=14)
    assert read(tmp_path / "accepted", odd, 4, accepted=15)[0].audit.off_grid_prices == 15


def test_a_long_message_outgrows_the_hash_table(tmp_path: Path) -> None:
    """More levels than slots in one message: repetitions are found in it all the same."""
    one = delta_frame(1).head(1)
    levels = pl.concat([one.with_columns(price=pl.lit((10_000 + 7 * i % 5_000) / 100)) for i in range(5_000)])
    reader, _ = read(tmp_path, pl.concat([levels, levels.tail(1), levels.head(1)]), 10_000)
    assert (reader.audit.messages, reader.audit.longest_message) == (1, 5_002)
    assert reader.audit.duplicate_rows == 2


PIECES = 6


def batch_of(encoded_price: np.ndarray) -> DeltaBatch:
    """A row per message, one every ns."""
    n = np.arange(len(encoded_price))
    return DeltaBatch(n, n, n, np.ones(len(n), np.bool_), encoded_price, n)


def of_ticks(ticks: list[int]) -> np.ndarray:
    """One piece of prices for each tick."""
    rng = np.random.default_rng(1)
    return np.concatenate([rng.integers(90_000, 110_000, PIECE_ROWS) // tick * tick for tick in ticks])


def changes(encoded_price: np.ndarray, cuts: list[int] = []) -> list[tuple[int, int, int]]:  # noqa: B006 - not changed
    """Row, old and new step of each change."""
    detector = TickChangeDetector(FloatDecoder(FixedPoint()))
    whole = batch_of(encoded_price)
    bounds = [0, *sorted(cuts), len(whole)]
    for at in range(len(bounds) - 1):
        detector.feed(whole.slice(bounds[at], bounds[at + 1]))
    assert detector.tick_pips == np.gcd.reduce(encoded_price)
    return [(each.sequence_number, each.from_pips, each.to_pips) for each in detector.changes()]


@pytest.mark.parametrize(
    ("ticks", "wanted"),
    [
        ([10] * 6, []),
        ([10, 10, 10, 1, 1, 1], [(3, 10, 1)]),
        ([1, 1, 1, 10, 10, 10], [(3, 1, 10)]),
        ([10, 10, 1, 1, 10, 10], [(2, 10, 1), (4, 1, 10)]),
        ([10, 10, 1, 10, 10, 10], []),
        ([4, 4, 6, 6, 6, 6], [(2, 4, 2)]),
    ],
    ids=["none", "finer", "coarser", "finer for a while", "one odd piece", "another"],
)
def test_changes(ticks: list[int], wanted: list[tuple[int, int, int]]) -> None:
    """Each at the first row of the piece from which on it holds."""
    found = changes(of_ticks(ticks))
    assert [(row // PIECE_ROWS, old, new) for row, old, new in found] == wanted
    assert all(row % PIECE_ROWS == 0 for row, _, _ in found)


def test_one_stray_price_is_no_change() -> None:
    """The divisor of the day is finer for it; the tick did not change."""
    encoded_price = of_ticks([10] * PIECES)
    encoded_price[3 * PIECE_ROWS + 5] += 3
    assert changes(encoded_price) == []


@given(st.lists(st.integers(0, PIECES * PIECE_ROWS - 100), max_size=5))
@profile(max_examples=20)
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    """The same changes however the rows come, and rows that fill no piece are left out."""
    encoded_price = of_ticks([10, 10, 1, 1, 1, 1])[:-100]
    assert changes(encoded_price, cuts) == [(2 * PIECE_ROWS, 10, 1)]
