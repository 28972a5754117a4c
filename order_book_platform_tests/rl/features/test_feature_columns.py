"""Columns of features from a closed block whose state is written by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import BatchError
from order_book_platform.model import BookFlag, FixedPoint
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.rl.features.event_reader import BookChunk, FeatureSpec, TradeChunk
from order_book_platform.rl.features.feature_columns import (
    ASK_PRICE,
    ASK_SIZE,
    BID_PRICE,
    BID_SIZE,
    DOUBTFUL,
    FLAGS,
    KNOWN,
    LATENCY,
    NEVER,
    STATE_FIELDS,
    TIME,
    TimeGrid,
    feature_table,
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


STEPS = 8
WINDOW = 2
GRID_SPEC = FeatureSpec(
    step_ns=500_000_000,
    stride=STEPS,
    window=WINDOW,
    horizons=(),
    tick_pips=1,
    features=FeatureSettings(imbalance_levels=(2,), mlofi_levels=1),
)
ALL = slice(None)


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> TimeGrid:
    """A grid whose block has eight steps."""
    monkeypatch.setattr("order_book_platform.rl.features.event_reader.BLOCK_STEPS", STEPS)
    return TimeGrid(GRID_SPEC, START)


def books(steps: list[int], bids: list[int], sizes: list[int], **marks: list[bool]) -> BookChunk:
    """Book rows at steps of the block; asks of size 5 stand 10 above the bids, the second level has size 1."""
    n = len(steps)
    price, size, ones = np.array(bids), np.array(sizes), np.ones(n, dtype=np.int64)
    no = np.zeros(n, dtype=np.bool_)
    return BookChunk(
        step=START + np.array(steps),
        time=np.array(steps) * GRID_SPEC.step_ns,
        latency=7 * ones,
        flags=np.arange(n, dtype=np.uint8),
        known=np.full(n, 1, dtype=np.uint8),
        two_sided=price != MISSING_PIPS,
        doubtful=np.array(marks.get("doubtful", no)),
        repaired=np.array(marks.get("repaired", no)),
        prices=((price,), (np.where(price == MISSING_PIPS, MISSING_PIPS, price + 10),)),
        sizes=((size, ones), (5 * ones, ones)),
    )


def block(grid: TimeGrid, row: np.ndarray) -> list[float]:  # type: ignore[type-arg]
    """The part of a row of an array that belongs to the block."""
    return row[grid.spec.history :].tolist()  # type: ignore[no-any-return]


def test_a_step_shows_the_last_row_up_to_it(grid: TimeGrid) -> None:
    """The book of a step is that of its last row; a step without rows shows the book of the one before."""
    grid.add_books(books([1, 1, 4], [100, 101, 99], [3, 4, 6]), slice(0, 3))
    grid.close(STEPS)
    assert block(grid, grid.state[BID_PRICE]) == [MISSING_PIPS, 101, 101, 101, 99, 99, 99, 99]
    assert block(grid, grid.state[ASK_PRICE])[1:] == [111, 111, 111, 109, 109, 109, 109]
    assert block(grid, grid.state[BID_SIZE])[1:] == [4, 4, 4, 6, 6, 6, 6]
    assert block(grid, grid.state[DOUBTFUL]) == [1, 0, 0, 0, 0, 0, 0, 0]
    assert block(grid, grid.depth_sums[0])[1:] == [5, 5, 5, 7, 7, 7, 7]
    assert block(grid, grid.state[FLAGS])[1:] == [1, 1, 1, 2, 2, 2, 2]
    # Flags of a step are those of its rows and of the row that was in effect when it began.
    assert block(grid, grid.flags) == [0, 0 | 1, 1, 1, 1 | 2, 2, 2, 2]


def test_windows_sum_the_flow_of_their_steps(grid: TimeGrid) -> None:
    """Flow, book rows, trades and volumes of the last two steps are summed; a trade before the block is left out."""
    grid.add_books(books([1, 2, 3], [100, 101, 101], [3, 4, 6]), slice(0, 3))
    trades = TradeChunk(
        START + np.array([-1, 2, 3]), np.array([True, True, False]), np.array([50, 8, 9], dtype=np.int64)
    )
    grid.add_trades(trades, ALL)
    grid.close(STEPS)
    positions = np.arange(GRID_SPEC.history, GRID_SPEC.history + 6)
    # A bid that rises brings its size and an ask that rises takes its size away; a size that grows brings the growth.
    assert grid.window(0, positions).tolist() == [0, 0, 4 + 5, 4 + 5 + 2, 2, 0]
    assert grid.window(2, positions).tolist() == [0, 1, 2, 2, 1, 0]
    assert grid.window(3, positions).tolist() == [0, 0, 1, 2, 1, 0]
    assert grid.window(4, positions).tolist() == [0, 0, 8, 8, 0, 0]
    assert grid.window(5, positions).tolist() == [0, 0, 0, 9, 9, 0]


def test_doubt_resets_and_breaks(grid: TimeGrid) -> None:
    """A doubtful row resets its steps until a sound row, and pairs with it, or with a repaired row, are no flow."""
    rows = books(
        [0, 2, 4, 6],
        [100, 100, 100, 101],
        [3, 4, 5, 6],
        doubtful=[False, True, False, False],
        repaired=[False, False, False, True],
    )
    grid.add_books(rows, slice(0, 4))
    grid.close(STEPS)
    first = GRID_SPEC.history
    assert (grid.last_reset - first).tolist() == [0, 0, 2, 3, 4, 4, 4, 4]
    assert (grid.last_broken[0] - first).tolist() == [0, 0, 2, 3, 4, 4, 6, 6]
    assert not grid.flow[0].any()


def test_the_next_block_keeps_what_its_windows_need(grid: TimeGrid) -> None:
    """After `advance` the book, the sums and the resets of the block before are history."""
    grid.add_books(books([0, 7], [100, 101], [3, 4]), slice(0, 2))
    grid.close(STEPS)
    grid.advance()
    assert grid.first == START - GRID_SPEC.history + STEPS
    assert grid.limit == START + 2 * STEPS
    grid.close(STEPS)
    assert block(grid, grid.state[BID_PRICE]) == [101] * STEPS
    positions = np.arange(GRID_SPEC.history, GRID_SPEC.history + 3)
    assert grid.window(0, positions).tolist() == [9, 0, 0]
    assert grid.last_reset.tolist() == [GRID_SPEC.history - STEPS] * STEPS
    assert grid.last_reset.min() > NEVER


def test_a_sum_beyond_int64_is_refused(grid: TimeGrid) -> None:
    """A window whose sum wraps is an error that names the window's end, never a wrong number."""
    huge = 2**62
    trades = TradeChunk(np.full(2, START + 3), np.ones(2, dtype=np.bool_), np.full(2, huge, dtype=np.int64))
    grid.add_trades(trades, ALL)
    with pytest.raises(BatchError, match=r"a sum beyond 2\*\*63") as caught:
        grid.close(STEPS)
    assert caught.value.where == "window ending 1970-01-01T00:08:21.500000000Z"
