"""Trades are streamed; only files that are not in order are held as a whole."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from order_book_platform.model import FixedPoint
from order_book_platform.sources import LakeSource
from order_book_platform.sources.float_decoding import PipDecoder
from order_book_platform.sources.trade_reader import TradeReader
from order_book_platform_tests.lake import KEY, book_frame, delta_frame, trade_frame, write_lake


def read(folder: Path, trades: pl.DataFrame) -> tuple[TradeReader, list[list[int]]]:
    """A reader that has read them three at a time, and the ids in each of its tables."""
    write_lake(folder, KEY, delta_frame(), book_frame(), trades)
    files = LakeSource(folder, 1_000).files("trades", KEY)
    reader = TradeReader(files, KEY.day, PipDecoder(FixedPoint(8, 8, 1, 1)), 3, 0)
    return reader, [table.column("trade_id").to_pylist() for table in reader.tables()]


def test_trades_in_order_are_streamed(tmp_path: Path) -> None:
    """A batch at a time: a day of any length takes the memory of one."""
    reader, found = read(tmp_path, trade_frame(10))
    assert found == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
    assert (reader.audit.rows, reader.audit.unsorted_rows) == (10, 0)


@pytest.mark.parametrize("at", [1, 3])
def test_trades_out_of_order_are_sorted(tmp_path: Path, at: int) -> None:
    """Within a batch or from one to the next; those of one time stay as they came."""
    frame = trade_frame(10)
    order = list(range(10))
    order[at - 1], order[at] = order[at], order[at - 1]
    reader, found = read(tmp_path, frame[order])
    assert found == [list(range(10))]
    assert reader.audit.unsorted_rows == 1
