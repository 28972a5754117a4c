"""Histograms of states against a loop that looks bins up, with the compiler and without."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity import state_histograms
from order_book_platform.kernels.fidelity.state_histograms import (
    imbalance_bin,
    resampled_distances,
    size_bin,
    spread_bin,
    weigh_states,
)
from order_book_platform.model.arrays import MISSING_PIPS

DEPTH, TICK, BLOCKS = 6, 5, 3
Side = list[tuple[int, int]]

SPREADS = [*range(64), *(m << d for d in range(1, 31) for m in range(32, 64)), 1 << 36]
SPREAD_EDGES = [*(-edge for edge in SPREADS[:0:-1]), *SPREADS]
SIZE_EDGES = [2.0**octave * (1 + part / 32) for octave in range(-34, 64) for part in range(32)]
QI_EDGES = [step / 256 - 1 for step in range(513)]


def spread_place(ticks: int) -> int:
    """Bin of a spread; of one below 0 that of its opposite, on the other side of 0."""
    above = bisect_right(SPREADS, abs(ticks)) - 1
    return len(SPREADS) - 1 + (above if ticks >= 0 else -above)


def test_there_are_as_many_bins_as_edges() -> None:
    """The edges of the definition are those that the arrays have room for."""
    assert (len(SPREAD_EDGES), *[len(SIZE_EDGES)] * 2, *[len(QI_EDGES)] * 2) == state_histograms.BIN_COUNTS
    assert state_histograms.STARTS == (0, 2050, 5187, 8324, 8838, 9352)
    assert state_histograms.BINS == 9352


@given(st.one_of(st.integers(-200, 200), st.integers(-(1 << 40), 1 << 40)), st.integers(0, TICK - 1))
def test_a_spread_goes_to_the_last_edge_not_above_it(ticks: int, rest: int) -> None:
    """Exact below 64 ticks, 32 bins to a doubling above, the same below 0; prices off the tick are rounded down."""
    bid = 1 << 50
    assert spread_bin(bid, bid + ticks * TICK + rest, TICK) == spread_place(ticks)


@given(st.one_of(st.integers(1, 100).map(float), st.floats(1e-12, 1e19)))
def test_a_size_goes_to_the_last_edge_not_above_it(size: float) -> None:
    """32 bins to a doubling; the smallest and the largest take what lies beyond."""
    bits = int(np.float64(size).view(np.int64))
    assert size_bin(bits) == max(bisect_right(SIZE_EDGES, size) - 1, 0)


@given(st.integers(0, 1 << 50), st.integers(0, 1 << 50))
def test_an_imbalance_goes_to_the_last_edge_not_above_it(bids: int, asks: int) -> None:
    """512 bins from −1 on and one for 1; nothing on both sides has a bin of its own."""
    found = imbalance_bin(float(bids), float(asks))
    if bids + asks == 0:
        assert found == state_histograms.QI_STEPS + 1
    else:
        assert found == bisect_right(QI_EDGES, (bids - asks) / (bids + asks)) - 1


def test_what_is_missing_has_a_bin_of_its_own() -> None:
    """Behind all others: no spread without a price, no size where there is no level."""
    assert spread_bin(MISSING_PIPS, 5, TICK) == spread_bin(5, MISSING_PIPS, TICK) == len(SPREAD_EDGES)
    assert size_bin(0) == len(SIZE_EDGES)


sides = st.dictionaries(st.integers(0, 8), st.integers(1, 99), max_size=DEPTH).map(
    lambda levels: sorted(levels.items())
)
row = st.tuples(
    *[st.tuples(sides, sides)] * 2,
    *[st.integers(0, DEPTH)] * 2,
    st.integers(0, 4),
    st.integers(0, BLOCKS - 1),
)


def fill(books: list[tuple[Side, Side]]) -> tuple[np.ndarray, np.ndarray]:
    """Sides given by distance in ticks from a mid price, as arrays of prices and sizes."""
    price = np.full((len(books), 2, DEPTH), MISSING_PIPS, dtype=np.int64)
    size = np.zeros((len(books), 2, DEPTH))
    for r, both in enumerate(books):
        for s, levels in enumerate(both):
            for k, (away, amount) in enumerate(levels):
                price[r, s, k] = 1000 + (away if s else -away) * TICK
                size[r, s, k] = amount
    return price, size


def places(bids: Side, asks: Side) -> list[int]:
    """Bin of each statistic of one book."""

    def at(statistic: int, place: int | None) -> int:
        return state_histograms.STARTS[statistic] + (
            state_histograms.BIN_COUNTS[statistic] if place is None else place
        )

    def imbalance(levels: int) -> int | None:
        bid, ask = (sum(size for _, size in side[:levels]) for side in (bids, asks))
        return int(((bid - ask) / (bid + ask) + 1) * 256) if bid + ask else None

    def log_size(side: Side) -> int | None:
        return bisect_right(SIZE_EDGES, side[0][1]) - 1 if side else None

    return [
        at(state_histograms.SPREAD, spread_place(bids[0][0] + asks[0][0]) if bids and asks else None),
        at(state_histograms.LOG_Q_BID, log_size(bids)),
        at(state_histograms.LOG_Q_ASK, log_size(asks)),
        at(state_histograms.QI_1, imbalance(1)),
        at(state_histograms.QI_5, imbalance(5)),
    ]


@pytest.mark.parametrize(
    "weigh",
    [weigh_states, getattr(weigh_states, "py_func", weigh_states)],
    ids=["compiled", "interpreted"],
)
@given(drawn=st.lists(row, max_size=6))
def test_weights_land_where_a_loop_puts_them(weigh: Callable[..., None], drawn: list[tuple]) -> None:
    """Per statistic, only where its levels are claimed: reference, both placebos, and where the book differs."""
    (book_price, book_size), (price, size) = (fill([each[at] for each in drawn]) for at in (0, 1))
    known = np.array([each[2:4] for each in drawn], np.uint8).reshape(-1, 2)
    weights, blocks = (np.array([each[at] for each in drawn], np.int64) for at in (4, 5))
    reference, placebos = (
        np.zeros(state_histograms.BINS, np.int64),
        np.zeros((2, state_histograms.BINS), np.int64),
    )
    excess, totals = np.zeros((BLOCKS, state_histograms.BINS), np.int64), np.zeros((BLOCKS, 5), np.int64)
    rows = np.zeros(5, np.int64)
    weigh(
        *(book_price, book_size, book_size.view(np.int64), known),
        *(price, size, size.view(np.int64), TICK, weights, blocks),
        *(reference, placebos, excess, totals, rows),
    )
    wanted = [np.zeros_like(array) for array in (reference, placebos, excess, totals, rows)]
    for ours, theirs, bids, asks, weight, block in drawn:
        needs = [min(bids, asks), bids, asks, min(bids, asks), min(bids, asks) - 4]
        touched = [(0, 1), (0,), (1,), (0, 1), (0, 1)]
        spoiled = [places(theirs[0][1:], theirs[1]), places(theirs[0], theirs[1][1:])]
        for statistic in range(5):
            if needs[statistic] < 1 or not weight:
                continue
            wanted[0][places(*theirs)[statistic]] += weight
            for which in touched[statistic]:
                wanted[1][which, spoiled[which][statistic]] += weight
            wanted[2][block, places(*theirs)[statistic]] -= weight
            wanted[2][block, places(*ours)[statistic]] += weight
            wanted[3][block, statistic] += weight
            wanted[4][statistic] += 1
    for found, loop in zip((reference, placebos, excess, totals, rows), wanted, strict=True):
        assert np.array_equal(found, loop)


def test_edges_ascend() -> None:
    """A bin ends where the next begins."""
    for edges in (SPREAD_EDGES, SIZE_EDGES, QI_EDGES):
        assert all(low < high for low, high in itertools.pairwise(edges))
    assert math.log2(SIZE_EDGES[0]) == -34


@pytest.mark.parametrize(
    "move",
    [resampled_distances, getattr(resampled_distances, "py_func", resampled_distances)],
    ids=["compiled", "interpreted"],
)
@pytest.mark.parametrize("stepped", [0, 3, 5])
def test_days_move_as_matrices_say(move: Callable[..., None], stepped: int) -> None:
    """The sums of a day are those of its blocks, as often as they were drawn; the area ends with the steps."""
    random = np.random.default_rng(2)
    drawn = random.integers(0, 3, (7, 4))
    drawn[:, 0] += 1
    excess, totals = random.integers(-9, 9, (4, 5)).astype(float), random.integers(5, 9, 4).astype(float)
    real, steps = random.random(5), random.random(stepped)
    moved = np.full((3, 7), -1.0)
    move(drawn, excess, totals, real, steps, np.full(5, 77.0), moved)
    apart = drawn @ excess / (drawn @ totals)[:, None] - real
    ahead = np.abs(np.cumsum(apart, axis=1))
    np.testing.assert_allclose(moved[0], ahead.max(axis=1))
    np.testing.assert_allclose(moved[1], np.abs(apart).sum(axis=1) / 2)
    np.testing.assert_allclose(moved[2], ahead[:, :stepped] @ steps, atol=1e-15)
