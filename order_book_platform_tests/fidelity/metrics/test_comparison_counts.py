"""Counts of best prices and levels against loops that can be read at a glance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.fidelity.metrics.comparison_counts import (
    CLAIMED,
    EVERY,
    BestPriceCounts,
    LevelCounts,
    compare_best,
    share,
)
from order_book_platform.model.arrays import MISSING_PIPS

TICK = 5

level = st.one_of(
    st.just((MISSING_PIPS, 0)), st.tuples(st.integers(1, 6).map(lambda tick: tick * TICK), st.integers(1, 3))
)
top = st.tuples(level, level)


def arrays(rows: list[tuple[tuple[int, int], tuple[int, int]]]) -> tuple[np.ndarray, np.ndarray]:
    """Best levels as price and size arrays [n, 2, 1]."""
    cube = np.array(rows, dtype=np.int64).reshape(len(rows), 2, 1, 2)
    return cube[..., 0], cube[..., 1]


claims = st.tuples(st.booleans(), st.booleans())


@given(st.lists(st.tuples(top, top, claims), max_size=30), st.integers(0, 30))
def test_best_prices_add_up_to_what_a_loop_finds(
    rows: list[tuple[object, object, tuple[bool, bool]]], split: int
) -> None:
    """Shares and RMS in ticks, of all rows and of known ones, equal a loop, however the rows are cut into pieces."""
    ours, theirs = [row[0] for row in rows], [row[1] for row in rows]
    known = np.array([row[2] for row in rows], dtype=np.bool_).reshape(-1, 2)
    best = compare_best(*arrays(ours), *arrays(theirs), TICK)
    counts = BestPriceCounts()
    first = np.arange(len(rows)) < split
    counts.add(best, known, first)
    counts.add(best, known, ~first)
    assert counts.exact_share == (sum(a == b for a, b, _ in rows) / len(rows) if rows else None)
    assert counts.both_known == sum(all(claimed) for *_, claimed in rows)
    for side in range(2):
        assert counts.unknown(side) == sum(not claimed[side] for *_, claimed in rows)
        for part, counted in ((EVERY, (True, False)), (CLAIMED, (True,))):
            errors = [
                (a[side][0] - b[side][0]) / TICK
                for a, b, claimed in rows
                if MISSING_PIPS not in (a[side][0], b[side][0]) and claimed[side] in counted
            ]
            rms = counts.rms_ticks(part, side)
            assert counts.priced(part, side) == len(errors)
            assert counts.off(part, side) == sum(error != 0 for error in errors)
            if errors:
                assert rms == pytest.approx(math.sqrt(sum(error**2 for error in errors) / len(errors)))
            else:
                assert rms is None


def test_an_empty_side_is_not_exact_and_has_no_price_error() -> None:
    """A book without a best ask differs from a reference that has one, but by no number of ticks."""
    book, reference = [((50, 1), (MISSING_PIPS, 0))], [((50, 1), (55, 1))]
    best = compare_best(*arrays(book), *arrays(reference), TICK)
    assert not best.exact[0]
    assert best.error_ticks[0, 0] == 0.0
    assert math.isnan(best.error_ticks[0, 1])


def test_level_counts_of_pieces_add_up_to_that_of_the_whole() -> None:
    """A day measured in pieces gives the same counts as in one."""
    random = np.random.default_rng(3)
    price = np.sort(random.integers(1, 9, (40, 2, 3)), axis=2)
    price[:, 0] *= -1
    price += 100
    size, other = random.integers(1, 3, (2, 40, 2, 3))
    known = random.integers(0, 4, (40, 2)).astype(np.uint8)
    reference = np.roll(price, 1, axis=0)
    whole, pieces = LevelCounts(3), LevelCounts(3)
    whole.add(price, size, known, reference, other)
    for rows in (slice(0, 7), slice(7, 7), slice(7, 40)):
        pieces.add(price[rows], size[rows], known[rows], reference[rows], other[rows])
    for name in LevelCounts.__dataclass_fields__:
        assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name
    assert whole.rows == 40
    assert 0 < whole.ghosts < whole.book_levels
    assert 0 < whole.missing < whole.reference_levels


def test_a_share_of_nothing_is_no_figure() -> None:
    """Without observations there is None, not 0 and not an error."""
    assert share(0, 0) is None
    assert BestPriceCounts().exact_share is None
    assert BestPriceCounts().rms_ticks(EVERY, 0) is None
    assert BestPriceCounts().rms_ticks(CLAIMED, 0) is None


def test_reference_rows_that_are_looked_up_are_compared_like_those_beside() -> None:
    """Counts over named rows equal those over the same rows copied."""
    random = np.random.default_rng(5)
    price = np.sort(random.integers(1, 9, (30, 2, 3)), axis=2)
    size, other = random.integers(1, 3, (2, 30, 2, 3))
    known = random.integers(0, 4, (30, 2)).astype(np.uint8)
    at = random.integers(0, 30, 30)
    named, copied = LevelCounts(3), LevelCounts(3)
    named.add(price, size, known, price, other, at)
    copied.add(price, size, known, price[at], other[at])
    for name in LevelCounts.__dataclass_fields__:
        assert np.array_equal(getattr(named, name), getattr(copied, name)), name
    assert 0 < named.missing < named.reference_levels
