"""Rows of growing arrays: each written once, and read back as they were at any checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from order_book_platform.storage.checkpoint_rows import CheckpointRows, RowExtent, read_rows

Arrays = dict[str, NDArray[np.int64]]


def arrays(rows: int) -> Arrays:
    """Two arrays of different width, whose first rows are the same at any length."""
    numbers = np.arange(rows, dtype=np.int64)
    return {"one": numbers.reshape(-1, 1), "two": np.stack([numbers, -numbers], 1)}


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_every_extent_gives_the_arrays_of_its_time(
    tmp_path_factory: pytest.TempPathFactory, more: list[int]
) -> None:
    """Arrays are read back as they were, also after more rows have been appended, and where none were."""
    folder = tmp_path_factory.mktemp("rows")
    rows, total, saved = CheckpointRows(folder / "a.rows"), 0, []
    for count in more:
        total += count
        saved.append((total, rows.append_new(arrays(total))))
    for length, extent in saved:
        found = read_rows(folder, RowExtent(**json.loads(json.dumps(asdict(extent)))))
        for name, wanted in arrays(length).items():
            np.testing.assert_array_equal(found[name], wanted)


def test_rows_are_written_once(tmp_path: Path) -> None:
    """The file grows by a header and the new rows, not by what it has already."""
    rows = CheckpointRows(tmp_path / "a.rows")
    first = rows.append_new({"one": np.zeros((1_000, 1), np.int64)})
    second = rows.append_new({"one": np.zeros((1_001, 1), np.int64)})
    assert second.bytes - first.bytes == 24 + 8
    assert rows.append_new({"one": np.zeros((1_001, 1), np.int64)}) == second
    assert (tmp_path / "a.rows").stat().st_size == second.bytes


def test_a_file_has_one_writer(tmp_path: Path) -> None:
    """Another one cannot begin a file of the same name."""
    CheckpointRows(tmp_path / "a.rows")
    with pytest.raises(FileExistsError):
        CheckpointRows(tmp_path / "a.rows")


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_damage_is_refused(tmp_path: Path, damage: str) -> None:
    """A file that is too short, or has another byte, is never half read; a missing one is an error of the system."""
    extent = CheckpointRows(tmp_path / "a.rows").append_new(arrays(3))
    content = bytearray((tmp_path / "a.rows").read_bytes())
    content = content[:-1] if damage == "cut" else content[:-1] + bytes([content[-1] ^ 1])
    (tmp_path / "a.rows").write_bytes(content)
    with pytest.raises(ValueError, match=r"the checksum of its rows in a\.rows differs"):
        read_rows(tmp_path, extent)
    (tmp_path / "a.rows").unlink()
    with pytest.raises(FileNotFoundError):
        read_rows(tmp_path, extent)
