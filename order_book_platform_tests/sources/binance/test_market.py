"""Binance's markets: names, paths, streams and our instruments."""

from __future__ import annotations

from typing import Any

import pytest

from order_book_platform.errors import SettingsError, SourceSchemaError
from order_book_platform.model import Instrument
from order_book_platform.sources.binance.market import COINM, MARKETS, SPOT, USDM, Market, market_named


@pytest.mark.parametrize(
    ("market", "symbol", "base", "quote", "key"),
    [
        (USDM, "BTCUSDT", "BTC", "USDT", "BINANCE_FUTURES:BTC-USDT-PERP"),
        (USDM, "BTCUSDT_270326", "BTC", "USDT", "BINANCE_FUTURES:BTC-USDT-270326"),
        (USDM, "币安人生USDT", "币安人生", "USDT", "BINANCE_FUTURES:币安人生-USDT-PERP"),
        (COINM, "BTCUSD_PERP", "BTC", "USD", "BINANCE_DELIVERY:BTC-USD-PERP"),
        (COINM, "BTCUSD_270326", "BTC", "USD", "BINANCE_DELIVERY:BTC-USD-270326"),
        (SPOT, "BTCUSDT", "BTC", "USDT", "BINANCE:BTC-USDT"),
    ],
)
def test_the_instrument_of_an_entry(market: Market, symbol: str, base: str, quote: str, key: str) -> None:
    """Perpetual contracts end in PERP, dated ones in their date, spot pairs in nothing."""
    entry = {"symbol": symbol, "baseAsset": base, "quoteAsset": quote, "contractType": "?"}
    instrument = market.instrument(entry)
    assert instrument.key == key
    assert market.symbol(instrument) == symbol


@pytest.mark.parametrize("key", ["BINANCE:BTC-USDT", "BINANCE_FUTURES:BTC-USDT", "BINANCE_FUTURES:BTC"])
def test_an_instrument_of_another_market_is_refused(key: str) -> None:
    """A spot pair is no future, and a future has a suffix."""
    with pytest.raises(SettingsError, match="BTC-USDT-PERP"):
        USDM.symbol(Instrument.parse(key))


@pytest.mark.parametrize(
    "entry", [{}, {"symbol": "BTCUSDT"}, {"symbol": 1, "baseAsset": "BTC", "quoteAsset": "USDT"}]
)
def test_an_entry_without_its_names_is_refused(entry: dict[str, Any]) -> None:
    """An instrument is not guessed from a symbol."""
    with pytest.raises(SourceSchemaError, match="baseAsset"):
        USDM.instrument(entry)


def test_an_asset_with_a_reserved_character_is_refused() -> None:
    """A symbol of the exchange cannot leave the folder that is meant for it."""
    with pytest.raises(SettingsError):
        SPOT.instrument({"symbol": "A", "baseAsset": "../A", "quoteAsset": "USDT"})


def test_streams_and_routes() -> None:
    """Streams are in lower case; only depth names its interval; only USD-M has routes."""
    assert USDM.stream("depth", "BTCUSDT") == "btcusdt@depth@100ms"
    assert COINM.stream("bookTicker", "BTCUSD_PERP") == "btcusd_perp@bookTicker"
    assert [USDM.route(kind) for kind in ("depth", "bookTicker", "trade", "aggTrade")] == [
        "public",
        "public",
        "public",
        "market",
    ]
    assert COINM.route("depth") == SPOT.route("trade") == ""


def test_requests_and_their_weight() -> None:
    """Weights are those of the documentation for each limit."""
    assert USDM.depth_path("BTCUSDT") == "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"
    assert SPOT.exchange_info_path == "/api/v3/exchangeInfo"
    assert [USDM.depth_weight(limit) for limit in (5, 50, 100, 500, 1000)] == [2, 2, 5, 10, 20]
    assert [SPOT.depth_weight(limit) for limit in (100, 500, 1000, 5000)] == [5, 25, 50, 250]


def test_markets_by_name() -> None:
    """Each market is found by its name; another name is a clear error."""
    assert [market_named(name) for name in MARKETS] == [USDM, COINM, SPOT]
    with pytest.raises(SettingsError, match="usdm, coinm, spot"):
        market_named("futures")
