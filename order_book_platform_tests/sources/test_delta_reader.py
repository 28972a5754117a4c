"""Deltas of the lake: whole messages in replay order, audited the same in any batches, and changes of their tick."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.errors import OffGridError
from order_book_platform.model import FixedPoint
from order_book_platform.sources.delta_reader import PIECE_ROWS, DeltaReader, TickChangeDetector
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform_tests.lake import KEY, delta_frame, files_of


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
