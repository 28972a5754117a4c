"""The visible book kept up to date step by step equals the one read off the ladder anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.book import ladder, replay_arrays
from order_book_platform.kernels.book.ladder_arrays import NO_KEY, Ladder
from order_book_platform.kernels.book.replay_arrays import ROW_FLAGS, ROW_HEAD, Memory
from order_book_platform.kernels.book.visible_rows import rows_to_columns, write_row
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS
from order_book_platform.model.flags import PROVEN_LOSS

STEP = 5
SLOTS = 4096
changes = st.lists(
    st.tuples(
        st.integers(0, 1), st.one_of(st.integers(1, 9), st.integers(1, 9_000)), st.sampled_from([0, 0, 1, 2])
    ),
    min_size=1,
    max_size=4,
)


def memory_of(depth: int) -> Memory:
    """What a replay remembers at its start."""
    memory = Memory(
        np.array([STEP, replay_arrays.CADENCE_CHANGE, 0, 2**62, 2**62, 2**62]),
        np.zeros(replay_arrays.STATES, np.int64),
        np.zeros(replay_arrays.COUNTS, np.int64),
        np.zeros(ROW_HEAD + 4 * depth, np.int64),
        np.full((2, depth), NO_KEY),
        np.zeros(2, np.int64),
    )
    memory.visible_row[ROW_HEAD::2] = MISSING_PIPS
    memory.visible_row[ROW_FLAGS] = -1
    return memory


def visible(model: list[dict[int, int]], depth: int) -> list[int]:
    """Prices and sizes of the best levels of two dicts of key to size."""
    row: list[int] = []
    for levels, sign in zip(model, (-1, 1), strict=True):
        best = sorted(levels)[:depth]
        pairs = [(key * sign * STEP, levels[key]) for key in best] + [(MISSING_PIPS, 0)] * (depth - len(best))
        row += [number for pair in pairs for number in pair]
    return row


@given(st.lists(changes, max_size=25), st.integers(1, 4))
def test_rows_are_what_is_visible(steps: list[list[tuple[int, int, int]]], depth: int) -> None:
    """After one change or several a row appears exactly if something visible changed, and shows the best levels."""
    book, memory = Ladder.empty(SLOTS, 2 * SLOTS // 64 + 40), memory_of(depth)
    model: list[dict[int, int]] = [{}, {}]
    rows, before = np.zeros((1, ROW_HEAD + 4 * depth), np.int64), [0]
    for step in steps:
        for s, tick, size in step:
            key = -tick if s == 0 else tick
            ladder.set_level(book, s, key, size, 0)
            model[s] = {k: n for k, n in (model[s] | {key: size}).items() if n}
        for s in range(2):
            ladder.settle(book, s)
        written = bool(write_row(book, memory, rows, 0, len(step) == 1, False))
        shown = [int(rows[0, ROW_FLAGS]), *visible(model, depth)] if written else before
        assert memory.visible_row[ROW_HEAD:].tolist() == visible(model, depth)
        assert rows[0, ROW_HEAD:].tolist() == visible(model, depth)
        assert written == (shown != before)
        before = shown
        best = [min(levels, default=None) for levels in model]
        crossed = None not in best and -best[0] > best[1]
        assert bool(memory.visible_row[ROW_FLAGS] & BookFlag.CROSSED) == crossed


def test_known_levels_end_at_the_known_bound() -> None:
    """A row says how many of its levels are known; none are where a loss is proven, which is no flag of a row."""
    book, memory = Ladder.empty(SLOTS, 200), memory_of(3)
    rows = np.zeros((1, ROW_HEAD + 12), np.int64)
    for tick in (10, 11, 12):
        ladder.set_level(book, 1, tick, 1, 0)
    ladder.settle(book, 1)
    book.known_until[1] = 11
    assert write_row(book, memory, rows, 0, False, False)
    assert rows[0, replay_arrays.ROW_KNOWN_BIDS : ROW_HEAD].tolist() == [0, 2]
    assert rows[0, ROW_FLAGS] == BookFlag.UNKNOWN_DEPTH
    memory.state[replay_arrays.STATE_FLAG_BITS] = PROVEN_LOSS
    assert write_row(book, memory, rows, 0, False, False)
    assert rows[0, replay_arrays.ROW_KNOWN_BIDS : ROW_HEAD].tolist() == [0, 0]
    assert rows[0, ROW_FLAGS] == BookFlag.UNKNOWN_DEPTH


def test_repaired_is_a_flag_of_one_row() -> None:
    """A row that is due after a repair is written in any case, and the one after it is not."""
    book, memory = Ladder.empty(SLOTS, 200), memory_of(1)
    rows = np.zeros((1, ROW_HEAD + 4), np.int64)
    assert write_row(book, memory, rows, 0, False, False)
    memory.state[replay_arrays.STATE_REPAIRED_DUE] = 1
    assert write_row(book, memory, rows, 0, False, False)
    assert rows[0, ROW_FLAGS] & BookFlag.REPAIRED
    assert not write_row(book, memory, rows, 0, False, False)
    assert write_row(book, memory, rows, 0, False, True)
    assert not rows[0, ROW_FLAGS] & BookFlag.REPAIRED


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200])
def test_rows_to_columns(n: int) -> None:
    """Every number lands where a transposition puts it, whatever the row count does to the blocks."""
    rows = np.arange(200 * 7, dtype=np.int64).reshape(200, 7)
    columns = np.full((7, n), -1, np.int64)
    rows_to_columns(rows, columns, n)
    np.testing.assert_array_equal(columns, rows[:n].T)
