"""One market: routes, handshakes, REST with its errors, and snapshots of its own book."""

from __future__ import annotations

import json
from typing import Any

import pytest

from order_book_platform.exchange import ExchangeOptions, LocalExchange, VenueOptions, parse_faults
from order_book_platform.exchange.served_market import RefusedHandshake, ServedMarket
from order_book_platform_tests.exchange.clients import (
    SECOND_NS,
    START_NS,
    ListedFeed,
    connected,
    depth,
    exchange,
    texts,
    ticker,
    trade,
)

EVENTS = [
    depth(0, [["9.9", "3"]], []),
    ticker(111),
    trade(7),
    depth(1, [["9.8", "2"]], [["10.1", "0"]]),
]
STREAMS = "btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade/btcusdt@aggTrade"


def only(served: LocalExchange) -> ServedMarket:
    """The only market of an exchange."""
    (market,) = served.markets.values()
    return market


def kinds(messages: list[Any]) -> set[str]:
    """The kinds of data among messages in combined form."""
    return {message["stream"].split("@")[1] for message in messages}


@pytest.mark.parametrize(
    ("market", "path", "options", "delivered"),
    [
        ("usdm", "/stream", {}, {"depth", "bookTicker"}),
        ("usdm", "/public/stream", {}, {"depth", "bookTicker", "trade"}),
        ("usdm", "/market/stream", {}, set()),
        ("usdm", "/private/stream", {}, set()),
        ("usdm", "/public/stream", {"trade_route": "market"}, {"depth", "bookTicker"}),
        ("usdm", "/market/stream", {"trade_route": "market"}, {"trade"}),
        ("usdm", "/market/stream", {"trade_route": "both"}, {"trade"}),
        ("coinm", "/stream", {}, {"depth", "bookTicker", "trade"}),
        ("coinm", "/stream", {"coinm_unrouted": False}, {"depth", "bookTicker"}),
        ("spot", "/stream", {}, {"depth", "bookTicker", "trade"}),
    ],
)
def test_a_route_delivers_what_it_has(
    market: str, path: str, options: dict[str, Any], delivered: set[str]
) -> None:
    """A subscription on another route is acknowledged, listed, and silent."""
    served = exchange(EVENTS, market, venue=VenueOptions(**options))
    client = connected(served, path)
    client.receive_text(json.dumps({"method": "SUBSCRIBE", "params": STREAMS.split("/"), "id": 1}), START_NS)
    client.receive_text('{"method":"LIST_SUBSCRIPTIONS","id":2}', START_NS)
    acknowledged, listed = texts(client)
    assert acknowledged == {"result": None, "id": 1}
    assert listed["result"] == STREAMS.split("/")
    served.advance(START_NS)
    assert kinds(texts(client)) == delivered


@pytest.mark.parametrize("route", ["", "/public", "/market", "/private"])
def test_both_access_modes_take_streams_by_their_path(route: str) -> None:
    """`/ws/<stream>/…` gives raw data, `/stream?streams=…` wrapped ones, with and without a route."""
    served = exchange(EVENTS, venue=VenueOptions(trade_route="both"))
    raw = connected(served, f"{route}/ws/btcusdt@depth@100ms/btcusdt@trade")
    combined = connected(served, f"{route}/stream", "streams=btcusdt@depth@100ms/btcusdt@trade")
    served.advance(START_NS)
    data, wrapped = texts(raw), texts(combined)
    assert [each["data"] for each in wrapped] == data
    assert {each["e"] for each in data} == {
        "": {"depthUpdate"},
        "/public": {"depthUpdate", "trade"},
        "/market": {"trade"},
        "/private": set(),
    }[route]


@pytest.mark.parametrize(
    "path", ["/", "/other/ws", "/ws2", "/stream/btcusdt@depth", "/public", "/public/public/ws"]
)
def test_other_paths_are_refused(path: str) -> None:
    """A handshake elsewhere is answered with 404; spot has no routes."""
    assert only(exchange([])).connect(path, "", START_NS) == RefusedHandshake(404, "Not Found")
    assert only(exchange([], "spot")).connect("/public/ws", "", START_NS) == RefusedHandshake(
        404, "Not Found"
    )


