"""The time grid by hand: events of a few steps, the book and the sums at each, and what the next block keeps."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.errors import BatchError
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.rl.features.event_reader import BookChunk, TradeChunk
from order_book_platform.rl.features.feature_spec import FeatureSpec
from order_book_platform.rl.features.time_grid import (
    ASK_PRICE,
    BID_PRICE,
    BID_SIZE,
    DOUBTFUL,
    FLAGS,
    NEVER,
    TimeGrid,
)
from order_book_platform.settings import FeatureSettings

STEPS = 8
WINDOW = 2
SPEC = FeatureSpec(
    step_ns=500_000_000,
    stride=STEPS,
    window=WINDOW,
    horizons=(),
    imbalance_levels=(2,),
    mlofi_levels=1,
    tick_pips=1,
    features=FeatureSettings(),
)
START = 1_000
ALL = slice(None)


@pytest.fixture
def grid(monkeypatch: pytest.MonkeyPatch) -> TimeGrid:
    """A grid whose block has eight steps."""
    monkeypatch.setattr("order_book_platform.rl.features.feature_spec.BLOCK_STEPS", STEPS)
    return TimeGrid(SPEC, START)


def books(steps: list[int], bids: list[int], sizes: list[int], **marks: list[bool]) -> BookChunk:
    """Book rows at steps of the block; asks of size 5 stand 10 above the bids, the second level has size 1."""
    n = len(steps)
    price, size, ones = np.array(bids), np.array(sizes), np.ones(n, dtype=np.int64)
    no = np.zeros(n, dtype=np.bool_)
    return BookChunk(
        step=START + np.array(steps),
        time=np.array(steps) * SPEC.step_ns,
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
    positions = np.arange(SPEC.history, SPEC.history + 6)
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
    first = SPEC.history
    assert (grid.last_reset - first).tolist() == [0, 0, 2, 3, 4, 4, 4, 4]
    assert (grid.last_broken[0] - first).tolist() == [0, 0, 2, 3, 4, 4, 6, 6]
    assert not grid.flow[0].any()


def test_the_next_block_keeps_what_its_windows_need(grid: TimeGrid) -> None:
    """After `advance` the book, the sums and the resets of the block before are history."""
    grid.add_books(books([0, 7], [100, 101], [3, 4]), slice(0, 2))
    grid.close(STEPS)
    grid.advance()
    assert grid.first == START - SPEC.history + STEPS
    assert grid.limit == START + 2 * STEPS
    grid.close(STEPS)
    assert block(grid, grid.state[BID_PRICE]) == [101] * STEPS
    positions = np.arange(SPEC.history, SPEC.history + 3)
    assert grid.window(0, positions).tolist() == [9, 0, 0]
    assert grid.last_reset.tolist() == [SPEC.history - STEPS] * STEPS
    assert grid.last_reset.min() > NEVER


def test_a_sum_beyond_int64_is_refused(grid: TimeGrid) -> None:
    """A window whose sum wraps is an error that names the window's end, never a wrong number."""
    huge = 2**62
    trades = TradeChunk(np.full(2, START + 3), np.ones(2, dtype=np.bool_), np.full(2, huge, dtype=np.int64))
    grid.add_trades(trades, ALL)
    with pytest.raises(BatchError, match=r"a sum beyond 2\*\*63") as caught:
        grid.close(STEPS)
    assert caught.value.where == "window ending 1970-01-01T00:08:21.500000000Z"
