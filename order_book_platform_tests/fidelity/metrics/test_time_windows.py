"""Windows against a loop over rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.fidelity.metrics.comparison_counts import BestPrices
from order_book_platform.fidelity.metrics.time_windows import (
    MAX_WINDOWS,
    WINDOWS_SCHEMA,
    Windows,
    window_width_ns,
)

S = NS_PER_SECOND


@pytest.mark.parametrize(
    ("span_s", "width_s"),
    [(0, 1), (300, 1), (301, 2), (345, 2), (3_600, 15), (86_400, 300), (86_400 * 30, 8_640)],
)
def test_windows_have_round_widths(span_s: int, width_s: int) -> None:
    """A few minutes are cut into seconds, a day into minutes, never into more than `MAX_WINDOWS`."""
    assert window_width_ns(span_s * S) == width_s * S
    assert span_s <= width_s * MAX_WINDOWS


rows = st.lists(
    st.tuples(st.integers(0, 9), st.booleans(), st.one_of(st.none(), st.integers(-3, 3)), st.booleans()),
    max_size=20,
)


@given(rows)
def test_windows_add_up_row_by_row(drawn: list[tuple[int, bool, int | None, bool]]) -> None:
    """Counts, shares and errors of each window are those of its rows."""
    time = np.array([row[0] for row in drawn], dtype=np.int64) * S
    exact = np.array([row[1] for row in drawn], dtype=np.bool_)
    bid = np.array([math.nan if row[2] is None else float(row[2]) for row in drawn])
    valid = np.array([row[3] for row in drawn], dtype=np.bool_)
    windows = Windows(0, 9 * S)
    best = BestPrices(exact, np.stack([bid, np.full(len(drawn), math.nan)], 1).reshape(-1, 2))
    windows.add(time, best)
    windows.add_placebo(time, best, valid)
    frame = windows.frame()
    assert dict(frame.schema) == WINDOWS_SCHEMA
    assert frame["start_ns"].to_list() == [second * S for second in range(10)]
    for second, found in enumerate(frame.iter_rows(named=True)):
        here = [row for row in drawn if row[0] == second]
        errors = [row[2] for row in here if row[2] is not None]
        late = [row for row in here if row[3]]
        late_errors = [row[2] for row in late if row[2] is not None]
        assert found["n"] == len(here)
        assert found["exact_share"] == (sum(row[1] for row in here) / len(here) if here else None)
        assert found["placebo_exact_share"] == (sum(row[1] for row in late) / len(late) if late else None)
        for name, values in (("rms_bid_ticks", errors), ("placebo_rms_ticks", late_errors)):
            rms = math.sqrt(sum(value**2 for value in values) / len(values)) if values else None
            assert found[name] == pytest.approx(rms)
        assert found["rms_ask_ticks"] is None


def test_rows_outside_the_span_go_to_its_ends() -> None:
    """A clock that differs from the book's loses no row."""
    windows = Windows(10 * S, 12 * S)
    best = BestPrices(np.array([True, True]), np.zeros((2, 2)))
    windows.add(np.array([0, 99 * S]), best)
    assert windows.frame()["n"].to_list() == [1, 0, 1]
