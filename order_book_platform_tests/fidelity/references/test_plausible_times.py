"""Origin times that cannot be are those of the row before."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from order_book_platform.datasets.reconstructed_books.rows import BookHeads
from order_book_platform.fidelity.references.plausible_times import first_time, held_times, hold_times
from order_book_platform.storage import ParquetRows

PLAUSIBLE = (100, 200)


def test_a_time_that_cannot_be_is_that_of_the_row_before() -> None:
    """Whether it lies before or after what can be; the first rows have the time that is given."""
    times = np.array([0, 100, 99, 150, 201, 10**18, 120, -1])
    assert held_times(times, PLAUSIBLE, 7).tolist() == [7, 100, 100, 150, 150, 150, 120, 120]


def test_sound_times_are_not_touched() -> None:
    """Both ends belong to what can be, and nothing is copied."""
    times = np.array([100, 200, 150])
    assert held_times(times, PLAUSIBLE, 7) is times
    assert len(held_times(times[:0], PLAUSIBLE, 7)) == 0


@pytest.mark.parametrize(
    "times", [[0, 130, 0, 0, 500, 140, 0], [0, 1, 2, 120, 110, 0, 0], [0] * 7, [150] * 7]
)
def test_streams_are_held_across_their_parts(times: list[int]) -> None:
    """However a stream is cut, its times are those of the whole; the other columns stay."""
    rows = BookHeads(np.arange(7), np.array(times), np.zeros(7, np.uint8), np.zeros((7, 2), np.int64))
    wanted = held_times(rows.time_ns, PLAUSIBLE, 110)
    for first, second in itertools.combinations_with_replacement(range(8), 2):
        parts = (rows.take(slice(*cut)) for cut in ((0, first), (first, second), (second, 7)))
        found = BookHeads.concat(list(hold_times(parts, PLAUSIBLE, 110)))
        assert found.time_ns.tolist() == wanted.tolist()
        assert found.sequence_number.tolist() == list(range(7))


@pytest.mark.parametrize(("times", "first"), [([0, 99, 120, 110], 120), ([0, 201], 0), ([], 0), ([100], 100)])
def test_the_first_time_is_the_first_that_can_be(tmp_path: Path, times: list[int], first: int) -> None:
    """0 where none can be."""
    pq.write_table(
        pa.table({"origin_time": pa.array(times, pa.int64())}), tmp_path / "b.parquet", row_group_size=1
    )
    assert first_time(ParquetRows([tmp_path / "b.parquet"]), PLAUSIBLE) == first
