"""What footers say of a day: rows, spans, holes, thin row groups, order, nulls; and when they say nothing."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.errors import SourceCorruptError
from order_book_platform.sources import LakeSource
from order_book_platform.sources.day_survey import (
    ParquetStatistics,
    Silences,
    find_silences,
    read_statistics,
    sample_row_groups,
)
from order_book_platform.sources.lake_source import DELTA_COLUMNS
from order_book_platform_tests.lake import KEY, START_NS, book_frame, delta_frame, files_of, trade_frame

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


FRAME = delta_frame(100)
COLUMNS = list(DELTA_COLUMNS)


def test_first_and_last_group_are_among_them(tmp_path: Path) -> None:
    """So many pieces, evenly spread; only the first begins the day, and the last ends it if it is whole."""
    files = files_of(tmp_path, FRAME[:150], FRAME[150:], rows=10)
    found = sample_row_groups(files, 5, 10_000)
    places = [(piece.path.name, piece.first_row) for run in found for piece in run.pieces]
    assert (places[0], places[-1]) == (("0.parquet", 0), ("1.parquet", (len(FRAME) - 151) // 10 * 10))
    assert len(places) == len(found) == 5
    assert [run.begins_day for run in found] == [True] + 4 * [False]
    assert [run.ends_day for run in found] == 4 * [False] + [True]


@pytest.mark.parametrize("batch_rows", [3, 1_000])
def test_rows_are_those_of_the_file(tmp_path: Path, batch_rows: int) -> None:
    """Each piece has the rows at its place, as many as there may be, however they are decoded."""
    files = files_of(tmp_path, FRAME, rows=40)
    for number, run in enumerate(sample_row_groups(files, 4, 28)):
        (piece,) = run.pieces
        batches = list(piece.batches(COLUMNS, batch_rows))
        rows = pa.Table.from_batches([batch for _, batch in batches])
        assert piece.rows == len(rows) == 7
        assert batches[0][0] == piece.first_row == 40 * round(number * (len(FRAME) // 40) / 3)
        assert pl.from_arrow(rows).equals(FRAME.select(COLUMNS)[piece.first_row : piece.first_row + 7])
        assert not run.ends_day


def test_one_group_is_one_piece(tmp_path: Path) -> None:
    """A file of one row group is read from its begin as far as rows allow."""
    (run,) = sample_row_groups(files_of(tmp_path, FRAME, rows=10**6), 12, 50)
    assert ([piece.rows for piece in run.pieces], run.begins_day, run.ends_day) == ([50], True, False)
    (run,) = sample_row_groups(LakeSource(tmp_path).files("book_delta_v2", KEY), 12, 10**6)
    assert ([piece.rows for piece in run.pieces], run.ends_day) == ([len(FRAME)], True)


def test_pieces_one_behind_another_are_a_run(tmp_path: Path) -> None:
    """Over the end of a file, too; a piece that is not read to its end is followed by none."""
    files = files_of(tmp_path, FRAME[:150], FRAME[150:], rows=100)
    (run,) = sample_row_groups(files, 12, len(FRAME))
    assert len(run.pieces) == -(-150 // 100) + -(-(len(FRAME) - 150) // 100)
    assert [piece.rows for piece in run.pieces][:2] == [100, 50]
    partial = sample_row_groups(files, 12, 4 * 60)
    assert [[piece.rows for piece in run.pieces] for run in partial][:2] == [[60], [50, 60]]


def test_nothing_has_no_pieces() -> None:
    """No files, no sample."""
    assert sample_row_groups([], 5, 100) == []


def test_damage_is_named(tmp_path: Path) -> None:
    """A page that cannot be decoded is an error with the file's path, never an empty sample."""
    files_of(tmp_path, FRAME, rows=40)
    path = tmp_path / "book_delta_v2" / KEY.path / "0.parquet"
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    piece = sample_row_groups(LakeSource(tmp_path).files("book_delta_v2", KEY), 3, 10**6)[0].pieces[0]
    with pytest.raises(SourceCorruptError, match=r"0\.parquet"):
        list(piece.batches(COLUMNS, 100))


