"""Values beyond pips: counted at the decimals at which they are fewest, as a count one by one says."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.model.fixed_point import EXACT, EXACT_PIPS
from order_book_platform.sources.int64_overflow import Int64Overflow

VALUES = st.sampled_from([0.0, 0.25, 3.0, 1e9, 1e14, 1e17, 1e305, 1 / 3, 1e-9, 1e-19]) | st.floats(0, 1e12)


def is_beyond(value: float, decimals: int) -> bool:
    """By the shortest decimal of a float."""
    pips = Decimal(repr(value)).scaleb(decimals, EXACT)
    return pips > EXACT_PIPS or pips != pips.to_integral_value(context=EXACT)


@given(st.lists(st.lists(VALUES, min_size=1, max_size=12), max_size=4))
def test_fewest(batches: list[list[float]]) -> None:
    """Over batches: the least count of all decimals, and the first of these values with its place."""
    found, values = Int64Overflow(), [value for batch in batches for value in batch]
    start = 0
    for batch in batches:
        found.add(np.array(batch), lambda at, start=start: f"row {start + at}")  # type: ignore[misc]
        start += len(batch)
    beyond = [[at for at, value in enumerate(values) if is_beyond(value, places)] for places in range(19)]
    count, first = found.fewest
    assert count == min(map(len, beyond))
    rows = {rows[0] if rows else None for rows in beyond if len(rows) == count}
    assert (int(first.split()[1].rstrip(":")) if first else None) in rows
    assert not first or first.endswith(repr(values[int(first.split()[1].rstrip(":"))]))


def test_nothing_is_beyond() -> None:
    """No value, none beyond."""
    assert Int64Overflow().fewest == (0, "")
