"""Intervals by two clocks against sums over lists."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.fidelity.metrics.message_intervals import (
    INTERVAL_BINS,
    PLACES_MS,
    interval_bins,
    interval_metrics,
)
from order_book_platform.storage import ParquetRows

MS = 1_000_000


def measured(folder: Path, origin: np.ndarray, received: np.ndarray) -> dict[str, float | None]:
    """The three distances of a file of several row groups."""
    pq.write_table(pa.table({"received_time": pa.array(received)}), folder / "b", row_group_size=40)
    metrics = list(interval_metrics(ParquetRows([folder / "b"]), origin))
    assert {metric.n for metric in metrics} == {max(len(origin) - 1, 0)}
    assert all(metric.gate is None and metric.placebos == () for metric in metrics)
    return {metric.name.split("_")[0]: metric.value for metric in metrics}


def test_a_constant_delay_is_no_difference(tmp_path: Path) -> None:
    """Whatever the latency, as long as it is one: the rhythm is the same."""
    origin = np.cumsum(np.random.default_rng(1).integers(0, 50, 100)) * MS
    assert measured(tmp_path, origin, origin - 1_270 * MS) == {"ks": 0.0, "tv": 0.0, "w1": 0.0}


def test_bursts_show_and_equal_sums_over_lists(tmp_path: Path) -> None:
    """Messages held back and delivered in pairs: half the intervals become 0, the others grow."""
    origin = np.arange(101) * 10 * MS
    received = np.repeat(np.arange(0, 102, 2), 2)[:101] * 10 * MS
    found = measured(tmp_path, origin, received)
    ours, theirs = (sorted(np.diff(times) // MS) for times in (received, origin))
    assert found["w1"] == pytest.approx(sum(abs(a - b) for a, b in zip(ours, theirs, strict=True)) / 100)
    assert (found["ks"], found["tv"]) == (0.5, 1.0)


def test_too_few_rows_have_no_interval(tmp_path: Path) -> None:
    """One row, or none."""
    for rows in (0, 1):
        times = np.arange(rows) * MS
        assert measured(tmp_path, times, times) == {"ks": None, "tv": None, "w1": None}


def test_bins_lie_at_whole_milliseconds() -> None:
    """As many places as bins, exact below 64 ms."""
    assert len(PLACES_MS) == INTERVAL_BINS
    assert PLACES_MS[:66].tolist() == [*range(65), 66]


EDGES_MS = [*range(64), *(m << d for d in range(1, 31) for m in range(32, 64))]


@given(st.lists(st.one_of(st.integers(-3, 80 * MS), st.integers(0, 1 << 57)), max_size=8))
def test_an_interval_falls_into_the_bin_of_its_whole_milliseconds(intervals: list[int]) -> None:
    """Nothing below 0, and nothing beyond the last bin."""
    wanted = [min(bisect_right(EDGES_MS, max(each, 0) // MS) - 1, INTERVAL_BINS - 1) for each in intervals]
    assert interval_bins(np.array(intervals, np.int64)).tolist() == wanted
