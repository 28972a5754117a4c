"""Statistics of a book's rows against a plain loop over lists, with the compiler and without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.fidelity import book_statistics as stats
from order_book_platform.kernels.fidelity.book_statistics import add_book_rows
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS

EARLIEST, LATEST = 100, 200
Row = tuple[int, int, int, int, int]
prices = st.sampled_from([MISSING_PIPS, 5, 6, 7])
rows = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.integers(95, 205),
        st.sampled_from([0, 1, 1 | BookFlag.GAP, 128]),
        prices,
        prices,
    ),
    max_size=15,
)


def expected(drawn: list[Row]) -> dict[str, int]:
    """The same by Python's lists."""
    seeded = next((i for i, row in enumerate(drawn) if row[2] & BookFlag.SEEDED), len(drawn))
    plausible = [row[1] for row in drawn if EARLIEST <= row[1] <= LATEST]
    crossed = locked = span = 0
    held: tuple[int, int, int] | None = None
    prices_held = None
    for row in drawn[seeded:]:
        timed = EARLIEST <= row[1] <= LATEST
        if held is not None and timed:
            gone = max(row[1] - held[0], 0)
            span += gone
            bid, ask = prices_held  # type: ignore[misc]
            if MISSING_PIPS not in (bid, ask):
                crossed += gone * (bid > ask)
                locked += gone * (bid == ask)
        if timed:
            held = (row[1] if held is None else max(row[1], held[0]), 0, 0)
        prices_held = row[3], row[4]
    bids = [row[3] for row in drawn[seeded:] if row[3] != MISSING_PIPS]
    asks = [row[4] for row in drawn[seeded:] if row[4] != MISSING_PIPS]
    return {
        "ROWS": len(drawn),
        "FLAGGED": sum(bool(row[2] & (BookFlag.GAP | BookFlag.HINDSIGHT)) for row in drawn),
        "OUT_OF_ORDER": sum(row[0] < max(each[0] for each in drawn[: i + 1]) for i, row in enumerate(drawn)),
        "SEEDED_ROWS": len(drawn) - seeded,
        "MISTIMED": len(drawn) - len(plausible),
        "FIRST_TIME": plausible[0] if plausible else 0,
        "LAST_TIME": max(plausible, default=0),
        "CROSSED_NS": crossed,
        "LOCKED_NS": locked,
        "SPAN_NS": span,
        "LOWEST": min(bids, default=MISSING_PIPS if drawn else 0),
        "HIGHEST": max(asks, default=MISSING_PIPS if drawn else 0),
    }


@pytest.mark.parametrize(
    "add", [add_book_rows, getattr(add_book_rows, "py_func", add_book_rows)], ids=["compiled", "interpreted"]
)
@given(rows, st.integers(0, 15))
def test_statistics_equal_a_plain_loop(add: Callable[..., None], drawn: list[Row], cut: int) -> None:
    """Whatever the rows, and wherever they are cut in two calls."""
    state = np.zeros(stats.STATE_SIZE, np.int64)
    for part in (drawn[:cut], drawn[cut:]):
        columns = np.array(part, np.int64).reshape(-1, 5)
        add(
            *(columns[:, 0], columns[:, 1], columns[:, 2].astype(np.uint8), columns[:, 3:]),
            *(EARLIEST, LATEST, state),
        )
    found = {name: int(state[getattr(stats, name)]) for name in expected(drawn)}
    assert found == expected(drawn)
