"""What footers say of a day: rows, spans, holes, thin row groups, order, nulls; and when they say nothing."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from order_book_platform.sources import LakeSource
from order_book_platform.sources.parquet_statistics import ParquetStatistics, read_statistics
from order_book_platform_tests.lake import KEY, START_NS, book_frame, delta_frame, trade_frame

SECOND = 10**9
TABLE = "book_delta_v2"


def footers_of(
    folder: Path, *frames: pl.DataFrame, rows: int = 9, table: str = TABLE, **options: object
) -> ParquetStatistics:
    """Of a table whose files hold these frames, in row groups of so many rows."""
    path = folder / table / KEY.path
    path.mkdir(parents=True)
    for number, frame in enumerate(frames):
        pq.write_table(frame.to_arrow(), path / f"{number}.parquet", row_group_size=rows, **options)
    return read_statistics(table, LakeSource(folder).files(table, KEY))


def later(frame: pl.DataFrame, after_row: int, ns: int) -> pl.DataFrame:
    """All rows from the n-th on come so much later."""
    shift = pl.when(pl.int_range(pl.len()) >= after_row).then(ns).otherwise(0)
    return frame.with_columns(pl.col("timestamp") + shift, pl.col("receipt_timestamp") + shift)


@pytest.mark.parametrize(
    ("table", "frame"), [(TABLE, delta_frame()), ("book", book_frame()), ("trades", trade_frame())]
)
def test_rows_and_span(tmp_path: Path, table: str, frame: pl.DataFrame) -> None:
    """As decoded, for each table."""
    found = footers_of(tmp_path, frame, rows=4, table=table)
    assert (found.files, found.rows, len(found.group_rows)) == (1, len(frame), -(-len(frame) // 4))
    assert found.span == (frame["timestamp"].min(), frame["timestamp"].max())
    assert found.clock == "timestamp"
    assert sum(found.nulls.values()) == 0
    assert found.holes(SECOND) == []
    for name in found.limits:
        assert found.extremes(name) == (frame[name].min(), frame[name].max())


def test_a_hole_between_groups_is_exact(tmp_path: Path) -> None:
    """From the last time before it to the first one after; a shorter pause is none."""
    frame = later(delta_frame(), 27, 10 * SECOND)
    times = frame["timestamp"].to_list()
    found = footers_of(tmp_path, frame)
    assert found.holes(SECOND) == [(times[26], times[27])]
    assert found.holes(11 * SECOND) == []


def test_a_hole_between_files(tmp_path: Path) -> None:
    """Files count as one day, whatever their names."""
    frame = later(delta_frame(), 45, 10 * SECOND)
    found = footers_of(tmp_path, frame[45:], frame[:45])
    assert len(found.holes(SECOND)) == 1
    assert found.groups_back("sequence_number") == 0


def test_a_hole_inside_a_group_makes_it_thin(tmp_path: Path) -> None:
    """It cannot be seen, but the group has far fewer rows a second than the others."""
    found = footers_of(tmp_path, later(delta_frame(), 40, 60 * SECOND))
    assert found.holes(SECOND) == []
    ((begin, end, over),) = found.thin_groups(0.2)
    assert end - begin >= 60 * SECOND
    assert over == pytest.approx(60 * SECOND, rel=0.05)


def test_a_group_of_one_time_hides_no_thin_one(tmp_path: Path) -> None:
    """It has no span and says nothing; the others are compared as without it."""
    frame = later(delta_frame(), 40, 60 * SECOND)
    last = len(frame) // 9 * 9 + 1
    found = footers_of(tmp_path, frame[:last] if last <= len(frame) else frame)
    assert (found.times[:, 0] == found.times[:, 1]).sum() == 1
    assert len(found.thin_groups(0.2)) == 1


def test_groups_that_go_back_are_counted(tmp_path: Path) -> None:
    """Rows in the wrong order show, as far as groups go; the span is the same."""
    found = footers_of(tmp_path, pl.concat([delta_frame()[-45:], delta_frame()[:-45]]))
    assert found.groups_back("sequence_number") == 1
    assert found.span == (START_NS, delta_frame()["timestamp"].max())


def test_unknown_origin_times_leave_arrivals(tmp_path: Path) -> None:
    """An origin time of 0 stands for unknown and would stretch the span to 1970."""
    frame = delta_frame().with_columns(
        pl.when(pl.int_range(pl.len()) == 3).then(0).otherwise(pl.col("timestamp")).alias("timestamp")
    )
    found = footers_of(tmp_path, frame)
    assert found.clock == "receipt_timestamp"
    assert found.span is not None
    assert found.span[0] == frame["receipt_timestamp"].min()


def test_nulls_are_counted(tmp_path: Path) -> None:
    """By column."""
    frame = delta_frame().with_columns(
        pl.when(pl.int_range(pl.len()) < 4).then(None).otherwise(pl.col("price")).alias("price")
    )
    assert footers_of(tmp_path, frame).nulls["price"] == 4


def test_files_without_statistics_say_so(tmp_path: Path) -> None:
    """Rows are known all the same; spans and holes are not."""
    found = footers_of(tmp_path, delta_frame(), write_statistics=False)
    assert found.rows == len(delta_frame())
    assert (found.span, found.clock, found.holes(1), found.thin_groups(0.5)) == (None, None, [], [])
    assert (found.extremes("price"), found.groups_back("sequence_number")) == (None, None)


def test_a_struct_in_front_shifts_nothing(tmp_path: Path) -> None:
    """Statistics go by leaves: a column of several leaves before the others must not move them."""
    extra = pl.struct(pl.lit(-7).alias("x"), pl.lit(None, pl.Int64).alias("y")).alias("extra")
    frame = delta_frame().select(extra, pl.all())
    found = footers_of(tmp_path, frame[45:], frame[:45])
    assert found.span == (START_NS, frame["timestamp"].max())
    for name in found.limits:
        assert found.extremes(name) == (frame[name].min(), frame[name].max())
    assert sum(found.nulls.values()) == 0
    assert found.groups_back("sequence_number") == 0


def test_no_files() -> None:
    """A table that is not there has no rows."""
    found = read_statistics("book", [])
    assert (found.files, found.rows, found.span, found.nulls) == (0, 0, None, {})


@pytest.mark.parametrize("statistics", [True, False])
def test_extremes_of_a_file_with_a_struct_in_front(tmp_path: Path, statistics: bool) -> None:
    """They are of the column that was asked for, by statistics as by decoding."""
    extra = pl.struct(pl.lit(-7).alias("x"), pl.lit(8).alias("y")).alias("extra")
    footers_of(tmp_path, delta_frame().select(extra, pl.all()), write_statistics=statistics)
    (file,) = LakeSource(tmp_path).files(TABLE, KEY)
    for name in ("sequence_number", "price", "size"):
        assert file.extreme(name, 10) == (delta_frame()[name].min(), delta_frame()[name].max())
