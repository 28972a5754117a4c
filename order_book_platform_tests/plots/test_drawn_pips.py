"""Books of decimals for a picture: exact where 10^15 pips suffice, else the nearest that can be shown."""

from __future__ import annotations

from decimal import Decimal

import polars as pl

from order_book_platform.model import FixedPoint
from order_book_platform.plots.drawn_pips import DRAWN_PIPS, in_pips

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
    assert in_pips(books, FixedPoint(3, 2)) == (books, FixedPoint(3, 2))


def test_as_many_digits_as_fit() -> None:
    """Other columns stay; the largest has at most 10^15 pips; a missing level is missing."""
    found, point = in_pips(frame(["60000.5", None], ["0.001", "7"]), FixedPoint(18, 18, 5 * 10**17))
    rows = found.collect()
    assert rows.columns == ["flags", "bid_0_price_pips", "bid_0_size_pips"]
    assert rows["bid_0_price_pips"].to_list() == [600_005_000_000_000, None]
    assert rows["bid_0_size_pips"].to_list() == [10**11, 7 * 10**14]
    assert (point.price_decimals, point.size_decimals, point.tick) == (10, 14, Decimal("0.5"))


def test_large_sizes_lose_digits() -> None:
    """Decimals below 0 where even whole numbers are too many pips."""
    found, point = in_pips(frame(["1", "2"], ["12345678901234567890", "1"]), FixedPoint(18, 18))
    assert point.size_decimals < 0
    assert found.collect()["bid_0_size_pips"].to_list() == [123_456_789_012_346, 0]
    assert max(found.collect()["bid_0_price_pips"]) <= DRAWN_PIPS
