"""The order of events around a message, and what the loop does when a buffer is full, on streams made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.book import replay_arrays as arrays
from order_book_platform.kernels.book.bits import divisor_inverse
from order_book_platform.kernels.book.ladder_arrays import NO_TICK, Ladder
from order_book_platform.kernels.book.replay_arrays import ROW_HEAD, ReplaySchedule
from order_book_platform.kernels.book.replay_loop import (
    find_bad_level,
    find_messages,
    replay,
    replay_snapshots,
)
from order_book_platform.model import BookFlag
from order_book_platform_tests.kernels.book.test_visible_rows import SLOTS, STEP, memory_of

BLOCKS = 2 * SLOTS // 64 + 40


def schedule_of(
    snapshots: list[tuple[int, int, int]], edges: list[tuple[int, int]] | None = None
) -> ReplaySchedule:
    """Snapshots of one bid and one ask each, by sequence number; their times are 100 ns a number."""
    m, edge = len(snapshots), np.array(edges or [], np.int64).reshape(-1, 2)
    numbers = np.array([number for number, _, _ in snapshots], np.int64)
    ticks = np.array([[[bid], [ask]] for _, bid, ask in snapshots], np.int64).reshape(m, 2, 1)
    return ReplaySchedule(
        *(numbers, numbers * 100, numbers * 100 + 1, ticks, np.where(ticks == NO_TICK, 0, 1)),
        *(np.zeros(m, np.bool_), np.zeros((m, 4), np.int64)),
        *(edge[:, 0].copy(), edge[:, 1].copy()),
    )


class Replay:
    """A replay of depth 1 of messages (sequence number, [(is_bid, tick, size)]); their times are 100 ns a number."""

    def __init__(self, schedule: ReplaySchedule, blocks: int = BLOCKS, **params: int) -> None:
        self.ladder, self.memory, self.schedule = Ladder.empty(SLOTS, blocks), memory_of(1), schedule
        for name in ("LAST_SEQUENCE", "NEXT_GRID", "CROSSED_SINCE", "FIRST_ORIGIN"):
            self.memory.state[getattr(arrays, f"STATE_{name}")] = arrays.NO_TIME
        for name, value in params.items():
            self.memory.params[getattr(arrays, f"PARAM_{name}")] = value

    def run(
        self, messages: list[tuple[int, list[tuple[bool, int, int]]]], capacity: int = 99, message: int = 0
    ) -> tuple[int, int, list[list[int]]]:
        """Status, next message, and the rows of one call."""
        deltas = [(number, *level) for number, levels in messages for level in levels]
        number, is_bid, tick, size = (np.array(column) for column in zip(*deltas, strict=True))
        starts = np.cumsum([0, *(len(levels) for _, levels in messages)])
        rows = np.zeros((capacity, ROW_HEAD + 4), np.int64)
        status, at, n = replay(
            *(self.ladder, self.memory, self.schedule, rows, 0, *divisor_inverse(STEP), starts),
            *(number * 100, number * 100 + 1, number, is_bid, tick * STEP, size, message, len(messages)),
        )
        return int(status), int(at), rows[:n].tolist()


def best(rows: list[list[int]]) -> list[tuple[int, int, int]]:
    """Sequence number, best bid and best ask of each row, in ticks."""
    return [(row[2], row[ROW_HEAD] // STEP, row[ROW_HEAD + 2] // STEP) for row in rows]


def test_a_snapshot_comes_after_the_message_of_its_number() -> None:
    """A snapshot wins over the deltas of its message; one that no message bears comes before the next message."""
    run = Replay(schedule_of([(2, 10, 20), (3, 11, 21)]))
    _, _, rows = run.run([(1, [(True, 5, 1)]), (2, [(True, 9, 1), (False, 19, 1)]), (4, [(False, 30, 1)])])
    assert best(rows) == [(1, 5, -1), (2, 10, 20), (4, 11, 21)]
    assert rows[2][arrays.ROW_FLAGS] & BookFlag.REPAIRED
    assert run.schedule.outcome[:, arrays.OUTCOME_USE].tolist() == [arrays.USE_SEEDED, arrays.USE_REPAIRED]


def test_the_last_delta_of_a_level_wins() -> None:
    """Within a message a level may come and go; only what is left at its end is seen, in one row."""
    run = Replay(schedule_of([]))
    _, _, rows = run.run([(1, [(True, 8, 1), (True, 9, 4), (True, 9, 0), (True, 8, 3)])])
    assert best(rows) == [(1, 8, -1)]
    assert rows[0][ROW_HEAD + 1] == 3
    assert run.memory.counts[arrays.COUNT_DELTAS] == 4


def test_rows_of_the_grid_show_the_book_before_the_message() -> None:
    """Rows of times below a message's come before it, and before the flags that hold from it on."""
    run = Replay(
        schedule_of([], [(4, int(BookFlag.GAP))]), CADENCE=arrays.CADENCE_GRID, GRID_NS=100, SILENCE_NS=150
    )
    _, _, rows = run.run([(1, [(True, 5, 1)]), (4, [(True, 6, 1)]), (5, [(True, 7, 1)])])
    assert [(row[0], row[ROW_HEAD] // STEP) for row in rows] == [(100, 5), (200, 5), (300, 5), (400, 6)]
    assert [bool(row[arrays.ROW_FLAGS] & BookFlag.GAP) for row in rows] == [False, False, True, True]


def test_a_full_row_buffer_stops_before_the_message() -> None:
    """The loop comes back with the message not applied, and goes on with it when the rows have been taken."""
    run, whole = Replay(schedule_of([])), Replay(schedule_of([]))
    messages = [(n, [(True, n, 1)]) for n in range(1, 6)]
    found, at, status = [], 0, arrays.ROWS_FULL
    while status == arrays.ROWS_FULL:
        status, at, rows = run.run(messages, capacity=2, message=at)
        found += rows
    assert (status, at) == (arrays.DONE, 5)
    assert found == whole.run(messages)[2]


def test_missing_blocks_stop_before_the_message() -> None:
    """Nothing of a message is applied that might not fit; with more blocks the loop goes on."""
    run = Replay(schedule_of([]), blocks=8)
    assert run.run([(1, [(True, 5, 1)])]) == (arrays.LEVELS_FULL, 0, [])
    assert run.memory.counts[arrays.COUNT_DELTAS] == 0
    run.ladder = run.ladder.with_blocks(BLOCKS)
    assert best(run.run([(1, [(True, 5, 1)])])[2]) == [(1, 5, -1)]


@pytest.mark.parametrize(("patience_ns", "evicted"), [(10_000, 0), (150, 1)])
def test_a_book_crossed_for_long_loses_the_older_level(patience_ns: int, evicted: int) -> None:
    """Of the two best levels the one set longest ago goes; until then the book is only counted as crossed."""
    run = Replay(schedule_of([]), CROSSED_NS=patience_ns)
    run.run([(1, [(False, 20, 1)]), (2, [(True, 25, 1)]), (3, [(True, 3, 1)]), (4, [(True, 4, 1)])])
    counts = run.memory.counts
    assert counts[arrays.COUNT_CROSSED_EPISODES] == 1
    assert counts[arrays.COUNT_EVICTED] == evicted
    assert run.ladder.occupied(1) == 1 - evicted


def test_snapshots_alone_replace_the_book() -> None:
    """Each snapshot is the whole book until the next one, and counts as a message of its number."""
    run, rows = Replay(schedule_of([(1, 10, 20), (2, 9, 30)])), np.zeros((9, ROW_HEAD + 4), np.int64)
    status, n = replay_snapshots(run.ladder, run.memory, run.schedule, rows, 0, 2)
    assert (int(status), int(n)) == (arrays.DONE, 2)
    assert best(rows[:2].tolist()) == [(1, 10, 20), (2, 9, 30)]
    assert run.ladder.occupied(0) == run.ladder.occupied(1) == 1
    assert run.memory.state[arrays.STATE_MESSAGES] == 2


UNIT = 50


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(-(2**62), 2**62))
def test_starts_of_messages(lengths: list[int], first: int) -> None:
    """Messages of any length are found, and the end of the last one."""
    sequence = np.repeat(np.arange(len(lengths)) * 3 + first, lengths)
    starts = np.full(len(sequence) + 1, -9)
    assert find_messages(sequence, starts) == len(lengths)
    np.testing.assert_array_equal(starts[: len(lengths) + 1], np.cumsum([0, *lengths]))


@given(st.lists(st.integers(0, 20), min_size=2, max_size=30))
def test_the_first_step_back_is_named(sequence: list[int]) -> None:
    """The row whose sequence number is smaller than the one before, and only then."""
    array = np.array(sequence)
    back = np.flatnonzero(np.diff(array) < 0)
    found = int(find_messages(array, np.empty(len(array) + 1, np.int64)))
    assert found == (-1 - int(back[0]) - 1 if len(back) else len(set(sequence)))


prices = st.sampled_from([UNIT, 3 * UNIT, UNIT * 10**12, (2**62 - 1) // UNIT * UNIT])
wrong = st.sampled_from(
    [
        0,
        -UNIT,
        UNIT + 1,
        UNIT - 1,
        2**62 // UNIT * UNIT + UNIT,
        2**63 - 1,
        -(2**63),
    ]
)


@given(
    st.lists(
        st.tuples(
            st.one_of(prices, prices, prices, prices, wrong), st.sampled_from([0, 0, 1, 2**63 - 1, -1])
        ),
        max_size=40,
    )
)
def test_the_first_bad_level_is_named(levels: list[tuple[int, int]]) -> None:
    """Off the step, not positive, too large, or a negative size: the first of them, or −1."""
    price, size = np.array(levels, np.int64).reshape(-1, 2).T.copy()
    bad = (price % UNIT != 0) | (price <= 0) | (price >= 2**62) | (size < 0)
    wanted = int(bad.argmax()) if bad.any() else -1
    assert find_bad_level(price, size, *divisor_inverse(UNIT), (2**62 - 1) // UNIT) == wanted
