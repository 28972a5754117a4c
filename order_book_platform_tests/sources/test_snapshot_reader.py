"""Snapshots of the lake: unreadable rows keep no level, and prices are held against the deltas' step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model import FixedPoint
from order_book_platform.model.levels import MISSING_PIPS
from order_book_platform.sources import LakeSource
from order_book_platform.sources.float_decoding import PipDecoder
from order_book_platform.sources.snapshot_reader import SnapshotReader
from order_book_platform_tests.lake import KEY, book_frame


def read(
    folder: Path, frame: pl.DataFrame, batch_rows: int = 2, step: int = 50
) -> tuple[SnapshotReader, SnapshotBatch]:
    """A reader that is used up, and all its snapshots."""
    path = folder / "book" / KEY.path
    path.mkdir(parents=True)
    frame.write_parquet(path / "1.parquet")
    files = LakeSource(folder).files("book", KEY)
    reader = SnapshotReader(files, KEY.day, PipDecoder(FixedPoint(2, 2)), batch_rows, step)
    return reader, SnapshotBatch.concat(list(reader.batches()))


def at(row: int, column: str, value: float | None) -> pl.Expr:
    """A change of one cell."""
    return pl.when(pl.int_range(pl.len()) == row).then(pl.lit(value)).otherwise(pl.col(column)).alias(column)


@pytest.mark.parametrize("batch_rows", [1, 2, 100])
def test_rows_out_of_order_are_sorted(tmp_path: Path, batch_rows: int) -> None:
    """By sequence number, with their levels."""
    reader, whole = read(tmp_path, book_frame().reverse(), batch_rows)
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
    reader, whole = read(tmp_path, book_frame().with_columns(at(3, column, value)))
    assert (whole.encoded_price[3] == MISSING_PIPS).all()
    assert (whole.encoded_size[3] == 0).all()
    assert (whole.encoded_price[[0, 1, 2, 4]] != MISSING_PIPS).all()
    assert (reader.audit.unreadable_rows, reader.audit.first_unreadable) == (1, "1.parquet: row 3")
    assert reader.readable_rows == 4


def test_levels_may_end_early(tmp_path: Path) -> None:
    """Missing price and size at the end of a side are a shallower book."""
    reader, whole = read(
        tmp_path, book_frame().with_columns(at(0, "bid_19_price", None), at(0, "bid_19_size", None))
    )
    assert (whole.encoded_price[0] != MISSING_PIPS).sum(axis=1).tolist() == [19, 20]
    assert reader.audit.unreadable_rows == 0


def test_rows_off_the_step_of_the_deltas_are_counted(tmp_path: Path) -> None:
    """A row counts once, however many of its prices are off; the step of all prices becomes finer."""
    odd = book_frame().with_columns(at(1, "bid_0_price", 99.51), at(1, "bid_1_price", 99.01))
    reader, _ = read(tmp_path, odd)
    assert (reader.audit.off_delta_tick_rows, reader.tick_pips) == (1, 1)
