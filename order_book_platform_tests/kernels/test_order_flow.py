"""The feature kernels, one at a time, against plain Python integers and Decimal."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.order_flow import (
    LAST_FIELDS,
    LAST_USABLE,
    add_level_flow,
    add_trades,
    log_returns,
    realised_volatility,
    squared_returns,
)
from order_book_platform_tests.rl.naive import order_flow

STEPS = 6
_PAIR = st.tuples(st.integers(1, 3), st.integers(0, 2**40), st.integers(1, 3), st.integers(0, 2**40))
_ROW = st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans(), _PAIR)


def ints(values: Any) -> Any:
    """int64 array."""
    return np.array(values, dtype=np.int64)


def run_level_flow(rows: list[Any], level: int, cuts: list[int]) -> tuple[Any, Any, Any]:
    """The kernel over the rows, called anew at each cut."""
    step = np.minimum(np.cumsum(ints([row[0] for row in rows])), STEPS - 1)
    usable = np.array([row[1] for row in rows], dtype=np.uint8)
    repaired = np.array([row[2] for row in rows], dtype=np.bool_)
    columns = [ints([row[3][i] for row in rows]) for i in range(4)]
    flow, shadow = np.zeros(STEPS, dtype=np.int64), np.zeros(STEPS)
    broken, last = np.zeros(STEPS, dtype=np.bool_), np.zeros(LAST_FIELDS, dtype=np.int64)
    edges = [0, *sorted(cuts), len(rows)]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        add_level_flow(
            step[part],
            usable[part],
            repaired[part],
            level,
            *(column[part] for column in columns),
            last,
            flow,
            shadow,
            broken,
        )
    return flow, shadow, broken


@given(st.lists(st.tuples(st.integers(0, STEPS - 1), st.booleans(), st.integers(0, 2**60)), max_size=12))
def test_trades_are_added_to_their_steps(trades: list[tuple[int, bool, int]]) -> None:
    """Each trade counts once, and its size on the taker's side; sums that do not fit wrap, and the shadow does not."""
    flow, shadow = np.full((3, STEPS), 5, dtype=np.int64), np.full((3, STEPS), 5.0)
    step, is_buy, size = zip(*trades, strict=True) if trades else ((), (), ())
    add_trades(ints(step), np.array(is_buy, dtype=np.bool_), ints(size), flow, shadow)
    wanted = [[5] * STEPS for _ in range(3)]
    for at, bought, pips in trades:
        wanted[0][at] += 1
        wanted[1 if bought else 2][at] += pips
    assert flow.tolist() == [[(each + 2**63) % 2**64 - 2**63 for each in row] for row in wanted]
    assert shadow == pytest.approx(np.array(wanted, dtype=np.float64))


@given(rows=st.lists(_ROW, max_size=25), level=st.integers(0, 2), data=st.data())
def test_level_flow_equals_the_plain_sum(rows: list[Any], level: int, data: st.DataObject) -> None:
    """Flow, shadow and broken steps equal a plain loop over pairs, however the rows are cut."""
    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=3))
    flow, shadow, broken = run_level_flow(rows, level, cuts)
    wanted, wanted_broken, step = [0] * STEPS, [False] * STEPS, 0
    for i, (forward, usable, repaired, pair) in enumerate(rows):
        step = min(step + forward, STEPS - 1)
        if i and usable > level and rows[i - 1][1] > level and not repaired:
            wanted[step] += order_flow(rows[i - 1][3], pair)
        else:
            wanted_broken[step] = True
    assert flow.tolist() == wanted
    assert shadow.tolist() == [float(value) for value in wanted]
    assert broken.tolist() == wanted_broken


@pytest.mark.parametrize(
    ("before", "after", "flow"),
    [
        ((100, 5, 101, 7), (100, 8, 101, 7), 3),
        ((100, 5, 101, 7), (100, 5, 101, 9), -2),
        ((99, 5, 101, 7), (100, 2, 101, 7), 2),
        ((100, 5, 101, 7), (99, 9, 101, 7), -5),
        ((100, 5, 102, 7), (100, 5, 101, 4), -4),
        ((100, 5, 101, 7), (100, 5, 102, 9), 7),
    ],
    ids=["bid grows", "ask grows", "bid rises", "bid falls", "ask falls", "ask rises"],
)
def test_order_flow_of_single_moves(before: Any, after: Any, flow: int) -> None:
    """The six moves of the paper: a price that moves away takes the old size with it, not the new one."""
    assert order_flow(before, after) == flow
    found, _, _ = run_level_flow([(0, 1, False, before), (1, 1, False, after)], 0, [])
    assert found[1] == flow


def test_level_flow_remembers_the_last_row() -> None:
    """A row that may not be used leaves a mark, so that the next call begins with a broken pair."""
    last, broken = np.zeros(LAST_FIELDS, dtype=np.int64), np.zeros(1, dtype=np.bool_)
    flow, shadow = np.zeros(1, dtype=np.int64), np.zeros(1)
    for usable, wanted in ((1, 1), (0, 0)):
        columns = [ints([value]) for value in (1, 2, 3, 4)]
        flags = np.array([usable], dtype=np.uint8), np.array([False])
        add_level_flow(ints([0]), *flags, 0, *columns, last, flow, shadow, broken)
        assert last.tolist() == [1, 2, 3, 4, wanted]
        assert last[LAST_USABLE] == wanted


@given(
    mid2=st.lists(st.integers(-1, 5), min_size=8, max_size=20),
    lag=st.integers(1, 4),
    offset=st.integers(4, 6),
    data=st.data(),
)
def test_log_returns(mid2: list[int], lag: int, offset: int, data: st.DataObject) -> None:
    """A return needs two mids above 0 and no reset between."""
    rows = list(range(offset, len(mid2)))
    reset = [data.draw(st.integers(-3, at)) for at in rows]
    out = np.empty(len(rows), dtype=np.float32)
    log_returns(ints(mid2), ints(rows), lag, ints(reset), offset, out)
    for k, at in enumerate(rows):
        if mid2[at] > 0 and mid2[at - lag] > 0 and reset[k] <= at - lag:
            assert out[k] == pytest.approx(math.log(mid2[at] / mid2[at - lag]) * 1e4, rel=1e-6)
        else:
            assert math.isnan(out[k])


@given(
    mid2=st.lists(st.sampled_from([1000, 1001, 1003, 1010, -1]), min_size=20, max_size=40),
    first=st.integers(0, 2),
    data=st.data(),
)
def test_realised_volatility(mid2: list[int], first: int, data: st.DataObject) -> None:
    """The root of the sum of squared 1 s returns, from whole seconds alone."""
    second, lag = 3, 6
    offset = lag + second
    rows = list(range(offset, len(mid2), data.draw(st.integers(1, 4))))
    reset = [data.draw(st.integers(-3, 8)) for _ in range(offset, len(mid2))]
    squares = np.full(len(mid2), np.nan)
    squared_returns(ints(mid2), first, second, squares)
    out = np.empty(len(rows), dtype=np.float32)
    realised_volatility(squares, ints(rows), first, second, lag, ints(reset), offset, out)
    for k, at in enumerate(rows):
        whole = max(s for s in range(first, at + 1, second))
        mids = [mid2[s] for s in range(whole - lag, whole + 1, second)]
        if min(mids) > 0 and reset[at - offset] <= whole - lag:
            returns = [math.log(b / a) * 1e4 for a, b in pairwise(mids)]
            assert out[k] == pytest.approx(math.sqrt(sum(r * r for r in returns)), rel=1e-6)
        else:
            assert math.isnan(out[k])
