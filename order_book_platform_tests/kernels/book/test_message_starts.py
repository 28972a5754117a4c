"""Looking a batch over, against plain numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.kernels.book.bits import divisor_inverse
from order_book_platform.kernels.book.message_starts import find_bad_level, find_messages

STEP = 50


@given(st.lists(st.integers(1, 5), min_size=1, max_size=30), st.integers(-(2**62), 2**62))
def test_starts_of_messages(lengths: list[int], first: int) -> None:
    """Messages of any length are found, and the end of the last one."""
    sequence = np.repeat(np.arange(len(lengths)) * 3 + first, lengths)
    starts = np.full(len(sequence) + 1, -9)
    assert find_messages(sequence, starts) == len(lengths)
    np.testing.assert_array_equal(starts[: len(lengths) + 1], np.cumsum([0, *lengths]))


@given(st.lists(st.integers(0, 20), min_size=2, max_size=30))
def test_the_first_step_back_is_named(sequence: list[int]) -> None:
    """The row whose sequence number is smaller than the one before, and only then."""
    array = np.array(sequence)
    back = np.flatnonzero(np.diff(array) < 0)
    found = int(find_messages(array, np.empty(len(array) + 1, np.int64)))
    assert found == (-1 - int(back[0]) - 1 if len(back) else len(set(sequence)))


prices = st.sampled_from([STEP, 3 * STEP, STEP * 10**12, (2**62 - 1) // STEP * STEP])
wrong = st.sampled_from([0, -STEP, STEP + 1, STEP - 1, 2**62 // STEP * STEP + STEP, 2**63 - 1, -(2**63)])


@given(
    st.lists(
        st.tuples(
            st.one_of(prices, prices, prices, prices, wrong), st.sampled_from([0, 0, 1, 2**63 - 1, -1])
        ),
        max_size=40,
    )
)
def test_the_first_bad_level_is_named(levels: list[tuple[int, int]]) -> None:
    """Off the step, not positive, too large, or a negative size: the first of them, or −1."""
    price, size = np.array(levels, np.int64).reshape(-1, 2).T.copy()
    bad = (price % STEP != 0) | (price <= 0) | (price >= 2**62) | (size < 0)
    wanted = int(bad.argmax()) if bad.any() else -1
    assert find_bad_level(price, size, *divisor_inverse(STEP), (2**62 - 1) // STEP) == wanted