def test_spot_opens_300_connections_in_five_minutes() -> None:
    """One more is refused until the first is five minutes old."""
    market = only(exchange([], "spot"))
    for _ in range(300):
        assert not isinstance(market.connect("/ws", "", START_NS), RefusedHandshake)
    assert market.connect("/ws", "", START_NS) == RefusedHandshake(429, "Too many connections")
    assert not isinstance(market.connect("/ws", "", START_NS + 300 * SECOND_NS), RefusedHandshake)


PATHS = {"usdm": "/fapi/v1", "coinm": "/dapi/v1", "spot": "/api/v3"}


@pytest.mark.parametrize(
    ("market", "query", "status", "code"),
    [
        ("usdm", {}, 400, -1102),
        ("usdm", {"symbol": "ETHUSDT"}, 400, -1121),
        ("usdm", {"symbol": "BTCUSDT", "limit": "25"}, 400, -4021),
        ("usdm", {"symbol": "BTCUSDT", "limit": "ten"}, 400, -1100),
        ("spot", {"symbol": "BTCUSDT", "limit": "0"}, 400, -1100),
    ],
)
def test_wrong_requests_get_the_documented_error(
    market: str, query: dict[str, str], status: int, code: int
) -> None:
    """Status and code are those of the documentation; the request costs weight."""
    reply = only(exchange([], market)).request(PATHS[market] + "/depth", query, START_NS)
    assert (reply.status, json.loads(reply.body)["code"]) == (status, code)
    assert reply.headers["X-MBX-USED-WEIGHT-1M"] == "1"


