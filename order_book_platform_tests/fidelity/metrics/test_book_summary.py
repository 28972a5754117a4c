"""The summary of a book's rows against a loop over them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.reconstructed_books.rows import BookHeads
from order_book_platform.fidelity.metrics.book_summary import BookSummarizer, BookSummary
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS

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


def gathered(parts: list[BookHeads], *plausible_ns: tuple[int, int]) -> BookSummary:
    """Summary of a book that comes in parts."""
    summarizer = BookSummarizer(*plausible_ns)
    for part in parts:
        summarizer.add(part)
    return summarizer.summary


@given(heads, st.lists(st.integers(0, 25), max_size=3))
def test_summary_equal_those_of_a_loop(rows: list[tuple[int, int, int, int, int]], cuts: list[int]) -> None:
    """Crossed and locked time, flags, order and seed equal a loop over rows, however the file is cut."""
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 5)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    parts = (columns[start:stop] for start, stop in itertools.pairwise(edges))
    summary = gathered([BookHeads(p[:, 0], p[:, 1], p[:, 2].astype(np.uint8), p[:, 3:]) for p in parts])
    assert summary.rows == len(rows)
    assert summary.flagged == sum(bool(row[2] & (BookFlag.GAP | BookFlag.HINDSIGHT)) for row in rows)
    assert summary.out_of_order == sum(
        row[0] < max([r[0] for r in rows[:at]], default=0) for at, row in enumerate(rows)
    )
    judged = next((rows[at:] for at, row in enumerate(rows) if row[2] & BookFlag.SEEDED), [])
    assert summary.first_seed == (judged[0][0] if judged else None)
    assert summary.seeded_rows == len(judged)
    crossed = locked = span = 0
    latest = list(itertools.accumulate((row[1] for row in judged), max))
    for at, row in enumerate(judged[:-1]):
        held = latest[at + 1] - latest[at]
        span += held
        crossed += held * (row[4] != MISSING_PIPS and row[3] > row[4])
        locked += held * (row[3] == row[4])
    assert (summary.crossed_ns, summary.locked_ns, summary.span_ns) == (crossed, locked, span)


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
        summary = gathered([rows.take(slice(0, cut)), rows.take(slice(cut, 5))], (50, 200))
        known = [time for time in times if time != wrong]
        judged = [time for time in times[1:] if time != wrong]
        assert (summary.mistimed, summary.rows, summary.seeded_rows) == (1, 5, 4)
        assert (summary.first_time_ns, summary.last_time_ns) == (known[0], known[-1])
        assert summary.span_ns == summary.crossed_ns == judged[-1] - judged[0]
