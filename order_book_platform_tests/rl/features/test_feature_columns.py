"""Columns of features from a closed block whose state is written by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model import BookFlag, FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.rl.features.feature_columns import feature_table
from order_book_platform.rl.features.feature_spec import FeatureSpec
from order_book_platform.rl.features.time_grid import (
    ASK_PRICE,
    ASK_SIZE,
    BID_PRICE,
    BID_SIZE,
    DOUBTFUL,
    KNOWN,
    LATENCY,
    STATE_FIELDS,
    TIME,
    TimeGrid,
)
from order_book_platform.settings import FeatureSettings

SETTINGS = FeatureSettings(
    clock=NS_PER_SECOND,
    flow_window=NS_PER_SECOND,
    horizons=(NS_PER_SECOND,),
    imbalance_levels=(1, 2),
    mlofi_levels=1,
)
SPEC = FeatureSpec.of(SETTINGS, depth=2, cadence="change", fixed_point=FixedPoint(tick_pips=5), where="test")
START = 1_000
SOUND = {
    BID_PRICE: 1_000,
    BID_SIZE: 30,
    ASK_PRICE: 1_020,
    ASK_SIZE: 10,
    TIME: 0,
    LATENCY: 7_900_000,
    KNOWN: 2,
    DOUBTFUL: 0,
}


def row(flags: int = 0, **state: Any) -> dict[str, Any]:
    """The features at the first step of a block where the book is sound but for the given fields."""
    grid = TimeGrid(SPEC, START)
    grid.close(1)
    grid.last_reset[:] = -1
    at = SPEC.history
    for field in range(STATE_FIELDS):
        grid.state[field, :] = SOUND.get(field, 0)
    grid.state[TIME, :] = (grid.first + at) * SPEC.step_ns - 2_500_000
    grid.state[BID_PRICE, at - 1] = grid.state[ASK_PRICE, at - 1] = 1_000
    for name, value in state.items():
        grid.state[globals()[name], at] = value
    grid.depth_sums[:, at] = [30, 10, 50, 50]
    grid.flags[at] = flags
    return feature_table(grid, 1).to_pylist()[0]


def test_a_sound_book() -> None:
    """Every column of the state is its formula in docs/formats/rl_features.md."""
    found = row()
    assert found["time"] == START * NS_PER_SECOND
    assert found["mid2"] == 2_020
    assert found["spread_ticks"] == 4
    assert found["spread_bps"] == pytest.approx(2e4 * 20 / 2_020)
    assert found["wmid_off"] == pytest.approx((1_020 * 30 + 1_000 * 10) / 40 / 5 - 1_010 / 5)
    assert (found["qi_1"], found["qi_2"]) == (0.5, 0.0)
    assert (found["stale_ms"], found["latency_ms"]) == (2, 7)
    assert found["ret_1s"] == pytest.approx(math.log(2_020 / 2_000) * 1e4)
    assert (found["valid"], found["crossed"], found["gap_flag"]) == (True, False, False)


def test_schema_and_rows_are_those_of_the_spec() -> None:
    """A block without a whole row gives an empty table of the same schema."""
    grid = TimeGrid(SPEC, START)
    grid.close(0)
    table = feature_table(grid, 0)
    assert table.num_rows == 0
    assert table.schema == SPEC.schema


def test_without_an_ask_nothing_is_said_of_the_middle() -> None:
    """Integers that need both sides are null, floats are NaN, and the row is not valid."""
    found = row(ASK_PRICE=MISSING_PIPS, ASK_SIZE=0)
    assert found["mid2"] is None
    assert found["spread_ticks"] is None
    assert all(math.isnan(found[name]) for name in ("spread_bps", "wmid_off", "qi_1", "ret_1s", "rv_1s"))
    assert not found["valid"]


def test_a_doubtful_book_is_shown_and_not_valid() -> None:
    """Doubt keeps what the book shows and takes away what compares it with an earlier one."""
    found = row(int(BookFlag.GAP | BookFlag.CROSSED), DOUBTFUL=1)
    assert found["mid2"] == 2_020
    assert not found["valid"]
    assert math.isnan(found["ret_1s"])
    assert (found["gap_flag"], found["crossed"], found["flags"]) == (True, True, 10)


def test_unknown_levels_and_numbers_beyond_int32() -> None:
    """An imbalance needs all its levels to be known; an integer that does not fit its column is null."""
    found = row(KNOWN=1, LATENCY=2**62, ASK_PRICE=2**40)
    assert found["qi_1"] == 0.5
    assert math.isnan(found["qi_2"])
    assert found["latency_ms"] is None
    assert found["spread_ticks"] is None


def test_counts_are_per_second_and_unknown_after_a_reset() -> None:
    """Counts and flow are of the window that ends at the row; a reset inside it makes them unknown."""
    grid = TimeGrid(SPEC, START)
    at = SPEC.history
    grid.flow[:, at] = [4, 5, 6, 8, 30, 10]
    grid.close(1)
    whole = feature_table(grid, 1).to_pylist()[0]
    assert all(math.isnan(whole[name]) for name in ("n_updates", "n_trades", "tfi"))
    assert (whole["ofi_1"], whole["mlofi_1"]) == (None, None)
    grid.last_reset[:] = grid.last_broken[:] = at - SPEC.window
    found = feature_table(grid, 1).to_pylist()[0]
    assert (found["n_updates"], found["n_trades"], found["tfi"]) == (6.0, 8.0, 0.5)
    assert (found["ofi_1"], found["mlofi_1"]) == (4, 5)


def test_arrays_are_not_changed() -> None:
    """Making rows only reads the grid."""
    grid = TimeGrid(SPEC, START)
    grid.close(3)
    before = grid.state.copy(), grid.flow.copy()
    assert feature_table(grid, 3).num_rows == 3
    assert np.array_equal(before[0], grid.state)
    assert np.array_equal(before[1], grid.flow)
