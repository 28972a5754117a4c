"""Silences from the times alone: exact wherever they are, in whatever order rows lie, against a plain count."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.errors import SourceCorruptError
from order_book_platform.sources import LakeSource
from order_book_platform.sources.pause_scan import Silences, find_silences
from order_book_platform_tests.lake import KEY, START_NS, delta_frame, files_of

SECOND = 10**9


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


def test_damage_is_named(tmp_path: Path) -> None:
    """A page of times that cannot be decoded is an error with the file's path."""
    files_of(tmp_path, delta_frame(), rows=40)
    path = tmp_path / "book_delta_v2" / KEY.path / "0.parquet"
    content = bytearray(path.read_bytes())
    content[4:200] = bytes(196)
    path.write_bytes(content)
    with pytest.raises(SourceCorruptError, match=r"0\.parquet"):
        find_silences(LakeSource(tmp_path).files("book_delta_v2", KEY), SECOND, 100)
