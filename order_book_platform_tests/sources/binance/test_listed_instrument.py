"""An instrument as `exchangeInfo` lists it: decimals, tick and lot."""

from __future__ import annotations

import json

import pytest

from order_book_platform.errors import SourceSchemaError
from order_book_platform.model import FixedPoint
from order_book_platform.sources.binance.listed_instrument import ListedInstrument
from order_book_platform.sources.binance.market import USDM
from order_book_platform_tests.sources.binance.raw_rows import rules_entry


def entry(tick: str, step: str, max_price: str = "1000000", max_quantity: str = "1000") -> bytes:
    """An entry with these filters."""
    found = json.loads(rules_entry(USDM))
    found["filters"] = [
        {"filterType": "PRICE_FILTER", "tickSize": tick, "maxPrice": max_price},
        {"filterType": "LOT_SIZE", "stepSize": step, "maxQty": max_quantity},
    ]
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("payload", "point"),
    [
        (entry("0.10", "0.001"), FixedPoint(8, 8, 10**7, 10**5)),
        (entry("0.01000000", "1.00000000"), FixedPoint(8, 8, 10**6, 10**8)),
        (entry("0.0000000001", "1"), FixedPoint(10, 8, 1, 10**8)),
        (entry("0.01", "1", max_quantity="92141578000"), FixedPoint(8, 4, 10**6, 10**4)),
        (entry("1", "0.001", max_quantity="1E18"), FixedPoint(8, 3, 10**8, 1)),
        (entry("1", "0.1", max_price="10000000000"), FixedPoint(5, 8, 10**5, 10**7)),
    ],
)
def test_decimals_fit_increment_and_largest_value(payload: bytes, point: FixedPoint) -> None:
    """There are 8 decimals, more for a finer increment, fewer for huge values, never fewer than the increment has."""
    assert ListedInstrument.of_entry(USDM, payload).point == point


@pytest.mark.parametrize(
    "payload",
    [
        b"{",
        b"[]",
        b"{}",
        entry("0", "1"),
        entry("x", "1"),
        entry("1", "NaN"),
        entry("1", "-1"),
        entry("1E-19", "1"),
        rules_entry(USDM).replace(b"PRICE_FILTER", b"OTHER"),
        rules_entry(USDM).replace(b"baseAsset", b"base"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(payload: bytes) -> None:
    """Nothing is decoded with guessed increments."""
    with pytest.raises(SourceSchemaError):
        ListedInstrument.of_entry(USDM, payload)
