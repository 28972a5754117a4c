"""The level comparison against sets, with the compiler and without."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity import level_comparison
from order_book_platform.kernels.fidelity.level_comparison import (
    ALL_EQUAL,
    ALL_KNOWN,
    BOOK_LEVELS,
    GHOST_LEVELS,
    MISSING_LEVELS,
    REFERENCE_LEVELS,
    ROW_COUNTS,
    add_by_age,
    compare_levels,
)
from order_book_platform.model.arrays import MISSING_PIPS

DEPTH = 4
Side = list[tuple[int, int]]

sides = st.dictionaries(st.integers(1, 8), st.integers(1, 2), max_size=DEPTH).map(
    lambda levels: sorted(levels.items())
)
full = st.dictionaries(st.integers(1, 8), st.integers(1, 2), min_size=DEPTH, max_size=DEPTH).map(
    lambda levels: sorted(levels.items())
)
Row = tuple[Side, Side, Side, Side, int, int]


@st.composite
def nearly_equal(draw: st.DrawFn) -> Row:
    """A row whose reference is the book itself, or has one size of its own, or one level less; most levels known."""
    ours = [draw(st.one_of(full, full, sides)) for _ in range(2)]
    theirs = [list(side) for side in ours]
    side, level, what = draw(st.integers(0, 1)), draw(st.integers(0, DEPTH - 1)), draw(st.integers(0, 3))
    if what == 0 and level < len(theirs[side]):
        away, amount = theirs[side][level]
        theirs[side][level] = away, 3 - amount
    elif what == 1:
        del theirs[side][level : level + 1]
    known = [draw(st.sampled_from([DEPTH - 1, DEPTH, DEPTH + 1])) for _ in range(2)]
    return ours[0], ours[1], theirs[0], theirs[1], known[0], known[1]


rows = st.lists(
    st.one_of(st.tuples(sides, sides, sides, sides, st.integers(0, 5), st.integers(0, 5)), nearly_equal()),
    max_size=5,
)


def fill(pairs: list[tuple[Side, Side]]) -> tuple[np.ndarray, np.ndarray]:
    """Sides given by distance from the best as price and size arrays; bids fall, asks rise."""
    price = np.full((len(pairs), 2, DEPTH), MISSING_PIPS, dtype=np.int64)
    size = np.zeros_like(price)
    for row, both in enumerate(pairs):
        for side, levels in enumerate(both):
            for level, (away, amount) in enumerate(levels):
                price[row, side, level] = 100 - away if side == 0 else 100 + away
                size[row, side, level] = amount
    return price, size


def count_with_sets(book: Side, known: int, reference: Side) -> tuple[int, int, int, int]:
    """Reference levels looked for, missing; book levels looked for, ghosts; prices as distance from the best."""
    claimed = dict(book[: min(known, DEPTH)])
    wanted = dict(reference)
    far = max(claimed, default=0)
    reach = max(wanted, default=0) if len(reference) == DEPTH else 99
    looked = {away for away in wanted if away <= far}
    checked = {away for away in claimed if away <= reach}
    return len(looked), len(looked - claimed.keys()), len(checked), len(checked - wanted.keys())


@pytest.mark.parametrize(
    "compare",
    [compare_levels, getattr(compare_levels, "py_func", compare_levels)],
    ids=["compiled", "interpreted"],
)
@given(drawn=rows)
def test_counts_equal_those_of_sets(compare: Callable[..., None], drawn: list[Row]) -> None:
    """Whatever the two ladders, each count is what set arithmetic gives."""
    book_price, book_size = fill([(bids, asks) for bids, asks, *_ in drawn])
    price, size = fill([(bids, asks) for _, _, bids, asks, _, _ in drawn])
    known = np.array([row[4:] for row in drawn], dtype=np.uint8).reshape(-1, 2)
    counts = np.full((len(drawn), ROW_COUNTS), -9, dtype=np.int64)
    levels = np.zeros((2, DEPTH, 2), dtype=np.int64)
    lying = [np.ascontiguousarray(levels.T).T for levels in (book_price, book_size)]  # as Parquet gives them
    compare(*lying, known, price, size, np.arange(len(drawn)), counts, levels)
    by_level = np.zeros_like(levels)
    for row, (bids, asks, their_bids, their_asks, *claims) in enumerate(drawn):
        sums = np.zeros(4, dtype=np.int64)
        for side, (ours, theirs) in enumerate(((bids, their_bids), (asks, their_asks))):
            sums += count_with_sets(ours, claims[side], theirs)
            for level in range(min(claims[side], DEPTH)):
                by_level[side, level] += 1, ours[level : level + 1] == theirs[level : level + 1]
        assert (
            counts[row, [REFERENCE_LEVELS, MISSING_LEVELS, BOOK_LEVELS, GHOST_LEVELS]].tolist()
            == sums.tolist()
        )
        assert counts[row, ALL_EQUAL] == ((bids, asks) == (their_bids, their_asks))
        assert counts[row, ALL_KNOWN] == (min(claims) >= DEPTH)
    assert levels.tolist() == by_level.tolist()


@pytest.mark.parametrize(
    "compare",
    [compare_levels, getattr(compare_levels, "py_func", compare_levels)],
    ids=["compiled", "interpreted"],
)
@given(drawn=rows.filter(bool), data=st.data())
def test_references_that_are_looked_up_count_as_if_they_stood_beside(
    compare: Callable[..., None],
    drawn: list[Row],
    data: st.DataObject,
) -> None:
    """Any reference row for any book row, one for several too, gives the counts of the two side by side."""
    book_price, book_size = fill([(bids, asks) for bids, asks, *_ in drawn])
    price, size = fill([(bids, asks) for _, _, bids, asks, _, _ in drawn])
    known = np.array([row[4:] for row in drawn], dtype=np.uint8).reshape(-1, 2)
    places = st.integers(0, len(drawn) - 1)
    at = np.array(data.draw(st.lists(places, min_size=len(drawn), max_size=len(drawn))), np.int64)
    counts, beside = np.full((2, len(drawn), ROW_COUNTS), -9, dtype=np.int64)
    levels, levels_beside = np.zeros((2, 2, DEPTH, 2), dtype=np.int64)
    compare(book_price, book_size, known, price, size, at, counts, levels)
    beside_it = np.arange(len(drawn))
    compare_levels(book_price, book_size, known, price[at], size[at], beside_it, beside, levels_beside)
    assert counts.tolist() == beside.tolist()
    assert levels.tolist() == levels_beside.tolist()


errors = st.one_of(st.just(np.nan), st.integers(-9, 9).map(float))
compared = st.lists(st.tuples(st.booleans(), errors, errors, *[st.booleans()] * 3), max_size=9)


def columns(drawn: list[tuple[bool, float, float, bool, bool, bool]]) -> tuple[np.ndarray, ...]:
    """Exact, errors, known and chosen, as arrays."""
    exact, bid, ask, *known, chosen = (list(column) for column in zip(*drawn, strict=True))
    return (
        np.array(exact, dtype=np.bool_),
        np.array([bid, ask]).T.reshape(-1, 2),
        np.array(known, dtype=np.bool_).T.reshape(-1, 2),
        np.array(chosen, dtype=np.bool_),
    )


top = st.one_of(st.just((MISSING_PIPS, 0)), st.tuples(st.integers(1, 3), st.integers(1, 2)))


TIME_EDGES, MESSAGE_EDGES = [0, 5, 20], [0, 2, 3, 9]
numbers = st.sets(st.integers(0, 30), max_size=8).map(sorted)
aged = st.dictionaries(
    st.integers(0, 30), st.tuples(st.integers(0, 60), st.booleans(), st.booleans(), st.booleans()), max_size=9
).map(lambda drawn: sorted(drawn.items()))


@pytest.mark.parametrize(
    "add", [add_by_age, getattr(add_by_age, "py_func", add_by_age)], ids=["compiled", "interpreted"]
)
@given(drawn=aged, used=numbers, cut=st.integers(0, 9))
def test_rows_are_added_up_by_their_ages(
    add: Callable[..., None], drawn: list[tuple], used: list[int], cut: int
) -> None:
    """The age is that of the last used snapshot at or before the row; without one the row is left out."""
    snapshots = sorted({number for number, _ in drawn} | set(used))
    places = [number // 2 for number in snapshots]
    number = np.array([at for at, _ in drawn], np.int64)
    time = np.array([values[0] for _, values in drawn], np.int64)
    exact = np.array([values[1] for _, values in drawn], np.bool_)
    counts = np.zeros((len(drawn), ROW_COUNTS), np.int64)
    for row, (at, (_, _, equal, known)) in enumerate(drawn):
        counts[row] = (equal, known, 20 + at, at % 3, 30 + at, at % 5)
    by_time, by_messages = (
        np.zeros((len(edges), level_comparison.AGE_COLUMNS), np.int64)
        for edges in (TIME_EDGES, MESSAGE_EDGES)
    )
    cursors, moments = np.zeros(level_comparison.CURSORS, np.int64), np.zeros(5)
    for part in (slice(0, cut), slice(cut, None)):
        add(
            *(number[part], time[part], exact[part], counts[part]),
            *(np.array(snapshots, np.int64), np.array(places, np.int64)),
            *(np.array(used, np.int64), np.array(used, np.int64), np.array(used, np.int64) // 2),
            *(cursors, np.array(TIME_EDGES), np.array(MESSAGE_EDGES), by_time, by_messages, moments),
        )
    wanted_time, wanted_messages, wanted_moments = by_time * 0, by_messages * 0, [0.0] * 5
    for at, (when, right, equal, known) in drawn:
        last = max((each for each in used if each <= at), default=None)
        if last is None:
            continue
        values = (1, right, known, known and equal, at % 3, at % 5)
        age, messages = max(0, when - last), at // 2 - last // 2
        wanted_time[bisect_right(TIME_EDGES, age) - 1] += values
        wanted_messages[bisect_right(MESSAGE_EDGES, messages) - 1] += values
        if known:
            seconds = age / 1e9
            for place, value in enumerate((1, seconds, seconds**2, equal, seconds * equal)):
                wanted_moments[place] += value
    assert np.array_equal(by_time, wanted_time)
    assert np.array_equal(by_messages, wanted_messages)
    assert moments.tolist() == pytest.approx(wanted_moments)
