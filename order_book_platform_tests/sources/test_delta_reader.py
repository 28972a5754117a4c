"""Deltas of the lake: whole messages in replay order, audited the same in any batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.errors import OffGridError
from order_book_platform.model import FixedPoint
from order_book_platform.sources.delta_reader import DeltaReader
from order_book_platform.sources.float_decoding import PipDecoder
from order_book_platform_tests.lake import KEY, delta_frame, files_of


def read(
    folder: Path, frame: pl.DataFrame, batch_rows: int, accepted: int = 0
) -> tuple[DeltaReader, list[DeltaBatch]]:
    """A reader that is used up, and its batches."""
    files = files_of(folder, frame, rows=20)
    reader = DeltaReader(files, KEY.day, PipDecoder(FixedPoint(2, 2)), batch_rows, accepted)
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
