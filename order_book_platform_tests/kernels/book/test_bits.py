"""The two instructions, held against plain arithmetic."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from order_book_platform.kernels.book.bits import divisor_inverse, exact_quotient, lowest_bit


@njit
def _lowest(word):  # type: ignore[no-untyped-def]
    return lowest_bit(word)


@njit
def _quotient(value, inverse, twos):  # type: ignore[no-untyped-def]
    return exact_quotient(value, inverse, twos)


@given(st.integers(1, 2**64 - 1))
def test_lowest_bit(word: int) -> None:
    """The index of the lowest set bit, for every word but 0."""
    assert int(_lowest(np.uint64(word))) == (word & -word).bit_length() - 1


divisors = st.one_of(
    st.integers(1, 2**62), st.integers(0, 62).map(lambda k: 2**k), st.sampled_from([10**k for k in range(19)])
)


@given(divisors, st.data())
def test_a_multiple_gives_its_quotient(divisor: int, data: st.DataObject) -> None:
    """Whatever the divisor, and up to the largest int64."""
    quotient = data.draw(st.integers(0, (2**63 - 1) // divisor))
    inverse, twos = divisor_inverse(divisor)
    assert int(_quotient(np.int64(quotient * divisor), np.uint64(inverse), twos)) == quotient


@given(divisors, st.integers(-(2**63), 2**63 - 1))
def test_anything_else_gives_a_number_out_of_range(divisor: int, value: int) -> None:
    """What the divisor does not divide comes out negative or above every tick that a price below 2**62 can have."""
    inverse, twos = divisor_inverse(divisor)
    result = int(_quotient(np.int64(value), np.uint64(inverse), twos))
    valid = 1 <= result <= (2**62 - 1) // divisor
    assert valid == (value % divisor == 0 and 0 < value < 2**62)
