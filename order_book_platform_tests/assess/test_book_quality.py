"""How good `book` is: shares of rows and time, spells, empty sides, and what cannot be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess.book_quality import BestPrices, best_prices
from order_book_platform.errors import SourceValueError
from order_book_platform.sources import LakeSource
from order_book_platform_tests.lake import KEY, book_frame

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


def files_of(folder: Path, frame: pl.DataFrame) -> list[object]:
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
    found = best_prices(files_of(tmp_path, frame), 2).to_dict()
    assert (found["unsorted_rows"], found["one_sided_rows"], found["rows"]) == (4, 1, 5)


def test_a_missing_number_is_named(tmp_path: Path) -> None:
    """With file, column and row."""
    column = pl.when(pl.int_range(pl.len()) != 3).then(pl.col("sequence_number")).alias("sequence_number")
    with pytest.raises(SourceValueError, match=r"1\.parquet: column sequence_number, row 3"):
        best_prices(files_of(tmp_path, book_frame().with_columns(column)), 2)


def test_no_book() -> None:
    """No rows, no shares."""
    found = best_prices([], 2).to_dict()
    assert (found["rows"], found["crossed_share"]) == (0, None)
