"""The level comparison against sets, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity.level_comparison import (
    ALL_EQUAL,
    ALL_KNOWN,
    BOOK_LEVELS,
    GHOST_LEVELS,
    MISSING_LEVELS,
    REFERENCE_LEVELS,
    ROW_COUNTS,
    add_to_windows,
    compare_best_levels,
    compare_levels,
    tally_best,
)
from order_book_platform.model.levels import MISSING_PIPS

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


@pytest.mark.parametrize(
    "add", [tally_best, getattr(tally_best, "py_func", tally_best)], ids=["compiled", "interpreted"]
)
@given(drawn=compared.filter(bool))
def test_best_prices_add_up_to_those_of_a_loop_in_python(
    add: Callable[..., None], drawn: list[tuple[bool, float, float, bool, bool, bool]]
) -> None:
    """Rows, claims, errors of all rows and of claimed ones, on top of what was there."""
    rows, priced, squares = np.arange(5), np.arange(8).reshape(2, 2, 2), np.arange(4.0).reshape(2, 2)
    add(*columns(drawn), rows, priced, squares)
    kept = [row for row in drawn if row[5]]
    assert (rows - np.arange(5)).tolist() == [
        len(kept),
        sum(row[0] for row in kept),
        sum(row[3] and row[4] for row in kept),
        *(sum(not row[3 + side] for row in kept) for side in range(2)),
    ]
    for claimed in range(2):
        for side in range(2):
            found = [
                row[1 + side]
                for row in kept
                if row[1 + side] == row[1 + side] and (row[3 + side] or not claimed)
            ]
            base = claimed * 4 + side * 2
            assert priced[claimed, side].tolist() == [
                base + len(found),
                base + 1 + sum(e != 0 for e in found),
            ]
            assert squares[claimed, side] == claimed * 2 + side + sum(e**2 for e in found)


@pytest.mark.parametrize(
    "add",
    [add_to_windows, getattr(add_to_windows, "py_func", add_to_windows)],
    ids=["compiled", "interpreted"],
)
@given(drawn=compared.filter(bool), data=st.data())
def test_windows_add_up_to_those_of_a_loop_in_python(
    add: Callable[..., None], drawn: list[tuple[bool, float, float, bool, bool, bool]], data: st.DataObject
) -> None:
    """Each chosen row goes to its window."""
    bins = data.draw(st.lists(st.integers(0, 2), min_size=len(drawn), max_size=len(drawn)))
    exact, errs, _, chosen = columns(drawn)
    rows, squares = np.zeros((4, 3)), np.zeros((2, 3))
    add(np.array(bins), exact, errs, chosen, rows, squares)
    for window in range(3):
        kept = [row for row, at in zip(drawn, bins, strict=True) if at == window and row[5]]
        sides = [[row[1 + side] for row in kept if row[1 + side] == row[1 + side]] for side in range(2)]
        assert rows[:, window].tolist() == [len(kept), sum(row[0] for row in kept), *map(len, sides)]
        assert squares[:, window].tolist() == [sum(error**2 for error in side) for side in sides]


top = st.one_of(st.just((MISSING_PIPS, 0)), st.tuples(st.integers(1, 3), st.integers(1, 2)))


@pytest.mark.parametrize(
    "compare",
    [compare_best_levels, getattr(compare_best_levels, "py_func", compare_best_levels)],
    ids=["compiled", "interpreted"],
)
@given(
    ours=st.lists(st.tuples(top, top), max_size=6),
    theirs=st.lists(st.tuples(top, top), min_size=1, max_size=6),
    data=st.data(),
)
def test_best_levels_are_compared_as_they_read(
    compare: Callable[..., None],
    ours: list[tuple[tuple[int, int], ...]],
    theirs: list[tuple[tuple[int, int], ...]],
    data: st.DataObject,
) -> None:
    """Exact is equality of all four numbers; an error is the difference of two prices that both exist, in ticks."""
    at = data.draw(st.lists(st.integers(0, len(theirs) - 1), min_size=len(ours), max_size=len(ours)))
    book, reference = (
        np.array(rows, np.int64).reshape(len(rows), 2, 1, 2).transpose(3, 0, 1, 2) for rows in (ours, theirs)
    )
    exact, errors = np.zeros(len(ours), np.bool_), np.zeros((len(ours), 2))
    compare(*book, *reference, np.array(at, np.int64), 4.0, exact, errors)
    for row, place in enumerate(at):
        assert exact[row] == (ours[row] == theirs[place])
        for side in range(2):
            prices = ours[row][side][0], theirs[place][side][0]
            if MISSING_PIPS in prices:
                assert np.isnan(errors[row, side])
            else:
                assert errors[row, side] == (prices[0] - prices[1]) / 4
