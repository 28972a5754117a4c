"""Floats to pips in one pass, against numpy's steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import FixedPointRangeError
from order_book_platform.kernels.ingest import pip_conversion
from order_book_platform.model.fixed_point import EXACT_PIPS, float_to_pips
from order_book_platform.model.levels import MISSING_PIPS

decimals = st.integers(0, 18)
numbers = st.one_of(
    st.decimals(0, 10**6, places=8).map(float),
    st.floats(0, 1e6),
    st.floats(),
    st.sampled_from([0.0, -0.0, 0.5, 1.5, 2.5, math.inf, math.nan, float(EXACT_PIPS), EXACT_PIPS + 1.0]),
)


@given(st.lists(numbers, max_size=30), decimals)
def test_pips_are_those_of_the_plain_way(values: list[float], places: int) -> None:
    """The same pips and the same off-grid values, or the same value refused."""
    floats = np.array(values, np.float64)
    pips = np.full(len(floats), -1, np.int64)
    with np.errstate(over="ignore"):
        beyond, off, first_off = pip_conversion.to_pips(floats, 10.0**places, float(EXACT_PIPS), pips)
        if beyond < len(floats):
            with pytest.raises(FixedPointRangeError) as caught:
                float_to_pips(floats, places)
            assert caught.value.found == repr(float(floats[beyond]))
        wanted, wrong = float_to_pips(floats[:beyond], places)
    assert pips[:beyond].tolist() == wanted.tolist()
    assert off == wrong.sum()
    assert first_off == (wrong.argmax() if wrong.any() else len(floats))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, EXACT_PIPS + 1.0])
def test_it_stops_at_what_does_not_fit(bad: float) -> None:
    """And says where."""
    pips = np.empty(3, np.int64)
    assert pip_conversion.to_pips(np.array([1.0, bad, 2.0]), 1.0, float(EXACT_PIPS), pips) == (1, 0, 3)


@given(st.lists(st.one_of(numbers, st.just(math.nan)), max_size=30), decimals)
def test_levels_are_missing_wrong_or_exact(values: list[float], places: int) -> None:
    """NaN is no level; zero, less, too much and what is off the grid are wrong."""
    floats = np.array(values, np.float64)
    pips, wrong = np.empty(len(floats), np.int64), np.empty(len(floats), np.bool_)
    with np.errstate(over="ignore"):
        pip_conversion.levels_to_pips(floats, 10.0**places, float(EXACT_PIPS), pips, wrong)
        for value, found, is_wrong in zip(floats, pips, wrong, strict=True):
            wanted, off = MISSING_PIPS, not math.isnan(value)
            # Beyond the limit by less than half a pip is beyond it: nothing is rounded down to it.
            if value > 0 and value * 10.0**places <= EXACT_PIPS:
                ((wanted,), (off,)) = float_to_pips(np.array([value]), places)
            assert (found, is_wrong) == (wanted, off)
