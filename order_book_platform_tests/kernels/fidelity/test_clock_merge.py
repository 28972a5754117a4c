"""Two streams of best prices in order of time, against a loop over all pairs, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity import clock_merge
from order_book_platform.model.arrays import MISSING_PIPS

TICK = 2
Level = tuple[int, int]
Row = tuple[int, Level, Level, int, int]

level = st.one_of(st.just((MISSING_PIPS, 0)), st.tuples(st.integers(1, 3), st.integers(1, 2)))
rows = st.lists(
    st.tuples(st.integers(0, 12), level, level, st.integers(0, 1), st.integers(0, 1)), max_size=8
).map(lambda drawn: sorted(drawn, key=lambda row: row[0]))


def naive(books: list[Row], tickers: list[Row]) -> tuple[list[int], list[float]]:
    """Counts and squares, row by row and ns by ns."""
    counts, squares = [0] * clock_merge.COUNTS_SIZE, [0.0] * clock_merge.SQUARES_SIZE
    last = tickers[-1][0] if tickers else -1
    for book in books:
        before = [row for row in tickers if row[0] <= book[0]]
        if not before or book[0] > last:
            continue
        counts[clock_merge.ROWS] += 1
        counts[clock_merge.PRICE_EXACT] += all(book[1 + s][0] == before[-1][1 + s][0] for s in range(2))
        counts[clock_merge.EXACT] += all(book[1 + s] == before[-1][1 + s] for s in range(2))
        for s in range(2):
            add(
                counts,
                squares,
                clock_merge.PRICED + s,
                clock_merge.SQUARES + s,
                book,
                before[-1],
                s,
                book[3 + s],
            )
    end = max((row[0] for row in books if row[0] <= last), default=-1)
    taken = [row for row in tickers if any(row[0] <= book[0] for book in books)]
    end = max(end, taken[-1][0] if taken else -1)
    for ns in range(end):
        before_books = [row for row in books if row[0] <= ns]
        before_tickers = [row for row in tickers if row[0] <= ns]
        if before_books and before_tickers:
            for s in range(2):
                pair = before_books[-1], before_tickers[-1]
                add(counts, squares, clock_merge.WEIGHED_NS + s, clock_merge.WEIGHED_SQUARES + s, *pair, s, 1)
    return counts, squares


def add(
    counts: list[int],
    squares: list[float],
    n: int,
    total: int,
    book: Row,
    ticker: Row,
    side: int,
    counted: int,
) -> None:
    """One more error, where it is defined."""
    ours, theirs = book[1 + side][0], ticker[1 + side][0]
    if counted and MISSING_PIPS not in (ours, theirs):
        counts[n] += 1
        squares[total] += ((ours - theirs) / TICK) ** 2


def arrays(drawn: list[Row]) -> tuple[np.ndarray, ...]:
    """Times, prices, sizes and claims."""
    sides = np.array([row[1:3] for row in drawn], dtype=np.int64).reshape(-1, 2, 2)
    return (
        np.array([row[0] for row in drawn], dtype=np.int64),
        sides[:, :, 0],
        sides[:, :, 1],
        np.array([row[3:] for row in drawn], dtype=np.uint8).reshape(-1, 2),
    )


@pytest.mark.parametrize(
    "run",
    [clock_merge.merge_by_clock, getattr(clock_merge.merge_by_clock, "py_func", clock_merge.merge_by_clock)],
    ids=["compiled", "interpreted"],
)
@given(books=rows, tickers=rows, steps=st.lists(st.tuples(st.booleans(), st.integers(0, 4)), max_size=8))
def test_sums_equal_those_of_a_loop_over_all_pairs(
    run: Callable[..., None], books: list[Row], tickers: list[Row], steps: list[tuple[bool, int]]
) -> None:
    """However the streams come in pieces; ties in time, missing sides, and rows after the last ticker included."""
    state, done = np.zeros(clock_merge.STATE_SIZE, np.int64), np.zeros(2, np.int64)
    counts, squares = np.zeros(clock_merge.COUNTS_SIZE, np.int64), np.zeros(clock_merge.SQUARES_SIZE)
    given_books = given_tickers = 0
    first_book = first_ticker = 0
    for of_books, more in [*steps, (True, 99), (False, 99)]:
        given_books = min(len(books), given_books + more * of_books)
        given_tickers = min(len(tickers), given_tickers + more * (not of_books))
        for ended in (False, True) if more == 99 and not of_books else (False,):
            ours = arrays(books[first_book:given_books])
            theirs = arrays(tickers[first_ticker:given_tickers])[:3]
            run(*ours, *theirs, TICK, ended, state, counts, squares, done)
            first_book, first_ticker = first_book + int(done[0]), first_ticker + int(done[1])
    expected_counts, expected_squares = naive(books, tickers)
    assert counts.tolist() == expected_counts
    assert squares.tolist() == pytest.approx(expected_squares)
