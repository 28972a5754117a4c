"""A session that records the local exchange, both without I/O and by one clock: minutes of a market in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from random import Random
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from order_book_platform.capture.row_buffer import Row, own_row
from order_book_platform.capture.session import CaptureSession, SessionLimits, StreamSpec
from order_book_platform.capture.session.actions import Action, Close, Connect, Fail, Fetch, Record, Send
from order_book_platform.clock import NS_PER_MS
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.exchange import LocalExchange
from order_book_platform.exchange.market_data_connection import MarketDataConnection
from order_book_platform.exchange.protocol.rest_api import RestReply
from order_book_platform.exchange.served_market import ServedMarket
from order_book_platform.sources.binance.market import Market
from order_book_platform_tests.exchange.clients import frames

STEP_NS = 2 * NS_PER_MS
"""Time between two looks at what is due, as the exchange has it on sockets."""
TICK_STEPS = 50
"""Steps between two calls of `on_time`, as the capture has it."""
MONOTONIC_FROM_NS = 10**12


class LocalSession:
    """Carries out a session's actions on an exchange of one market.

    Args:
        exchange: exchange with one market.
        market: that market.
        specs: streams to be recorded.
        limits: limits of the session.
        now_ns: wall-clock time, ns since the epoch.

    Attributes:
        rows: rows of the raw log so far.
        failures: reasons for which the session gave up.
        answered: of each answered request for depth the time that its answer took, ns.
    """

    def __init__(
        self,
        exchange: LocalExchange,
        market: Market,
        specs: Sequence[StreamSpec],
        limits: SessionLimits,
        now_ns: int,
    ) -> None:
        self.rows: list[Row] = []
        self.failures: list[Fail] = []
        self.answered: list[int] = []
        self.now_ns = now_ns
        self._start_ns = now_ns
        self._exchange = exchange
        self._market: ServedMarket = exchange.markets[market.name]
        self.session = CaptureSession(market, specs, limits=limits, random=Random(1), ws_url="wss://exchange")
        self._open: dict[int, MarketDataConnection] = {}
        self._routes: dict[int, str] = {}
        self._answers: list[tuple[int, int, int, RestReply]] = []

    @property
    def monotonic_ns(self) -> int:
        """The monotonic clock, ns."""
        return self.now_ns - self._start_ns + MONOTONIC_FROM_NS

    def run_until_finished(self, settle_ns: int) -> None:
        """Go on until the feeds are over and a time has passed since then, ns."""
        over_ns = None
        steps = 0
        while over_ns is None or self.now_ns < over_ns + settle_ns:
            self.step()
            steps += 1
            if steps % TICK_STEPS == 0:
                self.carry_out(self.session.on_time(self.monotonic_ns))
            if over_ns is None and self._exchange.player.finished:
                over_ns = self.now_ns

    def step(self) -> None:
        """Let a step of time pass, and hand on what the exchange has to say by then."""
        self.now_ns += STEP_NS
        self._exchange.advance(self.now_ns, 10**6)
        for number, connection in tuple(self._open.items()):
            for opcode, payload in frames(connection):
                if opcode == 1:
                    row = (self.now_ns, self.monotonic_ns, number, self._routes[number])
                    self.rows.append(Row(*row, RowKind.MESSAGE.value, False, payload, None))
                    self.carry_out(self.session.on_message(number, payload, self.monotonic_ns))
                elif opcode == 9:
                    connection.receive_pong(payload, self.now_ns)
            if connection.ending is not None:
                self._end(number, "exchange")
        while self._answers and self._answers[0][0] <= self.now_ns:
            _, request, sent_ns, reply = heappop(self._answers)
            if reply.last_update_id is not None:
                self.answered.append(self.now_ns - sent_ns)
            found = self.session.on_response(
                request,
                reply.status,
                reply.body,
                self.monotonic_ns,
                self.now_ns,
                used_weight=reply.used_weight,
            )
            self.carry_out(found)

    def carry_out(self, actions: Sequence[Action]) -> None:
        """Carry out the session's actions."""
        for action in actions:
            match action:
                case Record(kind, connection, route, payload, detail):
                    options: dict[str, Any] = {"connection": connection, "route": route, "payload": payload}
                    self.rows.append(own_row(kind, self.now_ns, self.monotonic_ns, detail, **options))
                case Connect(number, route, path):
                    url = urlsplit(path)
                    opened = self._market.connect(url.path, url.query, self.now_ns)
                    assert isinstance(opened, MarketDataConnection), opened
                    self._open[number], self._routes[number] = opened, route
                    self.carry_out(self.session.on_opened(number, self.monotonic_ns))
                case Send(number, text):
                    self._open[number].receive_text(text, self.now_ns)
                case Close(number):
                    self._end(number, "recorder")
                case Fetch(request, path):
                    url = urlsplit(path)
                    reply = self._market.request(url.path, dict(parse_qsl(url.query)), self.now_ns)
                    heappush(
                        self._answers, (self.now_ns + reply.delay_ns + STEP_NS, request, self.now_ns, reply)
                    )
                case Fail():
                    self.failures.append(action)

    def _end(self, number: int, by: str) -> None:
        """End a connection; what it had not handed on is lost."""
        connection = self._open.pop(number)
        code = connection.ending.code if connection.ending is not None else 1000
        self._market.disconnected(connection, code, self.now_ns)
        self.carry_out(
            self.session.on_closed(number, self.monotonic_ns, code=code, reason="ended", by=by)  # type: ignore[arg-type]
        )
