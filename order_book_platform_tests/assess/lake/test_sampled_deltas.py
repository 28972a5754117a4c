"""A sample of deltas: read as the day would be, without the messages that its ends cut."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from order_book_platform.assess.lake.sampled_deltas import SampledDeltas, sample_deltas
from order_book_platform.errors import FixedPointRangeError
from order_book_platform.settings import InstrumentSettings
from order_book_platform.sources.row_group_sample import sample_row_groups
from order_book_platform_tests.lake import KEY, delta_frame, files_of


def sample(folder: Path, frame: pl.DataFrame, count: int, **instrument: object) -> SampledDeltas:
    """A sample of so many row groups of 20 rows."""
    files = files_of(folder, frame, rows=20)
    return sample_deltas(
        sample_row_groups(files, count, 10**6),
        KEY.day,
        InstrumentSettings(symbol="TEST:A-B", **instrument),  # type: ignore[arg-type]
        deltas=files,
        trades=[],
        silence_ns=10**9,
        snapshot_sequence=np.zeros(0, np.int64),
        batch_rows=7,
        accepted=0,
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
    assert found.scan.messages < found.audit["messages"]


def test_everything_is_one_run(tmp_path: Path) -> None:
    """Adjacent row groups are read as one: every message is whole, and changes of the tick can be looked for."""
    found = sample(tmp_path, delta_frame(20), 100)
    assert (len(found.ticks), found.whole) == (1, True)
    assert found.scan.messages == found.audit["messages"] == 20
