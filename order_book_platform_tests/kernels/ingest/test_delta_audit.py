"""Counting duplicates and finding the tick, against plain Python."""

from __future__ import annotations

from itertools import pairwise
from math import gcd

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.ingest import delta_audit

Row = tuple[int, bool, int, int, int, int]
rows = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.booleans(),
        st.integers(1, 4),
        st.integers(0, 2),
        st.integers(0, 1),
        st.integers(-1, 5),
    ),
    max_size=60,
)
"""Sequence number, side, tick, size, arrival, origin time."""


def audited(made: list[Row], cuts: list[int], slots: int = 1024) -> tuple[np.ndarray, int]:
    """Counts of rows that come in batches of whole messages, and how often the table was too small."""
    sequence, is_bid, tick, size, received, origin = (
        np.array([row[at] for row in made], np.bool_ if at == 1 else np.int64) for at in range(6)
    )
    price = tick * 10**7
    counts, grown = np.zeros(delta_audit.AUDIT_COUNTS, np.int64), 0
    starts = np.searchsorted(sequence, cuts).tolist()
    for start, stop in pairwise([0, *sorted(starts), len(made)]):
        columns = [each[start:stop] for each in (origin, received, sequence, is_bid, price, price, size)]
        row, table = 0, (np.zeros(slots, np.int64), np.full(slots, -1, np.int64))
        while row < stop - start:
            row = delta_audit.audit_messages(*columns, row, *table, counts)
            if row < stop - start:
                grown += 1
                table = np.zeros(1024, np.int64), np.full(1024, -1, np.int64)
    return counts, grown


@given(rows, st.lists(st.integers(0, 4), max_size=3))
def test_everything_that_is_counted(made: list[Row], cuts: list[int]) -> None:
    """A row like an earlier one of its message is a duplicate, the same level set otherwise is repeated."""
    made = sorted(made, key=lambda row: row[0])
    counts, _ = audited(made, cuts)
    last: dict[tuple[int, bool, int], tuple[int, int, int]] = {}
    duplicates = repeated = 0
    for number, bid, tick, *said in made:
        before = last.get((number, bid, tick))
        duplicates += before == tuple(said)
        repeated += before not in (None, tuple(said))
        last[number, bid, tick] = (said[0], said[1], said[2])
    assert counts[delta_audit.DUPLICATES] == duplicates
    assert counts[delta_audit.REPEATED_LEVELS] == repeated
    assert counts[delta_audit.DELETIONS] == sum(row[3] == 0 for row in made)
    messages = [[row for row in made if row[0] == number] for number in sorted({row[0] for row in made})]
    assert counts[delta_audit.MESSAGES] == len(messages)
    assert counts[delta_audit.LONGEST] == max((len(message) for message in messages), default=0)
    assert counts[delta_audit.ORIGIN_BACK] == sum(
        after[0][5] < before[0][5] for before, after in pairwise(messages)
    )
    known = [row[5] for row in made if row[5] > 0]
    extremes = {
        delta_audit.FIRST_ORIGIN: min(known, default=0),
        delta_audit.LAST_ORIGIN: max(known, default=0),
        delta_audit.FIRST_RECEIVED: min((row[4] for row in made), default=0),
        delta_audit.LAST_RECEIVED: max((row[4] for row in made), default=0),
        delta_audit.SMALLEST_PRICE: min((row[2] * 10**7 for row in made), default=0),
        delta_audit.LARGEST_PRICE: max((row[2] * 10**7 for row in made), default=0),
        delta_audit.LARGEST_SIZE: max((row[3] for row in made), default=0),
    }
    assert {which: counts[which] for which in extremes} == extremes


def test_a_table_that_is_too_small_is_asked_for() -> None:
    """A long message out of order needs one; one in order of price does not."""
    long: list[Row] = [(1, True, tick, 1, 1, 1) for tick in (*range(1, 40), 7)]
    counts, grown = audited(long, [], slots=64)
    assert (
        grown,
        counts[delta_audit.REPEATED_LEVELS] + counts[delta_audit.DUPLICATES],
        counts[delta_audit.MESSAGES],
    ) == (
        1,
        1,
        1,
    )
    assert audited(long[:-1], [], slots=64)[1] == 0


@given(st.lists(st.integers(0, 10**15), max_size=20), st.integers(0, 10**9))
def test_common_divisor(values: list[int], start: int) -> None:
    """The same as math.gcd over all of them."""
    assert delta_audit.common_divisor(np.array(values, np.int64), start) == gcd(start, *values)
