"""Pieces of a day: spread over it, the same rows as in the file, and errors that name the file's rows."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from order_book_platform.errors import SourceCorruptError
from order_book_platform.sources import LakeSource
from order_book_platform.sources.lake_source import DELTA_COLUMNS
from order_book_platform.sources.row_group_sample import sample_row_groups
from order_book_platform_tests.lake import KEY, delta_frame, files_of

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
