"""Each metric against a slow version that can be read at a glance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.reconstructed_books.rows import BookHeads
from order_book_platform.fidelity.metrics.tallies import (
    CLAIMED,
    EVERY,
    BestTally,
    BookFacts,
    FactTally,
    LevelTally,
    compare_best,
    share,
)
from order_book_platform.model import BookFlag
from order_book_platform.model.levels import MISSING_PIPS

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
    tally = BestTally()
    first = np.arange(len(rows)) < split
    tally.add(best, known, first)
    tally.add(best, known, ~first)
    assert tally.exact_share == (sum(a == b for a, b, _ in rows) / len(rows) if rows else None)
    assert tally.both_known == sum(all(claimed) for *_, claimed in rows)
    for side in range(2):
        assert tally.unknown(side) == sum(not claimed[side] for *_, claimed in rows)
        for part, counted in ((EVERY, (True, False)), (CLAIMED, (True,))):
            errors = [
                (a[side][0] - b[side][0]) / TICK
                for a, b, claimed in rows
                if MISSING_PIPS not in (a[side][0], b[side][0]) and claimed[side] in counted
            ]
            rms = tally.rms_ticks(part, side)
            assert tally.priced(part, side) == len(errors)
            assert tally.off(part, side) == sum(error != 0 for error in errors)
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


def test_level_tallies_of_pieces_add_up_to_that_of_the_whole() -> None:
    """A day measured in pieces gives the same counts as in one."""
    random = np.random.default_rng(3)
    price = np.sort(random.integers(1, 9, (40, 2, 3)), axis=2)
    price[:, 0] *= -1
    price += 100
    size, other = random.integers(1, 3, (2, 40, 2, 3))
    known = random.integers(0, 4, (40, 2)).astype(np.uint8)
    reference = np.roll(price, 1, axis=0)
    whole, pieces = LevelTally(3), LevelTally(3)
    whole.add(price, size, known, reference, other)
    for rows in (slice(0, 7), slice(7, 7), slice(7, 40)):
        pieces.add(price[rows], size[rows], known[rows], reference[rows], other[rows])
    for name in LevelTally.__dataclass_fields__:
        assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name
    assert whole.rows == 40
    assert 0 < whole.ghosts < whole.book_levels
    assert 0 < whole.missing < whole.reference_levels


heads = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.integers(0, 50),
        st.sampled_from([0, 1, 3, 64, 65]),
        st.integers(1, 3),
        st.one_of(st.integers(1, 3), st.just(MISSING_PIPS)),
    ),
    max_size=25,
)


def gathered(parts: list[BookHeads], *plausible_ns: tuple[int, int]) -> BookFacts:
    """Facts of a book that comes in parts."""
    tally = FactTally(*plausible_ns)
    for part in parts:
        tally.add(part)
    return tally.facts


@given(heads, st.lists(st.integers(0, 25), max_size=3))
def test_facts_equal_those_of_a_loop(rows: list[tuple[int, int, int, int, int]], cuts: list[int]) -> None:
    """Crossed and locked time, flags, order and seed equal a loop over rows, however the file is cut."""
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 5)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = (columns[start:stop] for start, stop in itertools.pairwise(edges))
    facts = gathered([BookHeads(p[:, 0], p[:, 1], p[:, 2].astype(np.uint8), p[:, 3:]) for p in parts])
    assert facts.rows == len(rows)
    assert facts.flagged == sum(bool(row[2] & (BookFlag.GAP | BookFlag.HINDSIGHT)) for row in rows)
    assert facts.out_of_order == sum(
        row[0] < max([r[0] for r in rows[:at]], default=0) for at, row in enumerate(rows)
    )
    judged = next((rows[at:] for at, row in enumerate(rows) if row[2] & BookFlag.SEEDED), [])
    assert facts.first_seed == (judged[0][0] if judged else None)
    assert facts.seeded_rows == len(judged)
    crossed = locked = span = 0
    latest = list(itertools.accumulate((row[1] for row in judged), max))
    for at, row in enumerate(judged[:-1]):
        held = latest[at + 1] - latest[at]
        span += held
        crossed += held * (row[4] != MISSING_PIPS and row[3] > row[4])
        locked += held * (row[3] == row[4])
    assert (facts.crossed_ns, facts.locked_ns, facts.span_ns) == (crossed, locked, span)


@pytest.mark.parametrize("where", [0, 1, 2, 4])
@pytest.mark.parametrize("wrong", [0, -5, 10**18])
def test_a_time_that_cannot_be_weighs_nothing(where: int, wrong: int) -> None:
    """The row stands where the one before it does; first and last times are of the others."""
    times = [100, 110, 120, 130, 150]
    times[where] = wrong
    crossed = np.array([[2, 1]] * 5)
    flags = np.array([0, BookFlag.SEEDED, 0, 0, 0], dtype=np.uint8)
    rows = BookHeads(np.arange(5), np.array(times), flags, crossed)
    for cut in range(6):
        facts = gathered([rows.take(slice(0, cut)), rows.take(slice(cut, 5))], (50, 200))
        known = [time for time in times if time != wrong]
        judged = [time for time in times[1:] if time != wrong]
        assert (facts.mistimed, facts.rows, facts.seeded_rows) == (1, 5, 4)
        assert (facts.first_time_ns, facts.last_time_ns) == (known[0], known[-1])
        assert facts.span_ns == facts.crossed_ns == judged[-1] - judged[0]


def test_a_share_of_nothing_is_no_figure() -> None:
    """Without observations there is None, not 0 and not an error."""
    assert share(0, 0) is None
    assert BestTally().exact_share is None
    assert BestTally().rms_ticks(EVERY, 0) is None
    assert BestTally().rms_ticks(CLAIMED, 0) is None


def test_reference_rows_that_are_looked_up_are_compared_like_those_beside() -> None:
    """A tally over named rows equals that over the same rows copied."""
    random = np.random.default_rng(5)
    price = np.sort(random.integers(1, 9, (30, 2, 3)), axis=2)
    size, other = random.integers(1, 3, (2, 30, 2, 3))
    known = random.integers(0, 4, (30, 2)).astype(np.uint8)
    at = random.integers(0, 30, 30)
    named, copied = LevelTally(3), LevelTally(3)
    named.add(price, size, known, price, other, at)
    copied.add(price, size, known, price[at], other[at])
    for name in LevelTally.__dataclass_fields__:
        assert np.array_equal(getattr(named, name), getattr(copied, name)), name
    assert 0 < named.missing < named.reference_levels
