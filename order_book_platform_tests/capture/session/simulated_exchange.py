"""An exchange without I/O that a session is driven against: it knows every change, and loses what it is told to."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from order_book_platform.capture.session import CaptureSession, SessionLimits, StreamSpec
from order_book_platform.capture.session.actions import (
    Action,
    Close,
    Connect,
    Fail,
    Fetch,
    Record,
    Send,
    Warn,
)
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.sources.binance.market import Market
from order_book_platform_tests.manual_clock import ManualClock

EPOCH_NS = 1_760_000_000 * NS_PER_SECOND
WEIGHTS = {"exchangeInfo": 1, "depth": 20}


@dataclass
class Faults:
    """Chances per step; all of them are zero for a calm exchange.

    Attributes:
        disconnect: a connection ends.
        mute: a connection goes silent for good.
        mute_stream: one stream of a connection goes silent for good.
        drop: a message is lost inside a connection.
        duplicate: a message is sent twice.
        refuse_connect: a new connection is refused.
        refuse: a request is answered with 429, 503 or nothing at all.
        stale: a snapshot is older than it should be.
    """

    disconnect: float = 0.0
    mute: float = 0.0
    mute_stream: float = 0.0
    drop: float = 0.0
    duplicate: float = 0.0
    refuse_connect: float = 0.0
    refuse: float = 0.0
    stale: float = 0.0


@dataclass
class SimulatedConnection:
    """One connection as the exchange sees it.

    Attributes:
        streams: names of its streams.
        previous: last id that was sent of each depth stream.
        pending: whether each depth stream has changes that are not sent.
        first: first id that is pending of each depth stream.
        mute: whether it sends nothing any more.
        mute_streams: streams that it sends nothing of any more.
    """

    streams: list[str]
    previous: dict[str, int] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)
    mute: bool = False
    mute_streams: set[str] = field(default_factory=set)


class SimulatedExchange:
    """Drives a session: carries out its actions and reports events, all by a manual clock.

    Attributes:
        clock: the clock.
        session: the session under test.
        rows: recorded rows with their monotonic time, in order; a message has its payload.
        sent: (stream, id) of all changes that were there to be recorded, with the time of each.
        warnings: events of warnings.
        failures: reasons for which the session gave up.
        requests: monotonic time and weight of each request.
        connects: monotonic time of each attempt to connect.
    """

    def __init__(
        self, market: Market, specs: Sequence[StreamSpec], limits: SessionLimits, seed: int, faults: Faults
    ) -> None:
        self.clock = ManualClock(EPOCH_NS)
        self.clock.advance(NS_PER_SECOND)
        self.market = market
        self.faults = faults
        self.random = Random(seed)
        self.session = CaptureSession(
            market, specs, limits=limits, random=Random(seed + 1), ws_url="wss://exchange"
        )
        self.rows: list[tuple[int, str, bytes, dict[str, Any]]] = []
        self.sent: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self.warnings: list[str] = []
        self.failures: list[Fail] = []
        self.requests: list[tuple[int, int]] = []
        self.connects: list[int] = []
        self.live: dict[int, SimulatedConnection] = {}
        self.symbols = list(dict.fromkeys(spec.symbol for spec in specs))
        self.rates = dict.fromkeys(self.symbols, 1.0)
        self._opening: deque[tuple[int, int, str]] = deque()
        self._closing: deque[tuple[int, int]] = deque()
        self._answers: deque[tuple[int, int, str]] = deque()
        self._id = 10_000
        self._spec_of = {spec.name: spec for spec in specs}
        self._old_id = dict.fromkeys(self.symbols, 10_000)

    # --- time -------------------------------------------------------------------------------------------------------

    def step(self, ns: int = NS_PER_SECOND // 10) -> None:
        """Let time pass, and everything happen that is due."""
        self.clock.advance(ns)
        now_ns = self.clock.monotonic_ns()
        self._open_and_close(now_ns)
        self._answer(now_ns)
        for symbol in self.symbols:
            if self.random.random() < self.rates[symbol]:
                self._change(symbol, now_ns)
        self._break(now_ns)
        self.carry_out(self.session.on_time(now_ns))

    def run(self, seconds: float, ns: int = NS_PER_SECOND // 10) -> None:
        """Let some time pass in steps."""
        for _ in range(round(seconds * NS_PER_SECOND / ns)):
            self.step(ns)

    # --- actions ----------------------------------------------------------------------------------------------------

    def carry_out(self, actions: Sequence[Action]) -> None:
        """Carry out the session's actions."""
        now_ns = self.clock.monotonic_ns()
        delay_ns = self.random.randrange(1, NS_PER_SECOND)
        for action in actions:
            match action:
                case Record(kind, connection, route, payload, detail):
                    row = {"connection": connection, "route": route, **json.loads(json.dumps(dict(detail)))}
                    self.rows.append((now_ns, kind.value, payload, row))
                case Connect(connection, _, path):
                    self.connects.append(now_ns)
                    self._opening.append((now_ns + delay_ns, connection, path))
                case Close(connection):
                    self._closing.append((now_ns + delay_ns // 4, connection))
                case Fetch(request, path):
                    self.requests.append((now_ns, WEIGHTS[path.partition("?")[0].rpartition("/")[2]]))
                    self._answers.append((now_ns + delay_ns, request, path))
                case Send(connection, text):
                    asked = json.loads(text)
                    if connection in self.live:
                        self.live[connection].streams += asked["params"]
                        self.deliver(connection, json.dumps({"result": None, "id": asked["id"]}).encode())
                case Warn(event):
                    self.warnings.append(event)
                case Fail():
                    self.failures.append(action)

    def stop(self, *, complete: bool = True) -> None:
        """Let the session stop, and end all connections."""
        self.carry_out(self.session.stop(self.clock.monotonic_ns()))
        for connection in list(self.live):
            self.close(connection, "recorder", complete=complete)
        self.carry_out(self.session.finish(self.clock.monotonic_ns()))

    def deliver(self, connection: int, payload: bytes) -> None:
        """Send a message to the session, as a shell would."""
        now_ns = self.clock.monotonic_ns()
        self.rows.append((now_ns, "message", payload, {"connection": connection}))
        self.carry_out(self.session.on_message(connection, payload, now_ns))

    def close(self, connection: int, by: str = "network", *, complete: bool = False) -> None:
        """End a connection, with everything that was sent or without what was on its way."""
        self.live.pop(connection, None)
        actions = self.session.on_closed(
            connection, self.clock.monotonic_ns(), code=None, reason="ended", by=by, complete=complete
        )
        self.carry_out(actions)

    # --- the market -------------------------------------------------------------------------------------------------

    def _change(self, symbol: str, now_ns: int) -> None:
        """Make one change of the book, a ticker and sometimes a trade, and send what is due on each connection."""
        self._id += self.random.randrange(1, 4) if self.market.has_pu else 1
        kinds = ["depth", "ticker", "other"] + (["trade"] if self.random.random() < 0.5 else [])
        for name, spec in self._spec_of.items():
            if spec.symbol != symbol or spec.kind not in kinds:
                continue
            self.sent[name].append((self._id, now_ns))
            for number in list(self.live):
                if number in self.live and name in self.live[number].streams:
                    self._send(number, name, spec, now_ns)

    def _send(self, number: int, name: str, spec: StreamSpec, now_ns: int) -> None:
        live = self.live[number]
        event_ms = self.clock.now_ns() // 10**6
        if spec.kind == "depth":
            first = live.first.setdefault(name, self._id)
            if self.random.random() < 0.4:  # grouped: more changes come into the next message
                return
            before = live.previous.get(
                name, first - 1 if not self.market.has_pu else self._last_before(name, first)
            )
            del live.first[name]
            live.previous[name] = self._id
            data = {"e": "depthUpdate", "E": event_ms, "s": spec.symbol, "U": before + 1, "u": self._id}
            data |= {"pu": before} if self.market.has_pu else {}
            data |= {"b": [], "a": []}
        elif spec.kind == "ticker":
            data = {"u": self._id, "s": spec.symbol, "b": "1", "B": "1", "a": "2", "A": "1"}
        else:
            data = {"e": "trade", "E": event_ms, "s": spec.symbol, "t": self._trade(name), "p": "1", "q": "1"}
        if live.mute or name in live.mute_streams or self.random.random() < self.faults.drop:
            return
        payload = json.dumps({"stream": name, "data": data}, separators=(",", ":")).encode()
        for _ in range(2 if self.random.random() < self.faults.duplicate else 1):
            if number in self.live:
                self.deliver(number, payload)

    def _last_before(self, name: str, first: int) -> int:
        """The id of the change before the one with this id."""
        earlier = [number for number, _ in self.sent[name][-50:] if number < first]
        return earlier[-1] if earlier else first - 1

    def _trade(self, name: str) -> int:
        return len(self.sent[name])

    # --- what happens -----------------------------------------------------------------------------------------------

    def _open_and_close(self, now_ns: int) -> None:
        for _ in range(len(self._opening)):
            due_ns, number, path = self._opening.popleft()
            if due_ns > now_ns:
                self._opening.append((due_ns, number, path))
            elif self.random.random() < self.faults.refuse_connect:
                self.close(number)
            else:
                streams = parse_qs(urlsplit(path).query)["streams"][0].split("/")
                self.live[number] = SimulatedConnection([unquote(name) for name in streams])
                self.carry_out(self.session.on_opened(number, now_ns))
        for _ in range(len(self._closing)):
            due_ns, number = self._closing.popleft()
            if due_ns > now_ns or any(number == each for _, each, _ in self._opening):
                self._closing.append((due_ns, number))
            elif number in self.live:
                self.close(number, "recorder", complete=True)

    def _break(self, now_ns: int) -> None:
        for number, live in list(self.live.items()):
            if self.random.random() < self.faults.disconnect:
                self.close(number)
            elif self.random.random() < self.faults.mute:
                live.mute = True
            elif self.random.random() < self.faults.mute_stream:
                live.mute_streams.add(self.random.choice(live.streams))

    def _answer(self, now_ns: int) -> None:
        for _ in range(len(self._answers)):
            due_ns, request, path = self._answers.popleft()
            if due_ns > now_ns:
                self._answers.append((due_ns, request, path))
                continue
            self.carry_out(self._response(request, path, now_ns))

    def _response(self, request: int, path: str, now_ns: int) -> Sequence[Action]:
        minute = [
            weight for at_ns, weight in self.requests if at_ns // (60 * 10**9) == now_ns // (60 * 10**9)
        ]
        options: dict[str, Any] = {"used_weight": sum(minute)}
        status, body = 200, b"{}"
        if self.random.random() < self.faults.refuse:
            status = self.random.choice([0, 429, 503, 418, 403])
            if status == 0:
                return self.session.on_request_failed(request, "no route", now_ns)
            options["retry_after_s"] = 3.0 if status in (429, 418) else None
        elif path.startswith(self.market.exchange_info_path):
            body = self.exchange_info()
        else:
            symbol = parse_qs(urlsplit(path).query)["symbol"][0]
            last = self._old_id[symbol] if self.random.random() < self.faults.stale else self._id
            self._old_id[symbol] = self._id - 200
            body = json.dumps({"lastUpdateId": last, "bids": [], "asks": []}).encode()
        return self.session.on_response(request, status, body, now_ns, self.clock.now_ns(), **options)

    def exchange_info(self) -> bytes:
        """A response of exchangeInfo."""
        symbols = [
            {"symbol": symbol, "status": "TRADING", "baseAsset": symbol[:3], "quoteAsset": symbol[3:]}
            for symbol in self.symbols
        ]
        document = {"timezone": "UTC", "serverTime": self.clock.now_ns() // 10**6, "symbols": symbols}
        return json.dumps(document, separators=(",", ":")).encode()
