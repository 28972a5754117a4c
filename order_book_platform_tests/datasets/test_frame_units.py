"""Units of frames: pips become floats and decimals, decimals become pips that can be drawn."""

from __future__ import annotations

from decimal import Decimal

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.datasets.frame_units import DRAWN_PIPS, convert_pips, in_drawn_pips, in_units
from order_book_platform.model import FixedPoint

KIND = pl.Decimal(38, 18)


def frame(prices: list[str | None], sizes: list[str]) -> pl.LazyFrame:
    """One level a side."""
    return pl.LazyFrame(
        {
            "flags": [1] * len(prices),
            "bid_0_price": pl.Series(
                [None if price is None else Decimal(price) for price in prices], dtype=KIND
            ),
            "bid_0_size": pl.Series([Decimal(size) for size in sizes], dtype=KIND),
        }
    )


def test_pips_are_left_alone() -> None:
    """Nothing to convert."""
    books = pl.LazyFrame({"bid_0_price_pips": [1]})
    assert in_drawn_pips(books, FixedPoint(3, 2)) == (books, FixedPoint(3, 2))


def test_as_many_digits_as_fit() -> None:
    """Other columns stay; the largest has at most 10^15 pips; a missing level is missing."""
    found, point = in_drawn_pips(frame(["60000.5", None], ["0.001", "7"]), FixedPoint(18, 18, 5 * 10**17))
    rows = found.collect()
    assert rows.columns == ["flags", "bid_0_price_pips", "bid_0_size_pips"]
    assert rows["bid_0_price_pips"].to_list() == [600_005_000_000_000, None]
    assert rows["bid_0_size_pips"].to_list() == [10**11, 7 * 10**14]
    assert (point.price_decimals, point.size_decimals, point.tick) == (10, 14, Decimal("0.5"))


def test_large_sizes_lose_digits() -> None:
    """Decimals below 0 where even whole numbers are too many pips."""
    found, point = in_drawn_pips(frame(["1", "2"], ["12345678901234567890", "1"]), FixedPoint(18, 18))
    assert point.size_decimals < 0
    assert found.collect()["bid_0_size_pips"].to_list() == [123_456_789_012_346, 0]
    assert max(found.collect()["bid_0_price_pips"]) <= DRAWN_PIPS


@given(st.lists(st.integers(-(2**63) + 1, 2**63 - 1) | st.none(), min_size=1), st.integers(0, 18))
def test_conversion_is_exact_for_any_pips(pips: list[int | None], decimals: int) -> None:
    """Decimals are exact over all of int64 and nulls stay null; floats are correctly rounded up to 2**53."""
    frame = pl.DataFrame({"x": pips}, schema={"x": pl.Int64})
    exact = [None if each is None else Decimal(each).scaleb(-decimals) for each in pips]
    assert frame.select(convert_pips(pl.col("x"), decimals, "decimal"))["x"].to_list() == exact
    small = [None if each is None else each >> 10 for each in pips]
    rounded = [None if each is None else float(Decimal(each).scaleb(-decimals)) for each in small]
    frame = pl.DataFrame({"x": small}, schema={"x": pl.Int64})
    assert frame.select(convert_pips(pl.col("x"), decimals, "float"))["x"].to_list() == rounded


def test_units_of_every_kind_of_column() -> None:
    """Pips and decimals, plain and in lists, lose their ending in place; other columns are left alone."""
    books = pl.LazyFrame(
        {
            "bid_price_pips": [[150, None]],
            "mid2": [7],
            "size_pips": [25],
            "price": pl.Series([Decimal("0.3")], dtype=KIND),
            "levels": pl.Series([[Decimal("0.1")]], dtype=pl.List(KIND)),
        }
    )
    floats = in_units(books, FixedPoint(2, 1), "float").collect()
    assert floats.columns == ["bid_price", "mid2", "size", "price", "levels"]
    assert floats.row(0) == ([1.5, None], 7, 2.5, 0.3, [0.1])
    decimals = in_units(books, FixedPoint(2, 1), "decimal").collect()
    assert decimals.row(0) == ([Decimal("1.50"), None], 7, Decimal("2.5"), Decimal("0.3"), [Decimal("0.1")])
