"""The REST interface as functions: depth, exchangeInfo, time and ping, their errors, and the weight they cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from order_book_platform.exchange.feeds.feed_event import BookSeed, SymbolRules
from order_book_platform.exchange.protocol.request_weight import Charge, WeightBudget
from order_book_platform.exchange.protocol.venue import Venue


@dataclass(frozen=True, slots=True)
class RestReply:
    """A response, and how long it is kept back.

    Attributes:
        status: HTTP status.
        body: JSON.
        headers: headers beside those that every response has.
        delay_ns: time between the making of the response and its sending, ns.
        last_update_id: of a depth snapshot; None of anything else.
        used_weight: weight of the minute after the request.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_ns: int = 0
    last_update_id: int | None = None
    used_weight: int = 0


class RestError(ValueError):
    """A request that is answered with an error.

    Attributes:
        status: HTTP status.
        code: the exchange's code.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)


def error_body(code: int, message: str) -> bytes:
    """Give the body of an error."""
    return as_json({"code": code, "msg": message})


def refusal(charge: Charge, weight_per_minute: int) -> RestReply:
    """Give the response to a request for which there is no weight left, or from a banned address."""
    if charge.status == 418:
        message = (
            f"Way too many requests; IP banned until {charge.until_ms}. "
            "Please use the websocket for live updates to avoid bans."
        )
    else:
        message = (
            f"Too many requests; current limit is {weight_per_minute} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API."
        )
    headers = {"Retry-After": str(charge.retry_after_s), **weight_headers(charge.used_weight)}
    return RestReply(charge.status, error_body(-1003, message), headers, used_weight=charge.used_weight)


def weight_headers(used_weight: int) -> dict[str, str]:
    """Give the header that tells the weight used in this minute."""
    return {"X-MBX-USED-WEIGHT-1M": str(used_weight)}


def depth_limit(query: Mapping[str, str], venue: Venue) -> int:
    """Read `limit` of a depth request.

    Raises:
        RestError: it is no number, or none that the market accepts.
    """
    text = query.get("limit", str(venue.depth_limit_default))
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise RestError(
            400, -1100, "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'."
        )
    limit = int(text)
    if not venue.depth_limits:
        return min(limit, venue.market.depth_weights[-1][0])
    if limit not in venue.depth_limits:
        raise RestError(400, -4021, f"{limit} is not valid depth limit")
    return limit


def requested_symbol(query: Mapping[str, str], known: Iterable[str]) -> str:
    """Read `symbol` of a request.

    Raises:
        RestError: it is missing, or there is no such symbol.
    """
    symbol = query.get("symbol", "")
    if not symbol:
        raise RestError(
            400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
        )
    if symbol not in known:
        raise RestError(400, -1121, "Invalid symbol.")
    return symbol


def depth_body(book: BookSeed, symbol: str, venue: Venue) -> bytes:
    """Give a depth snapshot as the market writes it: with or without `E`, `T`, `symbol` and `pair`."""
    content: dict[str, object] = {"lastUpdateId": book.last_update_id}
    if not venue.is_spot:
        content |= {"E": book.event_ms, "T": book.transaction_ms}
    if venue.family == 2:
        content |= {"symbol": symbol, "pair": symbol.partition("_")[0]}
    return as_json({**content, "bids": book.bids, "asks": book.asks})


def exchange_info_body(rules: Iterable[SymbolRules], venue: Venue, now_ns: int) -> bytes:
    """Give `exchangeInfo` of the symbols that the exchange has data for."""
    limits = [
        {
            "rateLimitType": "REQUEST_WEIGHT",
            "interval": "MINUTE",
            "intervalNum": 1,
            "limit": venue.market.weight_per_minute,
        }
    ]
    entry = _spot_entry if venue.is_spot else _futures_entry
    return as_json(
        {
            "timezone": "UTC",
            "serverTime": now_ns // 1_000_000,
            "rateLimits": limits,
            "exchangeFilters": [],
            "symbols": [entry(each, venue) for each in rules],
        }
    )


def _filters(rules: SymbolRules) -> list[dict[str, object]]:
    most = "1000000000"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": rules.tick, "maxPrice": most, "tickSize": rules.tick},
        {"filterType": "LOT_SIZE", "minQty": rules.lot, "maxQty": most, "stepSize": rules.lot},
        {"filterType": "MARKET_LOT_SIZE", "minQty": rules.lot, "maxQty": most, "stepSize": rules.lot},
    ]


def _spot_entry(rules: SymbolRules, _: Venue) -> dict[str, object]:
    return {
        "symbol": rules.symbol,
        "status": "TRADING",
        "baseAsset": rules.base,
        "baseAssetPrecision": 8,
        "quoteAsset": rules.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(rules),
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _futures_entry(rules: SymbolRules, venue: Venue) -> dict[str, object]:
    inverse = venue.family == 2
    name, _, delivery = rules.symbol.partition("_")
    perpetual = delivery in ("", "PERP")
    entry: dict[str, object] = {
        "symbol": rules.symbol,
        "pair": name,
        "contractType": "PERPETUAL" if perpetual else "CURRENT_QUARTER",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "baseAsset": rules.base,
        "quoteAsset": rules.quote,
        "marginAsset": rules.base if inverse else rules.quote,
        "pricePrecision": len(rules.tick.partition(".")[2]),
        "quantityPrecision": len(rules.lot.partition(".")[2]),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": _filters(rules),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }
    status = "contractStatus" if inverse else "status"
    return entry | {status: "TRADING"} | ({"contractSize": 100} if inverse else {})


def as_json(content: object) -> bytes:
    """Give compact JSON as the exchange writes it."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One path of the interface.

    Attributes:
        weight: gives what a request costs, and raises for parameters that are wrong.
        answer: gives the body and the id of a snapshot.
    """

    weight: Callable[[Mapping[str, str]], int]
    answer: Callable[[Mapping[str, str], int], tuple[bytes, int | None]]


def respond(
    endpoint: Endpoint | None, query: Mapping[str, str], budget: WeightBudget, now_ns: int
) -> RestReply:
    """Answer a request: charge its weight, refuse it where there is none left, else give its body or its error.

    Args:
        endpoint: of the path; None where there is none.
        query: parameters.
        budget: of the address.
        now_ns: wall-clock time, ns since the epoch.
    """
    if endpoint is None:
        return RestReply(404, error_body(-5000, "Path not found."))
    try:
        weight, error = endpoint.weight(query), None
    except RestError as found:
        weight, error = 1, found
    charge = budget.charge(weight, now_ns)
    if charge.status != 200:
        return refusal(charge, budget.weight_per_minute)
    headers, used = weight_headers(charge.used_weight), charge.used_weight
    if error is not None:
        return RestReply(error.status, error_body(error.code, str(error)), headers, used_weight=used)
    body, last_update_id = endpoint.answer(query, now_ns)
    return RestReply(200, body, headers, last_update_id=last_update_id, used_weight=used)
