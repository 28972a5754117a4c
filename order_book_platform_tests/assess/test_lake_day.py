"""A cheap look at a day: what it reads, and a sample that is read as the day would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess import lake_day
from order_book_platform.assess.lake_day import (
    BestPrices,
    LakeDay,
    SampledDeltas,
    best_prices,
    read_day,
    sample_deltas,
)
from order_book_platform.errors import FixedPointRangeError, SourceValueError
from order_book_platform.settings import load_settings
from order_book_platform.sources import LakeSource
from order_book_platform.sources.day_survey import sample_row_groups
from order_book_platform_tests.lake import (
    KEY,
    book_frame,
    delta_frame,
    files_of,
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


def sample(folder: Path, frame: pl.DataFrame, count: int, **instrument: object) -> SampledDeltas:
    """A sample of so many row groups of 20 rows."""
    files = files_of(folder, frame, rows=20)
    return sample_deltas(
        sample_row_groups(files, count, 10**6),
        KEY,
        load_settings(write_settings(folder, instrument=instrument, sources={"batch_rows": 7})),
        {"book_delta_v2": files, "book": [], "trades": []},
        np.zeros(0, np.int64),
    )


def one_size(value: float) -> pl.DataFrame:
    """Deltas with one other size."""
    at = pl.int_range(pl.len()) == 5
    return delta_frame().with_columns(pl.when(at).then(value).otherwise(pl.col("size")).alias("size"))


@pytest.mark.parametrize(
    ("size", "settings", "precision", "decimals"),
    [
        (1.0, {}, "int64", 8),
        (1e12, {}, "int64", 3),
        (1e-9, {}, "int64", 15),
        (1 / 3, {}, "decimal128", 18),
        (1.0, {"precision": "decimal128"}, "decimal128", 18),
        (1 / 3, {"precision": "int64"}, "int64", 15),
    ],
)
def test_the_precision_is_that_of_the_whole_day(
    tmp_path: Path, size: float, settings: dict[str, object], precision: str, decimals: int
) -> None:
    """Pips of 8 decimals, of fewer or more, or decimals; what is set to pips stays so, with its off-grid values."""
    found = sample(tmp_path, one_size(size), 100, **settings)
    assert (found.decoder.precision, found.decoder.scale.size_decimals) == (precision, decimals)
    assert found.audit["off_grid_sizes"] == (settings == {"precision": "int64"})


def test_configured_decimals_that_do_not_hold_are_refused(tmp_path: Path) -> None:
    """As the ingest would."""
    with pytest.raises(FixedPointRangeError, match="size_decimals"):
        sample(tmp_path, one_size(1e12), 100, size_decimals=8)


def test_audits_of_several_runs_are_one(tmp_path: Path) -> None:
    """Counts add up, extremes are those of all, and only whole messages are scanned."""
    frame = delta_frame(100)
    found = sample(tmp_path, frame, 4)
    assert (len(found.ticks), found.whole, found.audit["files"]) == (4, False, 1)
    assert found.audit["rows"] == sum(run.rows for run in found.ticks)
    assert found.audit["first_origin_time"] == found.ticks[0].first_ns == frame["timestamp"].min()
    assert found.audit["last_origin_time"] == found.ticks[-1].last_ns == frame["timestamp"].max()
    assert found.scan.detector.messages < found.audit["messages"]


def test_everything_is_one_run(tmp_path: Path) -> None:
    """Adjacent row groups are read as one: every message is whole, and changes of the tick can be looked for."""
    found = sample(tmp_path, delta_frame(20), 100)
    assert (len(found.ticks), found.whole) == (1, True)
    assert found.scan.detector.messages == found.audit["messages"] == 20


SECOND = 10**9


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["sound", "locked", "crossed", "empty"])), min_size=1
    )
)
def test_shares_and_spells(rows: list[tuple[int, str]]) -> None:
    """As counted row by row: a row holds until the next one; locked counts as crossed, an empty side as neither."""
    times = np.cumsum([step for step, _ in rows]) * SECOND
    ask = {"sound": 101.0, "locked": 100.0, "crossed": 99.0, "empty": np.nan}
    book = BestPrices(
        times, np.arange(len(rows)), np.full(len(rows), 100.0), np.array([ask[kind] for _, kind in rows])
    )
    found = book.to_dict()
    crossed = [kind in ("locked", "crossed") for _, kind in rows]
    held = [*np.diff(times).tolist(), 0]
    longest = spell = 0
    for is_crossed, lasted in zip(crossed, held, strict=True):
        spell = spell + lasted if is_crossed else 0
        longest = max(longest, spell)
    assert found["crossed_rows"] == sum(crossed)
    assert found["crossed_share"] == pytest.approx(sum(crossed) / len(rows))
    assert found["longest_crossed_s"] == longest / SECOND
    assert found["one_sided_rows"] == [kind for _, kind in rows].count("empty")
    if sum(held):
        whole = sum(lasted for is_crossed, lasted in zip(crossed, held, strict=True) if is_crossed)
        assert found["crossed_time_share"] == pytest.approx(whole / sum(held))
    else:
        assert found["crossed_time_share"] is None


def book_files(folder: Path, frame: pl.DataFrame) -> list[object]:
    """The opened file of a `book` with these rows."""
    path = folder / "book" / KEY.path
    path.mkdir(parents=True)
    frame.write_parquet(path / "1.parquet")
    return LakeSource(folder).files("book", KEY)


def test_rows_out_of_order_and_empty_sides(tmp_path: Path) -> None:
    """A null price is an empty side."""
    frame = book_frame().reverse()
    frame = frame.with_columns(
        pl.when(pl.int_range(pl.len()) > 0).then(pl.col("bid_0_price")).alias("bid_0_price")
    )
    found = best_prices(book_files(tmp_path, frame), 2).to_dict()
    assert (found["unsorted_rows"], found["one_sided_rows"], found["rows"]) == (4, 1, 5)


def test_a_missing_number_is_named(tmp_path: Path) -> None:
    """With file, column and row."""
    column = pl.when(pl.int_range(pl.len()) != 3).then(pl.col("sequence_number")).alias("sequence_number")
    with pytest.raises(SourceValueError, match=r"1\.parquet: column sequence_number, row 3"):
        best_prices(book_files(tmp_path, book_frame().with_columns(column)), 2)


def test_no_book() -> None:
    """No rows, no shares."""
    found = best_prices([], 2).to_dict()
    assert (found["rows"], found["crossed_share"]) == (0, None)


@pytest.mark.parametrize("factor", [1, 40])
def test_snapshots_are_judged_alike_as_pips_and_as_decimals(tmp_path: Path, factor: int) -> None:
    """Sound ones and each defect are counted as of pips, also with a tick of 20, which has 65 bits as a decimal."""
    frame, row = book_frame(10), pl.int_range(pl.len())
    for at, column, value in (
        (1, "ask_0_price", None),
        (2, "bid_3_price", 99.0),
        (3, "bid_0_price", 100.5),
        (4, "ask_19_price", 110.25),
    ):
        frame = frame.with_columns(pl.when(row == at).then(value).otherwise(pl.col(column)).alias(column))
    frame, deltas = (each.with_columns(pl.col("^.*price$") * factor) for each in (frame, delta_frame()))
    found = []
    for precision in ("int64", "decimal128"):
        write_lake(tmp_path / precision / "lake", KEY, deltas, frame, trade_frame())
        settings = load_settings(write_settings(tmp_path / precision, instrument={"precision": precision}))
        found.append(read_day(LakeSource(settings.lake_root), settings, KEY).book)
    assert found[0].defects == found[1].defects
    assert (found[0].sound, found[1].sound) == (6, 6)
    assert set(found[0].defects) == {"empty_side", "unsorted", "crossed", "off_tick"}
