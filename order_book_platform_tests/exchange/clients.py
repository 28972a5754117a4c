"""Shared by tests of the exchange: feeds of a few events, a book kept by the documented rules, frames taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from order_book_platform.exchange import ExchangeOptions, LocalExchange
from order_book_platform.exchange.feeds.feed_event import BookSeed, FeedEvent, Levels, SymbolRules
from order_book_platform.exchange.protocol.client_session import ClientSession
from order_book_platform.exchange.protocol.venue import StreamKind
from order_book_platform.exchange.served_market import RefusedHandshake

START_NS = 1_796_000_000_000_000_000
SECOND_NS = 1_000_000_000
SEED = BookSeed(
    100, [["10.0", "5"], ["9.9", "1"]], [["10.1", "2"], ["10.2", "7"]], 1_796_000_000_000, 1_796_000_000_000
)


@dataclass(frozen=True)
class ListedFeed:
    """A feed of events that a test lists."""

    listed: Sequence[FeedEvent]
    symbol: str = "BTCUSDT"
    seed: BookSeed = SEED

    @property
    def rules(self) -> SymbolRules:
        """An instrument with a tick of 0.1 and a lot of 1."""
        return SymbolRules(self.symbol, "BTC", "USDT", "0.1", "1")

    def events(self, start_ns: int) -> Iterator[FeedEvent]:
        """The listed events."""
        del start_ns
        return iter(self.listed)


def depth(
    number: int, bids: Levels, asks: Levels, due_ns: int = 0, ids: int = 10, spot: bool = False
) -> FeedEvent:
    """The depth event after `number` others: ids in steps of `ids`, from that of `SEED` on."""
    previous = SEED.last_update_id + number * ids
    first, final = previous + (1 if spot else 3), previous + ids
    times = {"E": 1_796_000_000_000 + number, "T": 1_796_000_000_000 + number}
    content: dict[str, Any] = {"e": "depthUpdate", **times, "s": "BTCUSDT", "U": first, "u": final}
    if spot:
        del content["T"]
    else:
        content["pu"] = previous
    payload = json.dumps({**content, "b": bids, "a": asks}, separators=(",", ":")).encode()
    chain = -1 if spot else previous
    return FeedEvent(
        due_ns, "BTCUSDT", StreamKind.DEPTH, payload, first, final, chain, times["E"], times["T"]
    )


def ticker(number: int, due_ns: int = 0) -> FeedEvent:
    """A best bid and ask with an update id."""
    payload = (
        b'{"e":"bookTicker","u":%d,"s":"BTCUSDT","b":"10.0","B":"1","a":"10.1","A":"1","T":1,"E":1}' % number
    )
    return FeedEvent(due_ns, "BTCUSDT", StreamKind.TICKER, payload, number, number, -1, 1, 1)


def trade(number: int, due_ns: int = 0) -> FeedEvent:
    """A trade with an id."""
    payload = (
        b'{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":%d,"p":"10.0","q":"1","X":"MARKET","m":true}' % number
    )
    return FeedEvent(due_ns, "BTCUSDT", StreamKind.TRADE, payload, number, number, -1, 1, 1)


def exchange(events: Sequence[FeedEvent], market: str = "usdm", **options: Any) -> LocalExchange:
    """An exchange with one symbol and listed events."""
    return LocalExchange({market: [ListedFeed(events)]}, ExchangeOptions(**options), START_NS)


def connected(served: LocalExchange, path: str, query: str = "", now_ns: int = START_NS) -> Any:
    """A connection to the only market of an exchange."""
    (market,) = served.markets.values()
    connection = market.connect(path, query, now_ns)
    assert not isinstance(connection, RefusedHandshake), connection
    return connection


def frames(session: ClientSession) -> list[tuple[int, bytes]]:
    """Take the frames out of an outbox: opcode and payload of each."""
    data, found = b"".join(session.outbox), []
    session.outbox = []
    while data:
        opcode, length, start = data[0] & 0x0F, data[1], 2
        assert data[0] & 0x80, "a final frame"
        if length == 126:
            length, start = int.from_bytes(data[2:4]), 4
        elif length == 127:
            length, start = int.from_bytes(data[2:10]), 10
        found.append((opcode, data[start : start + length]))
        data = data[start + length :]
    return found


def texts(session: ClientSession) -> list[Any]:
    """Take the text messages out of an outbox, as JSON."""
    return [json.loads(payload) for opcode, payload in frames(session) if opcode == 1]


class ClientBook:
    """A book that a client keeps by the documented procedure, strict in the chain."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.sides = tuple(dict(map(tuple, snapshot[side])) for side in ("bids", "asks"))
        self.last_id = snapshot["lastUpdateId"]
        self._bridged = False

    def apply(self, data: dict[str, Any]) -> None:
        """Take a depth message; one that the snapshot holds already is dropped."""
        spot = "pu" not in data
        if data["u"] < self.last_id or (spot and data["u"] == self.last_id):
            return
        if self._bridged:
            follows = data["U"] == self.last_id + 1 if spot else data["pu"] == self.last_id
        elif spot:
            follows = data["U"] <= self.last_id + 1 <= data["u"]
        else:
            follows = data["U"] <= self.last_id <= data["u"] or data["pu"] == self.last_id
        assert follows, (self.last_id, {key: data.get(key) for key in ("U", "u", "pu")})
        self._bridged, self.last_id = True, data["u"]
        for side, levels in zip(self.sides, (data["b"], data["a"]), strict=True):
            for price, quantity in levels:
                if float(quantity):
                    side[price] = quantity
                else:
                    side.pop(price, None)
