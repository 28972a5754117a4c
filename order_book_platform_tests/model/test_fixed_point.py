"""Fixed point against Python's exact decimals: converted exactly, or refused."""

from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from order_book_platform.errors import FixedPointRangeError
from order_book_platform.model import FixedPoint
from order_book_platform.model.fixed_point import (
    EXACT_PIPS,
    MAX_DECIMALS,
    decimals_for,
    float_to_pips,
    pips_to_float,
)

DECIMALS = st.integers(0, MAX_DECIMALS)
PIPS = st.one_of(
    st.integers(0, EXACT_PIPS), st.integers(EXACT_PIPS - 1_000, EXACT_PIPS), st.integers(0, 10**6)
)


def nearest_float(pips: int, decimals: int) -> float:
    """The float64 nearest to the decimal, as Python's own parser finds it."""
    return float(Decimal(pips).scaleb(-decimals))


@given(st.lists(PIPS, min_size=1, max_size=50), DECIMALS)
@example([0, 1, EXACT_PIPS], 8)
@example([EXACT_PIPS], MAX_DECIMALS)
def test_decimals_survive_the_way_through_float(pips: list[int], decimals: int) -> None:
    """Every decimal that a float64 stands for comes back as its own pips, none counted as off the grid."""
    values = np.array([nearest_float(each, decimals) for each in pips])
    found, off_grid = float_to_pips(values, decimals)
    assert found.dtype == np.int64
    assert found.tolist() == pips
    assert not off_grid.any()


@given(st.lists(PIPS, min_size=1, max_size=50), DECIMALS)
def test_pips_to_float_is_the_nearest_float(pips: list[int], decimals: int) -> None:
    """What the vendor wrote is what a reader gets back, to the last bit."""
    found = pips_to_float(np.array(pips, dtype=np.int64), decimals)
    assert found.tolist() == [nearest_float(each, decimals) for each in pips]


@given(st.integers(1, EXACT_PIPS // 8), DECIMALS, st.booleans())
def test_the_next_float_is_off_the_grid(pips: int, decimals: int, upwards: bool) -> None:
    """One unit in the last place beside a decimal is another number, and is counted."""
    value = math.nextafter(nearest_float(pips, decimals), math.inf if upwards else 0.0)
    found, off_grid = float_to_pips(np.array([value]), decimals)
    assert off_grid.tolist() == [True]
    assert found.tolist() == [pips]


@given(st.floats(0, 1e6, allow_nan=False), st.integers(0, 8))
def test_off_grid_means_no_decimal_is_that_float(value: float, decimals: int) -> None:
    """The flag agrees with an exact comparison against the nearest decimal."""
    found, off_grid = float_to_pips(np.array([value]), decimals)
    exact = Decimal(value).scaleb(decimals)
    candidates = {int(exact.to_integral_value("ROUND_FLOOR")), int(exact.to_integral_value("ROUND_CEILING"))}
    on_grid = [pips for pips in candidates if nearest_float(pips, decimals) == value]
    assert off_grid.tolist() == [not on_grid]
    if on_grid:
        assert found.tolist() == on_grid


@given(st.floats(0, EXACT_PIPS, allow_nan=False), st.integers(0, 8))
def test_decimals_for_takes_the_most_that_fit(largest: float, default: int) -> None:
    """One decimal more would not convert exactly, or is not asked for."""
    decimals = decimals_for(largest, default=default)
    assert 0 <= decimals <= default
    assert Decimal(largest) * 10**decimals <= EXACT_PIPS
    if decimals < default:
        assert Decimal(largest) * 10 ** (decimals + 1) > EXACT_PIPS - 1


@pytest.mark.parametrize(
    ("largest", "decimals"),
    [(0.0, 8), (71_234.5, 8), (22_517_998.0, 8), (22_517_999.0, 7), (9.3e10, 4), (float(EXACT_PIPS), 0)],
)
def test_large_sizes_take_fewer_decimals(largest: float, decimals: int) -> None:
    """1000SHIB and the like: what does not fit with eight decimals fits with fewer."""
    assert decimals_for(largest) == decimals


@pytest.mark.parametrize("largest", [float(EXACT_PIPS) * 2, 1e300, math.inf, math.nan])
def test_what_fits_nowhere_is_refused(largest: float) -> None:
    """No number of decimals holds it; the error says what and where."""
    with pytest.raises(FixedPointRangeError) as caught:
        decimals_for(largest, where="1.parquet: size")
    assert caught.value.where == "1.parquet: size"
    assert caught.value.found == repr(largest)


@pytest.mark.parametrize("value", [1e15, -1e15, math.inf, math.nan, float(EXACT_PIPS + 1) / 10**8])
def test_what_does_not_fit_is_never_converted(value: float) -> None:
    """No silent wrap into another int64: the first such value is refused by name."""
    with pytest.raises(FixedPointRangeError) as caught:
        float_to_pips(np.array([1.0, value, 1e300]), 8, where="1.parquet: column amount")
    assert caught.value.where == "1.parquet: column amount"
    assert caught.value.found == repr(value)


@given(st.integers(-(2**63), 2**63 - 1), DECIMALS)
def test_decimal_values_are_exact(pips: int, decimals: int) -> None:
    """A price as a decimal is the pips with the point moved, for all of int64."""
    point = FixedPoint(price_decimals=decimals, size_decimals=decimals)
    assert point.price(pips) * 10**decimals == pips
    assert point.size(pips) == point.price(pips)
    assume(pips % 10 and decimals)
    assert str(point.price(abs(pips)).as_tuple().exponent) == str(-decimals)


def test_tick_and_lot_are_shown_without_zeros() -> None:
    """As an exchange writes them."""
    point = FixedPoint(8, 8, tick_pips=10_000_000, lot_pips=1_000)
    assert (str(point.tick), str(point.lot)) == ("0.1", "0.00001")


@given(DECIMALS, DECIMALS, st.integers(1, 2**62), st.integers(1, 2**62))
def test_metadata_read_back(price: int, size: int, tick: int, lot: int) -> None:
    """Into a file's metadata and back, whether as numbers or as text, beside other keys."""
    point = FixedPoint(price, size, tick, lot)
    metadata: dict[str, object] = {**point.to_metadata(), "depth": 20}
    assert FixedPoint.from_metadata(metadata) == point
    assert FixedPoint.from_metadata({key: str(value) for key, value in metadata.items()}) == point
