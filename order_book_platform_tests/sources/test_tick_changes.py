"""Changes of the tick: found where they are, however the rows are cut, and not where a price is odd."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model import FixedPoint
from order_book_platform.sources.float_decoding import PipDecoder
from order_book_platform.sources.tick_changes import PIECE_ROWS, TickChangeDetector

PIECES = 6


def batch_of(encoded_price: np.ndarray) -> DeltaBatch:
    """A row per message, one every ns."""
    n = np.arange(len(encoded_price))
    return DeltaBatch(n, n, n, np.ones(len(n), np.bool_), encoded_price, n)


def of_ticks(ticks: list[int]) -> np.ndarray:
    """One piece of prices for each tick."""
    rng = np.random.default_rng(1)
    return np.concatenate([rng.integers(90_000, 110_000, PIECE_ROWS) // tick * tick for tick in ticks])


def changes(encoded_price: np.ndarray, cuts: list[int] = []) -> list[tuple[int, int, int]]:  # noqa: B006 - not changed
    """Row, old and new step of each change."""
    detector = TickChangeDetector(PipDecoder(FixedPoint()))
    whole = batch_of(encoded_price)
    bounds = [0, *sorted(cuts), len(whole)]
    for at in range(len(bounds) - 1):
        detector.feed(whole.slice(bounds[at], bounds[at + 1]))
    assert detector.tick_pips == np.gcd.reduce(encoded_price)
    return [(each.sequence_number, each.from_pips, each.to_pips) for each in detector.changes()]


@pytest.mark.parametrize(
    ("ticks", "wanted"),
    [
        ([10] * 6, []),
        ([10, 10, 10, 1, 1, 1], [(3, 10, 1)]),
        ([1, 1, 1, 10, 10, 10], [(3, 1, 10)]),
        ([10, 10, 1, 1, 10, 10], [(2, 10, 1), (4, 1, 10)]),
        ([10, 10, 1, 10, 10, 10], []),
        ([4, 4, 6, 6, 6, 6], [(2, 4, 2)]),
    ],
    ids=["none", "finer", "coarser", "finer for a while", "one odd piece", "another"],
)
def test_changes(ticks: list[int], wanted: list[tuple[int, int, int]]) -> None:
    """Each at the first row of the piece from which on it holds."""
    found = changes(of_ticks(ticks))
    assert [(row // PIECE_ROWS, old, new) for row, old, new in found] == wanted
    assert all(row % PIECE_ROWS == 0 for row, _, _ in found)


def test_one_stray_price_is_no_change() -> None:
    """The divisor of the day is finer for it; the tick did not change."""
    encoded_price = of_ticks([10] * PIECES)
    encoded_price[3 * PIECE_ROWS + 5] += 3
    assert changes(encoded_price) == []


@given(st.lists(st.integers(0, PIECES * PIECE_ROWS - 100), max_size=5))
@profile(max_examples=20)
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    """The same changes however the rows come, and rows that fill no piece are left out."""
    encoded_price = of_ticks([10, 10, 1, 1, 1, 1])[:-100]
    assert changes(encoded_price, cuts) == [(2 * PIECE_ROWS, 10, 1)]
