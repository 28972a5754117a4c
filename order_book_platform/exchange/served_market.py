"""One market of the exchange: its feeds and books, who listens to what, its REST interface and its handshakes."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.errors import ExchangeError
from order_book_platform.exchange.fault_injection import (
    OF_CONNECTIONS,
    OF_MESSAGES,
    OF_REQUESTS,
    OF_SNAPSHOTS,
    OF_SUBSCRIPTIONS,
    FaultDice,
    FaultKind,
    FaultOrder,
)
from order_book_platform.exchange.feeds.feed_event import Feed, FeedEvent
from order_book_platform.exchange.feeds.groupings import OwnGrouping
from order_book_platform.exchange.feeds.served_book import ServedBook
from order_book_platform.exchange.market_data_connection import Delivery, EventClock, MarketDataConnection
from order_book_platform.exchange.protocol import rest_api
from order_book_platform.exchange.protocol.client_session import Subscription
from order_book_platform.exchange.protocol.request_weight import WeightBudget
from order_book_platform.exchange.protocol.rest_api import Endpoint, RestReply
from order_book_platform.exchange.protocol.venue import UNROUTED, StreamKind, Venue
from order_book_platform.exchange.sent_ledger import SentLedger

GROUP_WITHIN_NS = NS_PER_SECOND // 10
"""Longest time for which a grouping keeps a change back."""
FIVE_MINUTES_NS = 300 * NS_PER_SECOND
HISTORY_NS = 10 * NS_PER_SECOND
"""How far back stale snapshots may go."""


@dataclass(slots=True)
class SharedState:
    """State that the markets of one exchange share.

    Attributes:
        ledger: list of what was sent.
        seed: from which faults and groupings follow.
        orders: faults ordered so far.
        own_groupings: whether each connection has a grouping of depth changes of its own.
        clock: how far `E` and `/time` are from the wall clock.
        connections_opened: connections of all markets so far; the last one's number.
    """

    ledger: SentLedger
    seed: int
    orders: list[FaultOrder] = field(default_factory=list)
    own_groupings: bool = False
    clock: EventClock = field(default_factory=EventClock)
    connections_opened: int = 0

    def dice(self, kinds: frozenset[FaultKind], purpose: str, now_ns: int) -> FaultDice:
        """Give the decisions about the ordered faults of some kinds."""
        chosen = [order for order in self.orders if order.kind in kinds]
        return FaultDice(chosen, f"{self.seed}/{purpose}", now_ns)


@dataclass(frozen=True, slots=True)
class RefusedHandshake:
    """A connection that is not opened.

    Attributes:
        status: HTTP status of the response.
        reason: body of the response.
    """

    status: int
    reason: str


class ServedMarket:
    """One market with its symbols, its clients and its REST interface.

    Args:
        venue: its rules.
        feeds: its symbols.
        budget: of request weight.
        shared: what all markets have in common.
        now_ns: wall-clock time.

    Attributes:
        books: the exchange's own book of each symbol.
        connections: open connections by number.
    """

    def __init__(
        self, venue: Venue, feeds: Sequence[Feed], budget: WeightBudget, shared: SharedState, now_ns: int
    ) -> None:
        self.venue = venue
        self.budget = budget
        self.connections: dict[int, MarketDataConnection] = {}
        self._shared = shared
        self._rules = {feed.rules.symbol: feed.rules for feed in feeds}
        stale = any(order.kind is FaultKind.STALE_SNAPSHOT for order in shared.orders)
        self._history_ns = HISTORY_NS if stale else 0
        self.books = {feed.rules.symbol: ServedBook(feed.seed, self._history_ns) for feed in feeds}
        self.snapshots_asked: set[str] = set()
        self._listeners: dict[tuple[str, StreamKind], dict[tuple[int, str], Delivery]] = defaultdict(dict)
        self._opened_ns: deque[int] = deque()
        self._requests = shared.dice(OF_REQUESTS, f"{venue.market.name}/requests", now_ns)
        self._snapshots = shared.dice(OF_SNAPSHOTS, f"{venue.market.name}/snapshots", now_ns)
        self._handshakes = shared.dice(OF_CONNECTIONS, f"{venue.market.name}/handshakes", now_ns)
        self._endpoints = self._served()

    # --- data --------------------------------------------------------------------------------------------------------

    def publish(self, event: FeedEvent, now_ns: int) -> None:
        """Take an event: into the book, and to everybody who listens."""
        kind = event.kind
        if kind is None:
            return
        if kind is StreamKind.DEPTH:
            self.books[event.symbol].add(event, now_ns)
        listeners = self._listeners.get((event.symbol, kind))
        if listeners:
            for (number, _), delivery in tuple(listeners.items()):
                self.connections[number].deliver(delivery, event, now_ns)

    def tick(self, now_ns: int) -> None:
        """Let time pass: pings, connections that are too old, changes kept back for too long."""
        for listeners in self._listeners.values():
            for (number, _), delivery in tuple(listeners.items()):
                grouping = delivery.grouping
                if (
                    grouping is not None
                    and grouping.waits
                    and now_ns - delivery.waiting_since_ns >= GROUP_WITHIN_NS
                ):
                    self.connections[number].flush(delivery, now_ns)
        for connection in self.connections.values():
            connection.tick(now_ns)

    def order(self, fault: FaultOrder, now_ns: int) -> None:
        """Order a fault from now on.

        Raises:
            ExchangeError: a stale snapshot, for which the books would have had to keep a history from the start on.
        """
        if fault.kind is FaultKind.STALE_SNAPSHOT and not self._history_ns:
            raise ExchangeError(
                expected="stale snapshots ordered at the start",
                found="an order while the exchange runs",
                where=f"{self.venue.market.name}, fault {fault.kind}",
                remedy="Order it when the exchange is made, with @N for the request that shall get it.",
            )
        for kinds, dice in (
            (OF_REQUESTS, self._requests),
            (OF_SNAPSHOTS, self._snapshots),
            (OF_CONNECTIONS, self._handshakes),
        ):
            if fault.kind in kinds:
                dice.add(fault, now_ns)
        if fault.kind in OF_MESSAGES:
            for connection in self.connections.values():
                connection.dice.add(fault, now_ns)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody gets data."""
        return any(self._listeners.values())

    # --- connections -------------------------------------------------------------------------------------------------

    def connect(self, path: str, query: str, now_ns: int) -> MarketDataConnection | RefusedHandshake:
        """Open a connection by the path and query of its handshake.

        Paths are `/ws`, `/ws/<stream>/…`, `/stream` and `/stream?streams=<stream>/…`, after the name of a route where
        the market has routes.
        """
        parts = [part for part in path.split("/") if part]
        route = parts.pop(0) if parts and parts[0] in self.venue.routes and parts[0] else UNROUTED
        if not parts or parts[0] not in ("ws", "stream") or (parts[0] == "stream" and len(parts) > 1):
            return RefusedHandshake(404, "Not Found")
        orders = {order.kind: order for order in self._handshakes.throw(path, now_ns)}
        if FaultKind.REFUSE in orders:
            return self._refused(orders[FaultKind.REFUSE].number, "refused as ordered", path, now_ns)
        most = self.venue.market.connections_per_5_minutes
        while self._opened_ns and self._opened_ns[0] <= now_ns - FIVE_MINUTES_NS:
            self._opened_ns.popleft()
        if most is not None and len(self._opened_ns) >= most:
            return self._refused(429, "Too many connections", path, now_ns)
        self._opened_ns.append(now_ns)
        if FaultKind.WRONG_ROUTE in orders:
            route = "private" if "private" in self.venue.routes else route
        asked = dict(parse_qsl(query))
        wanted = parts[1:] if parts[0] == "ws" else asked.get("streams", "").split("/")
        connection = self._open(route, parts[0] == "stream", [each for each in wanted if each], path, now_ns)
        unit = asked.get("timeUnit", "")
        connection.microseconds = self.venue.is_spot and unit.upper() == "MICROSECOND"
        return connection

    def disconnected(self, connection: MarketDataConnection, code: int | None, now_ns: int) -> None:
        """Take note that a connection is gone, whoever ended it."""
        if self.connections.pop(connection.number, None) is None:
            return
        for subscription in connection.subscriptions.values():
            self._unsubscribe(connection, subscription)
        reason = connection.ending.reason if connection.ending is not None else "by the client"
        self._shared.ledger.note(now_ns, connection.number, "close", reason, status=code)

    def _open(
        self, route: str, combined: bool, streams: list[str], path: str, now_ns: int
    ) -> MarketDataConnection:
        shared = self._shared
        shared.connections_opened += 1
        number = shared.connections_opened
        connection = MarketDataConnection(
            number,
            self.venue,
            route,
            combined,
            now_ns,
            shared.ledger,
            shared.dice(OF_MESSAGES, f"messages/{number}", now_ns),
            shared.clock,
        )
        acknowledged = shared.dice(OF_SUBSCRIPTIONS, f"subscriptions/{number}", now_ns)
        connection.on_subscribe = lambda added: self._subscribe(connection, added, acknowledged)
        connection.on_unsubscribe = lambda gone: self._unsubscribe(connection, gone)
        self.connections[number] = connection
        shared.ledger.note(now_ns, number, "open", path)
        connection.subscribe(streams)
        return connection

    def _refused(self, status: int, reason: str, path: str, now_ns: int) -> RefusedHandshake:
        self._shared.ledger.note(now_ns, 0, "refused", path, status=status)
        return RefusedHandshake(status, reason)

    def _subscribe(self, connection: MarketDataConnection, added: Subscription, dice: FaultDice) -> None:
        """Let a connection listen to a stream, if its route has it."""
        now_ns = connection.seen_ns
        kind = added.kind
        if kind is None or added.symbol not in self._rules or not self.venue.delivers(connection.route, kind):
            self._shared.ledger.note(now_ns, connection.number, "undelivered", added.stream)
            return
        faults = dice.throw(added.stream, now_ns)
        grouping = None
        if self._shared.own_groupings and kind is StreamKind.DEPTH:
            grouping = OwnGrouping.seeded(f"{self._shared.seed}/{connection.number}/{added.stream}")
        delivery = Delivery(added, grouping, FaultKind.SILENT_ACK if faults else "")
        self._listeners[(added.symbol, kind)][(connection.number, added.stream)] = delivery

    def _unsubscribe(self, connection: MarketDataConnection, gone: Subscription) -> None:
        if gone.kind is not None:
            self._listeners[(gone.symbol, gone.kind)].pop((connection.number, gone.stream), None)

    # --- REST --------------------------------------------------------------------------------------------------------

    def request(self, path: str, query: Mapping[str, str], now_ns: int) -> RestReply:
        """Answer a GET request."""
        reply = self._ordered_refusal(path, now_ns)
        if reply is None:
            reply = rest_api.respond(self._endpoints.get(path), query, self.budget, now_ns)
        fault = None
        if reply.last_update_id is not None:
            self.snapshots_asked.add(query["symbol"])
            reply, fault = self._faulty_snapshot(reply, query, now_ns)
        self._shared.ledger.note(
            now_ns, 0, "rest", path, fault, reply.status, reply.used_weight, reply.last_update_id
        )
        return reply

    def _ordered_refusal(self, path: str, now_ns: int) -> RestReply | None:
        orders = self._requests.throw(path, now_ns)
        if not orders:
            return None
        charge = self.budget.charge(1, now_ns)
        status, retry_after_s = int(orders[0].kind), orders[0].ns // NS_PER_SECOND
        if status in (429, 418):
            until_ms = now_ns // 1_000_000 + retry_after_s * 1000
            refused = replace(charge, status=status, retry_after_s=retry_after_s, until_ms=until_ms)
            return rest_api.refusal(refused, self.budget.weight_per_minute)
        headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
        if status == 403:
            return RestReply(
                403, b"<html><body>403 Forbidden</body></html>", headers, used_weight=charge.used_weight
            )
        body = rest_api.error_body(-1001, "Internal error; unable to process your request. Please try again.")
        return RestReply(status, body, headers, used_weight=charge.used_weight)

    def _faulty_snapshot(
        self, reply: RestReply, query: Mapping[str, str], now_ns: int
    ) -> tuple[RestReply, str | None]:
        orders = {order.kind: order for order in self._snapshots.throw(query["symbol"], now_ns)}
        fault = None
        if FaultKind.STALE_SNAPSHOT in orders:
            fault = FaultKind.STALE_SNAPSHOT
            body, last_id = self._depth(query, now_ns, min(orders[fault].ns, HISTORY_NS))
            reply = replace(reply, body=body, last_update_id=last_id)
        if FaultKind.SLOW_SNAPSHOT in orders:
            fault = FaultKind.SLOW_SNAPSHOT
            reply = replace(reply, delay_ns=orders[fault].ns)
        return reply, fault

    def _served(self) -> dict[str, Endpoint]:
        """Return the endpoints by their paths."""
        prefix, weight = self.venue.market.rest_prefix, self.venue.exchange_info_weight
        return {
            f"{prefix}/ping": Endpoint(lambda _: 1, lambda _, __: (b"{}", None)),
            f"{prefix}/time": Endpoint(
                lambda _: 1, lambda _, now_ns: (b'{"serverTime":%d}' % self._clock_ms(now_ns), None)
            ),
            f"{prefix}/exchangeInfo": Endpoint(
                lambda _: weight,
                lambda _, now_ns: (
                    rest_api.exchange_info_body(self._rules.values(), self.venue, now_ns),
                    None,
                ),
            ),
            f"{prefix}/depth": Endpoint(self._depth_weight, self._depth),
        }

    def _clock_ms(self, now_ns: int) -> int:
        return now_ns // 1_000_000 + self._shared.clock.shift_ms

    def _depth_weight(self, query: Mapping[str, str]) -> int:
        rest_api.requested_symbol(query, self._rules)
        return self.venue.market.depth_weight(rest_api.depth_limit(query, self.venue))

    def _depth(self, query: Mapping[str, str], now_ns: int, age_ns: int = 0) -> tuple[bytes, int]:
        symbol = query["symbol"]
        book = self.books[symbol].depth(rest_api.depth_limit(query, self.venue), now_ns, age_ns)
        return rest_api.depth_body(book, symbol, self.venue), book.last_update_id
