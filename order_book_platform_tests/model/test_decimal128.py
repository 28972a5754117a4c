"""Decimals as arrays: every step exact, or refused; held against Python's integers and decimals."""

from __future__ import annotations

from decimal import Decimal
from math import gcd

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import DecimalRangeError
from order_book_platform.model.decimal128 import (
    CODE_LIMIT,
    DECIMAL,
    common_divisor,
    decimal_array,
    decimal_words,
    divide,
    float_pips,
    float_to_decimal,
    multiply,
    unrepresentable,
    unscaled_integers,
)
from order_book_platform.model.fixed_point import EXACT, FixedPoint
from order_book_platform_tests.decimals import words_from_integers

UNSCALED = st.integers(0, 10**38 - 1)
SIGNED = st.integers(-(10**38) + 1, 10**38 - 1)
UNITS = st.integers(1, 10**30) | st.integers(0, 126).map(lambda bits: 1 << bits)


def shortest(value: float) -> Decimal:
    """The shortest decimal of a float, as Python prints it."""
    return Decimal(repr(value))


@given(st.lists(st.floats(1e-3, 1e18), max_size=40), st.integers(0, 12))
def test_floats_become_their_shortest_decimals(values: list[float], places: int) -> None:
    """What Python prints is what is kept, for prices of few digits and for any float of at most 18 decimals."""
    kept = [
        v for v in [*values, *(round(v, places) for v in values)] if -shortest(v).as_tuple().exponent <= 18
    ]
    found = float_to_decimal(np.array(kept, np.float64))
    assert found.type == DECIMAL
    assert found.to_pylist() == [shortest(value) for value in kept]


@pytest.mark.parametrize(
    "value",
    [
        1e-19,
        0.0012345678901234567,
        1e20,
        123456789012345678901.0,
        6.856847801929392e20,
        1e30,
        1e305,
        1e-54,
        5e-324,
    ],
)
def test_what_does_not_fit_is_named(value: float) -> None:
    """More than 18 decimals, or 20 digits before the point: which value, where, and nothing is rounded."""
    values = np.array([1.5, 1e-12, value, 2e-13, value])
    with pytest.raises(
        DecimalRangeError, match=r"row 2: .*20 digits before the point and 18 after"
    ) as caught:
        float_to_decimal(values, "row {}".format)
    assert caught.value.found == repr(value)
    assert unrepresentable(values).tolist() == [False, False, True, False, True]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_misfits_are_what_is_refused(values: list[float]) -> None:
    """One by one: a value is a misfit where the conversion refuses it."""
    for value, misfit in zip(values, unrepresentable(np.array(values, np.float64)), strict=True):
        try:
            float_to_decimal(np.array([value]))
        except DecimalRangeError:
            assert misfit
        else:
            assert not misfit


def test_negative_floats_are_not_mistaken() -> None:
    """No price or size is one, and none becomes a large positive number."""
    values = [-1.5, -0.0, -1e-12, 2.0]
    found = float_to_decimal(np.array(values)).to_pylist()
    assert found == [shortest(value) for value in values]


@given(st.lists(SIGNED, max_size=30))
def test_integers_go_into_words_and_columns_and_back(values: list[int]) -> None:
    """Words are the bytes of arrow's own column; a slice of it too."""
    words = words_from_integers(values)
    assert unscaled_integers(words) == values
    column = decimal_array(words)
    assert column.to_pylist() == [Decimal(value).scaleb(-18, EXACT) for value in values]
    assert unscaled_integers(decimal_words(column)) == values
    assert unscaled_integers(decimal_words(pa.chunked_array([column[:1], column[1:]], DECIMAL))) == values
    assert unscaled_integers(decimal_words(column[1:])) == values[1:]


def test_missing_values_are_null() -> None:
    """A mask gives nulls, whatever the words say."""
    words = words_from_integers([1, -1, 3])
    assert decimal_array(words, np.array([False, True, False])).is_null().to_pylist() == [False, True, False]


@given(st.lists(st.integers(0, CODE_LIMIT - 1), max_size=30), UNITS)
def test_products_divide_back(codes: list[int], unit: int) -> None:
    """`codes · unit` is exact as far as 127 bits hold it, and divides back to the codes."""
    codes = [code for code in codes if code * unit < 2**127]
    words = multiply(np.array(codes, np.int64), unit)
    assert unscaled_integers(words) == [code * unit for code in codes]
    quotients, exact = divide(words, unit)
    assert quotients.tolist() == codes
    assert exact.all()


@given(st.lists(SIGNED | st.integers(0, 10**20), max_size=30), UNITS)
def test_only_exact_quotients_below_the_limit_are_called_so(values: list[int], unit: int) -> None:
    """A remainder, a negative value or a quotient of 2**61 or more is not exact."""
    quotients, exact = divide(words_from_integers(values), unit)
    assert exact.tolist() == [v >= 0 and v % unit == 0 and v // unit < CODE_LIMIT for v in values]
    assert [q for q, e in zip(quotients.tolist(), exact, strict=True) if e] == [
        v // unit for v, e in zip(values, exact, strict=True) if e
    ]


@pytest.mark.parametrize("unit", [10**10, 1 << 64, 1 << 67, 1 << 100, 1 << 126])
def test_negative_values_have_no_quotient(unit: int) -> None:
    """Two's complement of −unit is a large multiple of a power of two."""
    assert not divide(words_from_integers([-unit, -(1 << 127)]), unit)[1].any()


@given(st.lists(UNSCALED | st.integers(0, 1000), max_size=60), UNITS, st.integers(0, 10**20))
def test_common_divisor_is_pythons(values: list[int], unit: int, start: int) -> None:
    """For any values, and for multiples of anything."""
    multiples = [v % 10**8 * unit for v in values if v % 10**8 * unit < 2**127]
    for each in (values, multiples):
        assert common_divisor(words_from_integers(each), start) == gcd(start, *each)


@given(UNSCALED, st.integers(1, 10**38 - 1))
def test_fixed_point_holds_38_digits(pips: int, tick: int) -> None:
    """Python's default context would round to 28."""
    point = FixedPoint(18, 18, tick, tick)
    assert int(point.price(pips).scaleb(18, EXACT)) == int(point.size(pips).scaleb(18, EXACT)) == pips
    assert int(point.tick.scaleb(18, EXACT)) == int(point.lot.scaleb(18, EXACT)) == tick


@given(st.lists(SIGNED | st.integers(0, 2**63 - 1).map(lambda pips: pips * 10**10), max_size=20))
def test_decimals_in_pips_are_the_nearest_floats(values: list[int]) -> None:
    """Of whole pips, what int64 turns into; of others, what Python divides to."""
    found = float_pips(decimal_array(words_from_integers(values)))
    assert found.tolist() == [value / 10**10 for value in values]
    whole = [value // 10**10 for value in values if value % 10**10 == 0 and 0 <= value < 10**28]
    column = decimal_array(words_from_integers([pips * 10**10 for pips in whole]))
    assert float_pips(column).tolist() == np.array(whole, np.int64).astype(np.float64).tolist()
