"""A cheap look at a day: what it reads, and when neighbours in the sample are neighbours in the day."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.assess.lake import lake_day
from order_book_platform.assess.lake.lake_day import LakeDay, read_day
from order_book_platform.settings import load_settings
from order_book_platform.sources import LakeSource
from order_book_platform_tests.lake import (
    KEY,
    book_frame,
    delta_frame,
    trade_frame,
    write_lake,
    write_settings,
)


def look(folder: Path, deltas: pl.DataFrame, rows: int, **settings: object) -> LakeDay:
    """A day whose deltas lie in row groups of so many rows."""
    write_lake(folder / "lake", KEY, deltas, book_frame(), trade_frame())
    path = folder / "lake/book_delta_v2" / KEY.path / "1.parquet"
    pq.write_table(deltas.to_arrow(), path, row_group_size=rows)
    found = load_settings(write_settings(folder, **settings))  # type: ignore[arg-type]
    return read_day(LakeSource(found.lake_root), found, KEY)


def test_tick_and_lot_are_those_of_deltas_unless_configured(tmp_path: Path) -> None:
    """What the sample shows; a configured tick that it does not fit is contradicted and not used."""
    day = look(tmp_path / "a", delta_frame(), 50)
    assert (f"{day.point.tick:f}", f"{day.point.lot:f}", day.contradicted) == ("0.5", "0.25", [])
    day = look(tmp_path / "b", delta_frame(), 50, instrument={"tick": "1", "lot": "0.05"})
    assert (f"{day.point.tick:f}", f"{day.point.lot:f}", day.contradicted) == ("0.5", "0.05", ["tick"])


def test_every_row_of_book_and_all_times_are_looked_at(tmp_path: Path) -> None:
    """However small the sample is."""
    day, times = look(tmp_path, delta_frame(200), 20), delta_frame(200)["timestamp"]
    assert len(day.best.bid) == len(book_frame())
    assert day.silences.span == (times.min(), times.max())
    assert (day.trades["available"], day.trades["rows"]) == (True, len(trade_frame()))


@pytest.mark.parametrize(
    ("back", "sample_rows", "in_order"), [(False, 100, True), (True, 100, False), (True, 10**6, True)]
)
def test_order_matters_only_for_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back: bool, sample_rows: int, in_order: bool
) -> None:
    """Row groups that go back hide neighbours, unless all rows are looked at."""
    monkeypatch.setattr(lake_day, "DELTA_SAMPLE_ROWS", sample_rows)
    frame, rows = delta_frame(200), 80
    if back:
        frame = pl.concat([frame[4 * rows :], frame[: 4 * rows]])
    assert look(tmp_path, frame, rows).in_order is in_order
