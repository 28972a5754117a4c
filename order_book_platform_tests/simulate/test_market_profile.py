"""Profiles: complete, consistent and found by name."""

from __future__ import annotations

import pytest

from order_book_platform.errors import SettingsError
from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.simulate import MarketProfile, profile, profile_names
from order_book_platform.simulate.market_profile import KNOTS
from order_book_platform_tests.simulate.small import small_profile


def test_the_packaged_profiles() -> None:
    """The three recorded markets are there, with the decimals of their ticks and lots, and USD-M is the default."""
    assert profile_names() == ("btc-perp", "btc-spot", "coinm")
    assert profile() == profile("btc-perp")
    decimals = {name: (profile(name).price_decimals, profile(name).size_decimals) for name in profile_names()}
    assert decimals == {"btc-perp": (1, 3), "btc-spot": (2, 5), "coinm": (1, 0)}


@pytest.mark.parametrize("name", profile_names())
def test_tables_are_quantiles(name: str) -> None:
    """Every table has its knots in ascending order, and buckets ascend to the farthest distance."""
    market = profile(name)
    tables = [
        value for field in MarketProfile.__slots__ if isinstance(value := getattr(market, field), tuple)
    ]
    tables = [table for table in tables if isinstance(table[0], int)] + [
        each.size_lots for each in market.buckets
    ]
    assert len(tables) == market_arrays.TABLES + len(market.buckets)
    for table in tables:
        assert len(table) == KNOTS == market_arrays.KNOTS
        assert list(table) == sorted(table)
        assert table[0] >= 1
    uppers = [bucket.upper_ticks for bucket in market.buckets]
    assert uppers == sorted(set(uppers))
    assert uppers[-1] > market.max_distance_ticks


def test_json_round_trip() -> None:
    """A profile survives its JSON form unchanged."""
    assert MarketProfile.from_json(small_profile().to_json()) == small_profile()


def test_an_unknown_profile_is_refused() -> None:
    """The error lists the names there are."""
    with pytest.raises(SettingsError, match="expected one of btc-perp, btc-spot, coinm, found 'btc'"):
        profile("btc")
