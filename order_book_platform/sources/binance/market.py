"""Binance's three markets: what they are called, where they are reached, and what their messages carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from order_book_platform.errors import SettingsError, SourceSchemaError
from order_book_platform.model import Instrument


@dataclass(frozen=True, slots=True)
class Market:
    """One market of Binance.

    Attributes:
        name: `usdm`, `coinm` or `spot`, as in the metadata of a raw log.
        exchange: Exchange of the instruments, such as `BINANCE_FUTURES`.
        has_pu: Whether depth messages carry `pu`, the final id of the message before; without it a message covers
            `[U, u]` and follows an id of `U - 1`.
        rest_prefix: Path of the REST interface before the name of an endpoint, such as `/fapi/v1`.
        rest_host: Host of the REST interface.
        stream_host: Host of the websocket streams.
        routes: Route of a stream by its kind (`depth`, `bookTicker`, `trade`, `aggTrade`): first part of the path of
            the websocket; empty for an unrouted path.
        depth_speed_ms: Interval of the depth stream in milliseconds.
        lifetime_s: Seconds after which the exchange closes a connection.
        streams_per_connection: Most streams of one connection.
        sends_per_second: Most messages a second that a client may send on one connection; on spot pongs count too.
        ping_interval_s: Seconds between two pings of the exchange.
        pong_limit_s: Seconds within which the exchange wants a pong.
        weight_per_minute: Request weight that one address may use in a minute.
        weight_family: Markets with the same family share one budget of weight.
        depth_weights: Weight of a depth snapshot: (greatest `limit`, weight), ascending.
        connections_per_5_minutes: Most connections that one address may open in 5 minutes, None where unknown.
        perpetuals_have_suffix: Whether perpetual contracts end in `_PERP` in Binance's spelling.
    """

    name: str
    exchange: str
    has_pu: bool
    rest_prefix: str
    rest_host: str
    stream_host: str
    ping_interval_s: int
    pong_limit_s: int
    weight_per_minute: int
    weight_family: str
    depth_weights: tuple[tuple[int, int], ...]
    sends_per_second: int
    routes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    depth_speed_ms: int = 100
    lifetime_s: int = 24 * 3600
    streams_per_connection: int = 1024
    connections_per_5_minutes: int | None = None
    perpetuals_have_suffix: bool = False

    def stream(self, kind: str, symbol: str) -> str:
        """Return the stream of a symbol, such as `btcusdt@depth@100ms`.

        Args:
            kind: `depth`, `bookTicker`, `trade` or `aggTrade`.
            symbol: Symbol as Binance spells it, such as `BTCUSDT`.
        """
        speed = f"@{self.depth_speed_ms}ms" if kind == "depth" else ""
        return f"{symbol.lower()}@{kind}{speed}"

    def route(self, kind: str) -> str:
        """Return the default route of a kind of stream: `public`, `market`, or empty for an unrouted path."""
        return self.routes.get(kind, "")

    def symbol(self, instrument: Instrument) -> str:
        """Return an instrument as Binance spells it, such as `BTCUSD_PERP`; the inverse of `instrument`.

        Raises:
            SettingsError: It is no instrument of this market.
        """
        base, _, rest = instrument.symbol.partition("-")
        quote, _, suffix = rest.partition("-")
        if instrument.exchange != self.exchange or not quote or bool(suffix) != self.has_pu or "-" in suffix:
            raise SettingsError(
                expected=f"an instrument of {self.name}, such as {self.exchange}:BTC-USDT"
                + ("-PERP" if self.has_pu else ""),
                found=instrument.key,
                where="symbol",
                remedy="Name the market of the instrument, or correct the symbol.",
            )
        if not suffix or (suffix == "PERP" and not self.perpetuals_have_suffix):
            return base + quote
        return f"{base}{quote}_{suffix}"

    def depth_path(self, symbol: str, limit: int = 1000) -> str:
        """Return path and query of a request for a depth snapshot of `limit` levels a side."""
        return f"{self.rest_prefix}/depth?symbol={symbol}&limit={limit}"

    def depth_weight(self, limit: int) -> int:
        """Return the request weight of a depth snapshot of `limit` levels a side."""
        return next(
            (weight for most, weight in self.depth_weights if limit <= most), self.depth_weights[-1][1]
        )

    @property
    def exchange_info_path(self) -> str:
        """Path of the request for the rules of all instruments."""
        return f"{self.rest_prefix}/exchangeInfo"

    def instrument(self, entry: Mapping[str, Any]) -> Instrument:
        """Return our instrument of one entry of `symbols` in a response of `exchangeInfo`.

        Perpetual contracts end in `-PERP`, dated ones in their date as Binance writes it, such as `BTC-USDT-270326`.

        Raises:
            SourceSchemaError: The entry has no symbol, base or quote asset.
            SettingsError: An asset has a character that our keys reserve.
        """
        symbol, base, quote = (entry.get(name) for name in ("symbol", "baseAsset", "quoteAsset"))
        if not (isinstance(symbol, str) and isinstance(base, str) and isinstance(quote, str)):
            raise SourceSchemaError(
                expected="texts `symbol`, `baseAsset` and `quoteAsset`",
                found=f"{symbol!r}, {base!r} and {quote!r}",
                where=f"exchangeInfo of {self.name}",
                remedy="Take an entry of `symbols` as the exchange sends it.",
            )
        suffix = ""
        if self.has_pu:
            suffix = "-" + (symbol.rpartition("_")[2] if "_" in symbol else "PERP")
        return Instrument.parse(f"{self.exchange}:{base}-{quote}{suffix}")


USDM = Market(
    name="usdm",
    exchange="BINANCE_FUTURES",
    has_pu=True,
    rest_prefix="/fapi/v1",
    rest_host="fapi.binance.com",
    stream_host="fstream.binance.com",
    ping_interval_s=180,
    pong_limit_s=600,
    weight_per_minute=2400,
    weight_family="futures",
    depth_weights=((50, 2), (100, 5), (500, 10), (1000, 20)),
    sends_per_second=10,
    routes=MappingProxyType(
        {"depth": "public", "bookTicker": "public", "trade": "public", "aggTrade": "market"}
    ),
)
"""USD-M futures. The route of the undocumented trade stream was seen on `public`; it is watched."""

COINM = replace(
    USDM,
    name="coinm",
    exchange="BINANCE_DELIVERY",
    rest_prefix="/dapi/v1",
    rest_host="dapi.binance.com",
    stream_host="dstream.binance.com",
    routes=MappingProxyType({}),
    perpetuals_have_suffix=True,
)
"""COIN-M futures, with the limits of USD-M; its streams are documented without a route."""

SPOT = Market(
    name="spot",
    exchange="BINANCE",
    has_pu=False,
    rest_prefix="/api/v3",
    rest_host="api.binance.com",
    stream_host="stream.binance.com:9443",
    ping_interval_s=20,
    pong_limit_s=60,
    weight_per_minute=6000,
    weight_family="spot",
    depth_weights=((100, 5), (500, 25), (1000, 50), (5000, 250)),
    sends_per_second=5,
    connections_per_5_minutes=300,
)
"""Binance's spot market."""

MARKETS: Mapping[str, Market] = MappingProxyType({market.name: market for market in (USDM, COINM, SPOT)})
"""The three markets by name."""


def market_named(name: str) -> Market:
    """Return the market of a name.

    Raises:
        SettingsError: There is no market of this name.
    """
    if name not in MARKETS:
        raise SettingsError(
            expected=f"one of {', '.join(MARKETS)}",
            found=repr(name),
            where="market",
            remedy="Name one of Binance's markets.",
        )
    return MARKETS[name]
