"""Finding messages and rows in files: by position, over row groups and several files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.simulate import MarketSimulator
from order_book_platform.simulate.lake_index import LakeIndex, read_index
from order_book_platform.sources import LakeSource
from order_book_platform_tests.simulate.small import KEY, read, small_profile


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A day whose deltas are spread over two files with small row groups, cut within a message."""
    MarketSimulator(small_profile(), 1).write(tmp_path, KEY, 120)
    rows = read(tmp_path, "book_delta_v2")
    for path in (tmp_path / "book_delta_v2" / KEY.path).iterdir():
        path.unlink()
    folder = tmp_path / "book_delta_v2" / KEY.path
    rows.head(501).write_parquet(folder / "z.parquet", row_group_size=100)
    rows.slice(501).write_parquet(folder / "a.parquet", row_group_size=77)
    return tmp_path


@pytest.mark.parametrize("batch_rows", [1, 13, 10_000])
def test_messages_are_found(root: Path, batch_rows: int) -> None:
    """Sequence numbers, times and first rows of messages are those of the whole table, whatever the batches."""
    index = read_index(LakeSource(root, batch_rows), KEY)
    chain, rows = read(root, "truth/update_chain"), whole(root)
    assert index.messages == 120
    assert index.sequence.tolist() == chain["final_update_id"].to_list()
    assert index.timestamp.tolist() == chain["timestamp"].to_list()
    starts = np.flatnonzero(np.diff(rows["sequence_number"].to_numpy(), prepend=-1))
    assert index.first_row.tolist() == [*starts.tolist(), rows.height]


def whole(root: Path) -> pl.DataFrame:
    """Every delta row."""
    folder = root / "book_delta_v2" / KEY.path
    return pl.concat(
        [pl.read_parquet(folder / name, hive_partitioning=False) for name in ("z.parquet", "a.parquet")]
    )


def test_any_rows_can_be_read(root: Path) -> None:
    """A range of rows is read over row groups and files as from one table."""
    index, rows = read_index(LakeSource(root), KEY), whole(root)
    for start, stop in ((0, 1), (99, 101), (450, 640), (rows.height - 1, rows.height)):
        found = pl.DataFrame(index.deltas.read(start, stop))
        assert found.equals(rows.slice(start, stop - start))
    message = pl.DataFrame(index.message_rows(7, 9))
    assert message["sequence_number"].unique(maintain_order=True).to_list() == index.sequence[7:9].tolist()


def test_books_between_messages(root: Path) -> None:
    """The range starts with the last row before the first message; without one it is empty."""
    index: LakeIndex = read_index(LakeSource(root), KEY)
    assert index.books_between(0, 5) == (0, 0)
    low, high = index.books_between(40, 60)
    assert index.book_sequence[low] < index.sequence[40] <= index.book_sequence[low + 1]
    assert index.book_sequence[high - 1] <= index.sequence[59] < index.book_sequence[high]