@pytest.mark.parametrize("market", PATHS)
def test_time_ping_and_other_paths(market: str) -> None:
    """Time is the exchange's clock, ping is empty, and anything else is not found."""
    served = exchange([], market)
    served.jump_clock(250)
    reply = only(served).request(PATHS[market] + "/time", {}, START_NS)
    assert json.loads(reply.body) == {"serverTime": START_NS // 1_000_000 + 250}
    assert only(served).request(PATHS[market] + "/ping", {}, START_NS).body == b"{}"
    assert only(served).request("/other", {}, START_NS).status == 404


@pytest.mark.parametrize(
    ("market", "limit", "weight"),
    [
        ("usdm", 5, 2),
        ("usdm", 50, 2),
        ("usdm", 100, 5),
        ("coinm", 500, 10),
        ("coinm", 1000, 20),
        ("spot", 100, 5),
        ("spot", 500, 25),
        ("spot", 1000, 50),
        ("spot", 5000, 250),
        ("spot", 9000, 250),
    ],
)
def test_a_depth_request_costs_its_weight(market: str, limit: int, weight: int) -> None:
    """The header shows the documented weight of each limit."""
    query = {"symbol": "BTCUSDT", "limit": str(limit)}
    reply = only(exchange([], market)).request(PATHS[market] + "/depth", query, START_NS)
    assert (reply.status, reply.headers["X-MBX-USED-WEIGHT-1M"]) == (200, str(weight))


def test_both_futures_share_a_budget_and_spot_has_its_own() -> None:
    """Weight used on one futures market shows on the other, up to the refusal; the ledger has the greatest minute."""
    served = LocalExchange({name: [ListedFeed([])] for name in PATHS}, ExchangeOptions(), START_NS)
    query = {"symbol": "BTCUSDT", "limit": "1000"}
    for number in range(120):
        market = ("usdm", "coinm")[number % 2]
        assert served.markets[market].request(PATHS[market] + "/depth", query, START_NS).status == 200
    refused = served.markets["usdm"].request("/fapi/v1/depth", query, START_NS)
    assert (refused.status, json.loads(refused.body)["code"]) == (429, -1003)
    assert int(refused.headers["Retry-After"]) > 0
    assert served.markets["spot"].request("/api/v3/ping", {}, START_NS).used_weight == 1
    assert served.most_weight() == {"futures": 2420, "spot": 1}


@pytest.mark.parametrize(
    ("market", "keys"),
    [
        ("usdm", ["lastUpdateId", "E", "T", "bids", "asks"]),
        ("coinm", ["lastUpdateId", "E", "T", "symbol", "pair", "bids", "asks"]),
        ("spot", ["lastUpdateId", "bids", "asks"]),
    ],
)
def test_a_snapshot_is_the_book_at_its_id(market: str, keys: list[str]) -> None:
    """A snapshot has the levels after the event of its id, best first, and the keys of its market."""
    served = exchange(EVENTS, market)
    query = {"symbol": "BTCUSDT", "limit": "5"}
    path = PATHS[market] + "/depth"
    before = json.loads(only(served).request(path, query, START_NS).body)
    served.advance(START_NS)
    after = json.loads(only(served).request(path, query, START_NS).body)
    assert list(after) == keys
    assert (before["lastUpdateId"], before["bids"]) == (100, [["10.0", "5"], ["9.9", "1"]])
    assert after["lastUpdateId"] == 120
    assert after["bids"] == [["10.0", "5"], ["9.9", "3"], ["9.8", "2"]]
    assert after["asks"] == [["10.2", "7"]]


def test_exchange_info_names_every_symbol() -> None:
    """An entry has the assets and increments from which a client makes the instrument."""
    for market, prefix in PATHS.items():
        reply = only(exchange([], market)).request(prefix + "/exchangeInfo", {}, START_NS)
        content = json.loads(reply.body)
        (entry,) = content["symbols"]
        assert (entry["symbol"], entry["baseAsset"], entry["quoteAsset"]) == ("BTCUSDT", "BTC", "USDT")
        found = {each["filterType"]: each for each in entry["filters"]}
        assert (found["PRICE_FILTER"]["tickSize"], found["LOT_SIZE"]["stepSize"]) == ("0.1", "1")


@pytest.mark.parametrize(
    ("fault", "status"), [("429/3s", 429), ("418/120s", 418), ("403", 403), ("503", 503)]
)
def test_ordered_refusals_of_requests(fault: str, status: int) -> None:
    """A response to order has its status, and Retry-After where it was given; the next one is sound."""
    served = exchange([], faults=parse_faults(fault + "x1"))
    query = {"symbol": "BTCUSDT"}
    reply = only(served).request("/fapi/v1/depth", query, START_NS)
    assert reply.status == status
    assert reply.headers.get("Retry-After") == {429: "3", 418: "120"}.get(status)
    assert only(served).request("/fapi/v1/depth", query, START_NS).status == 200
    rows = served.ledger.table().to_pylist()
    assert [row["status"] for row in rows] == [status, 200]


def test_a_slow_snapshot_is_old_when_it_arrives() -> None:
    """A slow response has the book of its making, and says how long it is kept back."""
    served = exchange(EVENTS, faults=parse_faults("slow_snapshot/5s"))
    reply = only(served).request("/fapi/v1/depth", {"symbol": "BTCUSDT"}, START_NS)
    assert (reply.last_update_id, reply.delay_ns) == (100, 5 * SECOND_NS)


def test_a_stale_snapshot_is_the_book_of_some_time_ago() -> None:
    """A stale response has a book that the stream has left behind; without the fault it is the present one."""
    events = [depth(number, [["9.9", str(number)]], [], due_ns=number * SECOND_NS) for number in range(10)]
    served = exchange(events, faults=parse_faults("stale_snapshot/4sx1"))
    for second in range(10):
        served.advance(START_NS + second * SECOND_NS)
    query = {"symbol": "BTCUSDT"}
    stale, fresh = (only(served).request("/fapi/v1/depth", query, START_NS + 9 * SECOND_NS) for _ in range(2))
    assert (stale.last_update_id, fresh.last_update_id) == (160, 200)
    assert ["9.9", "5"] in json.loads(stale.body)["bids"]