def with_holes(*after_rows: int) -> pl.DataFrame:
    """Messages with a pause of a minute before each of these rows."""
    moved = sum(((pl.int_range(pl.len()) >= row) * (60 * SECOND) for row in after_rows), pl.lit(0))
    return delta_frame(100).with_columns(pl.col("timestamp") + moved, pl.col("receipt_timestamp") + moved)


def plain(frame: pl.DataFrame) -> list[tuple[int, int, int, int]]:
    """Silences of a sorted frame: times and numbers around each."""
    rows = frame.sort("timestamp").select("timestamp", "sequence_number").rows()
    return [(a[0], b[0], a[1], b[1]) for a, b in itertools.pairwise(rows) if b[0] - a[0] > SECOND]


def said(found: Silences) -> list[tuple[int, int, int, int]]:
    """The same of what was found."""
    return [(each.before_ns, each.after_ns, each.before, each.after) for each in found.candidates]


@pytest.mark.parametrize("rows", [7, 40, 10**6])
@pytest.mark.parametrize("batch_rows", [3, 10**6])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_silence_is_found(tmp_path: Path, rows: int, batch_rows: int, threads: int) -> None:
    """Inside row groups and batches and between them, with the messages around it."""
    frame = with_holes(10, 40, 150)
    found = find_silences(files_of(tmp_path, frame, rows=rows), SECOND, batch_rows, threads)
    assert said(found) == plain(frame)
    assert len(found.candidates) == 3
    assert found.span == (frame["timestamp"].min(), frame["timestamp"].max())
    silent = sum(each[1] - each[0] - SECOND for each in plain(frame))
    assert found.coverage == 1 - silent / (found.span[1] - found.span[0])


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    """Shuffled rows have the silences of sorted ones."""
    frame = with_holes(40)
    mixed = frame[np.random.default_rng(2).permutation(len(frame)).tolist()]
    found = find_silences(files_of(tmp_path, mixed, rows=20), SECOND, 7)
    assert [each[:2] for each in said(found)] == [each[:2] for each in plain(frame)]


def test_one_group_fills_the_hole_of_another(tmp_path: Path) -> None:
    """Files may overlap: only where no row of any lies is silence."""
    frame = with_holes(40)
    before, after = frame[:40], frame[40:]
    between = frame[39:40].with_columns(pl.col("timestamp") + 30 * SECOND)
    found = find_silences(files_of(tmp_path, before, after, between, rows=20), 31 * SECOND, 100)
    assert found.candidates == []
    assert found.coverage == 1


def test_unknown_times_are_left_out(tmp_path: Path) -> None:
    """Times of 0 neither stretch the span to 1970 nor break a stretch; with no known time there is no span."""
    frame = delta_frame().with_columns(
        pl.when(pl.int_range(pl.len()).is_in([0, 5]))
        .then(0)
        .otherwise(pl.col("timestamp"))
        .alias("timestamp")
    )
    found = find_silences(files_of(tmp_path / "a", frame, rows=20), SECOND, 100)
    assert (found.span, found.candidates) == ((START_NS, frame["timestamp"].max()), [])
    none = delta_frame().with_columns(pl.col("timestamp") * 0)
    found = find_silences(files_of(tmp_path / "b", none, rows=20), SECOND, 100)
    assert (found.span, found.coverage) == (None, None)


def test_damage_of_the_times_is_named(tmp_path: Path) -> None:
    """A page of times that cannot be decoded is an error with the file's path."""
    files_of(tmp_path, delta_frame(), rows=40)
    path = tmp_path / "book_delta_v2" / KEY.path / "0.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(SourceCorruptError, match=r"0\.parquet"):
        find_silences(LakeSource(tmp_path).files("book_delta_v2", KEY), SECOND, 100)
