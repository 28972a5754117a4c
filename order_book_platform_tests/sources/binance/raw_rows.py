"""Raw logs for tests: rows of a capture, and a true stream of changes seen by several connections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa

from order_book_platform.datasets.raw_capture import raw_capture_schema
from order_book_platform.sources.binance.market import USDM, Market

START_NS = 1_723_161_600_000_000_000
"""2024-08-09 00:00:00 UTC."""


def rules_entry(market: Market, tick: str = "0.10", step: str = "0.001") -> bytes:
    """Return an entry of `exchangeInfo` of BTC."""
    names = {"usdm": ("BTCUSDT", "USDT"), "coinm": ("BTCUSD_PERP", "USD"), "spot": ("BTCUSDT", "USDT")}
    symbol, quote = names[market.name]
    return json.dumps(
        {
            "symbol": symbol,
            "baseAsset": "BTC",
            "quoteAsset": quote,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": "0.1", "maxPrice": "1000000", "tickSize": tick},
                {"filterType": "LOT_SIZE", "stepSize": step, "maxQty": "1000", "minQty": step},
            ],
        }
    ).encode()


@dataclass
class RawRows:
    """Collects rows of a raw log; each comes a millisecond after the one before."""

    market: Market = USDM
    rows: list[dict[str, Any]] = field(default_factory=list)
    now_ns: int = START_NS

    def add(self, kind: str, **values: Any) -> int:
        """Add a row, and return its number."""
        self.now_ns += 1_000_000
        row = {
            "received_time": self.now_ns,
            "monotonic_time": self.now_ns - START_NS + 10**12,
            "connection": 0,
        }
        row |= {"route": "", "kind": kind, "binary": False, "payload": b"", "detail": None}
        detail = values.pop("detail", None)
        self.rows.append(row | values | {"detail": None if detail is None else json.dumps(detail)})
        return len(self.rows) - 1

    def rules(self, **filters: str) -> int:
        """Add the rules of BTC."""
        entry = rules_entry(self.market, **filters)
        names = json.loads(entry)
        detail = {"symbol": names["symbol"], "instrument": self.market.instrument(names).key}
        return self.add("rules", payload=entry, detail=detail)

    def connect(self, connection: int, streams: Sequence[str] = ("btcusdt@depth@100ms",)) -> int:
        """Add the opening of a connection."""
        return self.add("connect", connection=connection, detail={"streams": list(streams), "why": "start"})

    def close(self, connection: int) -> int:
        """Add the end of a connection."""
        return self.add("close", connection=connection, detail={"code": 1006, "by": "network"})

    def message(self, connection: int, message: dict[str, Any], stream: str | None = None) -> int:
        """Add a message, wrapped if a stream is named."""
        whole = message if stream is None else {"stream": stream, "data": message}
        return self.add("message", connection=connection, payload=json.dumps(whole).encode())

    def snapshot(
        self, last_id: int, bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]] = ()
    ) -> int:
        """Add a response to a request for depth."""
        body = json.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks}).encode()
        symbol = json.loads(rules_entry(self.market))["symbol"]
        return self.add("rest", route=self.market.depth_path(symbol), payload=body, detail={"status": 200})

    def batch(self, start: int = 0, stop: int | None = None) -> pa.RecordBatch:
        """Return rows as a record batch."""
        return pa.RecordBatch.from_pylist(self.rows[start:stop], schema=raw_capture_schema(self.market.name))


def depth(
    first: int,
    final: int,
    prev: int,
    bids: Sequence[Any] = (),
    asks: Sequence[Any] = (),
    event_ms: int | None = None,
) -> dict[str, Any]:
    """Return a depth message of BTCUSDT; the event time follows the ids where none is given."""
    time_ms = START_NS // 10**6 + final if event_ms is None else event_ms
    ids = {"U": first, "u": final, "pu": prev}
    return {
        "e": "depthUpdate",
        "E": time_ms,
        "T": time_ms,
        "s": "BTCUSDT",
        **ids,
        "b": list(bids),
        "a": list(asks),
    }


@dataclass
class Truth:
    """A true stream: change number i sets the size of one level.

    Attributes:
        changes: Price in ticks and size of each change; ids begin with 1.
    """

    changes: list[tuple[int, int]]

    @classmethod
    def drawn(cls, random: Random, count: int) -> Truth:
        """Draw so many changes of a few levels."""
        return cls([(random.randint(1, 6), random.randint(0, 9)) for _ in range(count)])

    def book(self, final: int) -> dict[int, int]:
        """Return the levels after a change, of those that were ever set."""
        book = dict(self.changes[:final])
        return {price: size for price, size in book.items() if size}

    def message(self, market: Market, prev: int, final: int) -> dict[str, Any]:
        """Return the message of the changes `prev` + 1 to `final`, with the last size of each level."""
        levels = [[f"{price}.0", f"{size}"] for price, size in dict(self.changes[prev:final]).items()]
        message = depth(prev + 1, final, prev, bids=levels)
        if not market.has_pu:
            del message["pu"], message["T"]
        return message


def merged_connections(
    random: Random, market: Market, truth: Truth, connections: int, loss: float
) -> RawRows:
    """Record a true stream by several connections, each with a grouping, a lag and losses of its own."""
    rows = RawRows(market)
    rows.rules()
    queues: list[list[dict[str, Any]]] = []
    for _ in range(connections):
        at, queue = random.randint(0, 3), []
        while at < len(truth.changes):
            final = min(at + random.randint(1, 5), len(truth.changes))
            if random.random() >= loss:
                queue.append(truth.message(market, at, final))
            at = final
        queues.append(queue)
        rows.connect(len(queues))
    while any(queues):
        number = random.choice([n for n, queue in enumerate(queues) if queue])
        for _ in range(random.randint(1, 3)):
            if queues[number]:
                rows.message(number + 1, queues[number].pop(0), random.choice([None, "btcusdt@depth@100ms"]))
        if not queues[number] and random.random() < 0.5:
            rows.close(number + 1)
    return rows
