"""The server's side of a market's rules: which route delivers what, times of pings, what REST accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import SettingsError
from order_book_platform.sources.binance.market import Market, market_named


class StreamKind(StrEnum):
    """Streams that the exchange has data for, by the part of their name after the symbol."""

    DEPTH = "depth"
    TICKER = "bookTicker"
    TRADE = "trade"


UNROUTED = ""
"""Route of a connection whose path names none, such as `/ws/btcusdt@depth`."""
_PUBLIC = frozenset({StreamKind.DEPTH, StreamKind.TICKER})
_ALL = frozenset(StreamKind)
_TRADE = frozenset({StreamKind.TRADE})
_FAMILIES = {"usdm": 1, "coinm": 2}


@dataclass(frozen=True, slots=True)
class VenueOptions:
    """Choices about a server: times that tests shorten, and routes on which reports differ.

    Attributes:
        trade_route: route of USD-M and COIN-M that delivers `@trade`: `public`, `market` or `both`.
        coinm_unrouted: whether COIN-M's unrouted path delivers everything, as documented, or only what `/public` has.
        life_ns: age at which a connection is closed, ns; None: that of the exchange, 24 hours.
        ping_every_ns: time between two pings, ns; None: that of the market.
        pong_within_ns: time within which a pong has to come, ns; None: that of the market.
    """

    trade_route: str = "public"
    coinm_unrouted: bool = True
    life_ns: int | None = None
    ping_every_ns: int | None = None
    pong_within_ns: int | None = None

    def __post_init__(self) -> None:
        if self.trade_route not in ("public", "market", "both"):
            raise SettingsError(
                expected="public, market or both",
                found=repr(self.trade_route),
                where="route of @trade",
                remedy="Choose the route on which the exchange shall deliver trades.",
            )


@dataclass(frozen=True, slots=True)
class Venue:
    """One market as its server knows it.

    Attributes:
        market: what server and clients know of the market: names, limits, weights.
        routes: kinds of streams that each route delivers; a stream on another route is acknowledged and silent.
        ping_every_ns: time between two pings of the server, ns.
        pong_within_ns: time within which a pong with the ping's payload has to come, ns.
        life_ns: age at which a connection is closed, ns.
        family: value of the key `st`, 1 USD-M and 2 COIN-M; None on spot, which has no such key.
        depth_limits: values that `limit` of a depth request may have; empty: any, cut down to the largest.
        depth_limit_default: `limit` of a request that names none.
        exchange_info_weight: weight of a request for `exchangeInfo`.
    """

    market: Market
    routes: Mapping[str, frozenset[StreamKind]]
    ping_every_ns: int
    pong_within_ns: int
    life_ns: int
    family: int | None
    depth_limits: tuple[int, ...]
    depth_limit_default: int
    exchange_info_weight: int

    @property
    def is_spot(self) -> bool:
        """Whether the market is spot: no routes, no `pu`, no `T` of depth, requests with an `id` of any type."""
        return self.family is None

    def delivers(self, route: str, kind: StreamKind) -> bool:
        """Tell whether a connection on `route` gets data of streams of this kind."""
        return kind in self.routes[route]


def venue(name: str, options: VenueOptions | None = None) -> Venue:
    """Give the rules of a market's server.

    Args:
        name: `usdm`, `coinm` or `spot`.
        options: choices; the documented ones where None.

    Raises:
        SettingsError: there is no such market.
    """
    market, options = market_named(name), options or VenueOptions()
    spot = market.name == "spot"
    return Venue(
        market=market,
        routes={UNROUTED: _ALL} if spot else _routes(market, options),
        ping_every_ns=_chosen(options.ping_every_ns, market.ping_interval_s),
        pong_within_ns=_chosen(options.pong_within_ns, market.pong_limit_s),
        life_ns=_chosen(options.life_ns, market.lifetime_s),
        family=_FAMILIES.get(market.name),
        depth_limits=() if spot else (5, 10, 20, 50, 100, 500, 1000),
        depth_limit_default=100 if spot else 500,
        exchange_info_weight=20 if spot else 1,
    )


def _chosen(ns: int | None, seconds: int) -> int:
    return seconds * NS_PER_SECOND if ns is None else ns


def _routes(market: Market, options: VenueOptions) -> dict[str, frozenset[StreamKind]]:
    unrouted_has_all = market.name == "coinm" and options.coinm_unrouted
    return {
        UNROUTED: _ALL if unrouted_has_all else _PUBLIC,
        "public": _PUBLIC if options.trade_route == "market" else _ALL,
        "market": frozenset() if options.trade_route == "public" else _TRADE,
        "private": frozenset(),
    }
