"""Counting duplicates and finding the tick, against plain Python."""

from __future__ import annotations

from math import gcd

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels import audit

rows = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 4), st.integers(0, 2), st.integers(0, 1)),
    max_size=60,
)


@given(rows)
def test_duplicates_and_repeated_levels_are_counted(made: list[tuple[int, bool, int, int, int]]) -> None:
    """A row like an earlier one of its message is a duplicate; the same level set otherwise is repeated."""
    made = sorted(made, key=lambda row: row[0])
    sequence = np.array([row[0] for row in made], np.int64)
    is_bid = np.array([row[1] for row in made], np.bool_)
    price = np.array([row[2] * 10**7 for row in made], np.int64)
    size = np.array([row[3] for row in made], np.int64)
    received = np.array([row[4] for row in made], np.int64)
    counts = np.zeros(audit.AUDIT_COUNTS, np.int64)
    audit.audit_messages(
        sequence,
        received,
        sequence,
        is_bid,
        price,
        size,
        np.zeros(1024, np.int64),
        np.full(1024, -1, np.int64),
        counts,
    )
    last: dict[tuple[int, bool, int], tuple[int, int]] = {}
    duplicates = repeated = 0
    for number, bid, tick, amount, arrival in made:
        before = last.get((number, bid, tick))
        if before is not None:
            duplicates += before == (amount, arrival)
            repeated += before != (amount, arrival)
        last[number, bid, tick] = (amount, arrival)
    assert counts[audit.DUPLICATES] == duplicates
    assert counts[audit.REPEATED_LEVELS] == repeated
    assert counts[audit.DELETIONS] == sum(row[3] == 0 for row in made)


@given(st.lists(st.integers(0, 10**15), max_size=20), st.integers(0, 10**9))
def test_common_divisor(values: list[int], start: int) -> None:
    """The same as math.gcd over all of them."""
    assert audit.common_divisor(np.array(values, np.int64), start) == gcd(start, *values)
