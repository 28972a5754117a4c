"""The narrow columns of the book: flags, times that are not plausible, and the rows to be drawn."""

from __future__ import annotations

import polars as pl
import pytest

from order_book_platform.model import BookFlag
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.damage import (
    damage,
    failed,
    some,
    value,
)
from order_book_platform_tests.fidelity.partitions import (
    DAY_NS,
    measure,
)
from order_book_platform_tests.oracle import OracleReplay


def test_flagged_rows_are_reported(store: DataStore, replayed: OracleReplay) -> None:
    """GAP and HINDSIGHT rows count, other flags do not, and no gate hangs on it."""
    bits = pl.when(some(4)).then(int(BookFlag.GAP)).when(some(3)).then(int(BookFlag.LOCKED)).otherwise(0)
    measured = damage(
        store,
        replayed,
        lambda frame: frame.with_columns((pl.col("flags") | bits.cast(pl.UInt8)).alias("flags")),
    )
    assert value(measured, "flagged_share") == pytest.approx(0.25, abs=0.001)
    assert failed(measured) == set()


@pytest.mark.parametrize("wrong_ns", [0, DAY_NS + 400 * 86_400 * 10**9])
@pytest.mark.parametrize("rows", [(0, 3), (710, 711)])
def test_rows_without_an_origin_time_spoil_nothing_else(
    store: DataStore, replayed: OracleReplay, rows: tuple[int, int], wrong_ns: int
) -> None:
    """0 is a time that is not known: it makes no second, no window and no weight, and is counted."""
    sound = measure(store)
    number = pl.int_range(pl.len())
    wrong = number.is_between(rows[0], rows[1] - 1)
    found = damage(
        store,
        replayed,
        lambda frame: frame.with_columns(
            origin_time=pl.when(wrong).then(pl.lit(wrong_ns)).otherwise(pl.col("origin_time"))
        ),
    )
    assert failed(found) == failed(sound) == set()
    assert (value(sound, "mistimed_rows"), value(found, "mistimed_rows")) == (0, rows[1] - rows[0])
    for name in ("kurtosis", "vol_clustering_1", "crossed_tw", "ks_spread"):
        assert value(found, name) == value(sound, name) is not None, name
    assert found.windows["start_ns"].to_list() == sound.windows["start_ns"].to_list()
    assert (found.windows["n"] > 0).all()
    assert 0 <= found.steps.first_ns - sound.steps.first_ns < 10**9
    assert found.steps.last_ns == sound.steps.last_ns
    assert found.level_windows["start_ns"] == sound.level_windows["start_ns"]
