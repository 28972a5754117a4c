"""One websocket connection as its server sees it: texts and times in, frames out, until something ends it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.exchange.protocol.control_messages import (
    ControlRequest,
    RefusedRequest,
    parse_request,
)
from order_book_platform.exchange.protocol.venue import StreamKind, Venue
from order_book_platform.exchange.protocol.wire_frames import PING, PONG, frame

POLICY_VIOLATION, GOING_AWAY = 1008, 1001
"""Close codes: a client that broke a rule; an exchange that ends a connection by itself."""
_STREAM = re.compile(r"([^@\s]+)@([A-Za-z]+)(?:@\S+)?")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ends.

    Attributes:
        code: close code; None: the connection breaks without a close.
        reason: text of the close.
    """

    code: int | None
    reason: str


@dataclass(slots=True)
class Subscription:
    """One stream of a connection.

    Attributes:
        stream: name as the client spelled it.
        symbol: symbol in upper case.
        kind: stream that the exchange has data for; None for any other name, which is acknowledged and silent.
        wrapper: what comes before the data in combined form; empty in raw form.
    """

    stream: str
    symbol: str
    kind: StreamKind | None
    wrapper: bytes


class ClientSession:
    """The server's side of one connection. It reads no clock: each call says what time it is.

    Args:
        number: of the connection, from 1.
        venue: market.
        route: `public`, `market`, `private`, or empty for a path without one.
        combined: whether data come wrapped.
        now_ns: wall-clock time at which the connection was opened.

    Attributes:
        outbox: frames to be written, in order; whoever writes them clears it.
        ending: how the connection shall end; None while it lives.
        seen_ns: wall-clock time of the last text, ns since the epoch.
        subscriptions: streams by name, in the order of subscribing.
        on_subscribe: called with each new subscription, after it was acknowledged.
        on_unsubscribe: called with each one that ends.
    """

    def __init__(self, number: int, venue: Venue, route: str, combined: bool, now_ns: int) -> None:
        self.number = number
        self.venue = venue
        self.route = route
        self.combined = combined
        self.seen_ns = now_ns
        self.outbox: list[bytes] = []
        self.ending: Ending | None = None
        self.subscriptions: dict[str, Subscription] = {}
        self.on_subscribe: Callable[[Subscription], None] = _nothing
        self.on_unsubscribe: Callable[[Subscription], None] = _nothing
        self.close_at_ns = now_ns + venue.life_ns
        self._incoming: deque[int] = deque()
        self._next_ping_ns = now_ns + venue.ping_every_ns
        self._unanswered: dict[bytes, int] = {}

    # --- from the client ---------------------------------------------------------------------------------------------

    def receive_text(self, text: str, now_ns: int) -> None:
        """Take a text message of the client; the answer, if there is one, is in the outbox."""
        self.seen_ns = now_ns
        if not self._within_limit(now_ns):
            return
        try:
            request = parse_request(text, self.venue.is_spot, self.venue.market.streams_per_connection)
            answer = self._carry_out(request)
        except RefusedRequest as refused:
            answer = refused.body
        self.outbox.append(frame(answer))

    def receive_binary(self, payload: bytes, now_ns: int) -> None:
        """Take a binary message, which no request has; it is read as the text it may hold."""
        self.receive_text(payload.decode("utf-8", errors="replace"), now_ns)

    def receive_ping(self, payload: bytes, now_ns: int) -> None:
        """Answer a client's ping with a pong that has the same payload."""
        if not self.venue.is_spot or self._within_limit(now_ns):
            self.outbox.append(frame(payload, PONG))

    def receive_pong(self, payload: bytes, now_ns: int) -> None:
        """Take a pong: one with the payload of a ping answers it and earlier ones; any other changes nothing."""
        if self.venue.is_spot and not self._within_limit(now_ns):
            return
        sent_ns = self._unanswered.pop(payload, None)
        if sent_ns is not None:
            self._unanswered = {each: ns for each, ns in self._unanswered.items() if ns > sent_ns}

    # --- time --------------------------------------------------------------------------------------------------------

    def tick(self, now_ns: int) -> None:
        """Send a ping that is due; end a connection without pongs, or one that is too old."""
        if self.ending is not None:
            return
        if any(now_ns - sent_ns > self.venue.pong_within_ns for sent_ns in self._unanswered.values()):
            self.end(Ending(POLICY_VIOLATION, "Pong timeout"))
        elif now_ns >= self.close_at_ns:
            self.end(Ending(GOING_AWAY, "Connection has reached its end"))
        elif now_ns >= self._next_ping_ns:
            payload = str(now_ns // 1_000_000).encode()
            self._unanswered[payload] = now_ns
            self._next_ping_ns = now_ns + self.venue.ping_every_ns
            self.outbox.append(frame(payload, PING))

    def end(self, ending: Ending) -> None:
        """End the connection; what is in the outbox is written before."""
        if self.ending is None:
            self.ending = ending
            for subscription in self.subscriptions.values():
                self.on_unsubscribe(subscription)
            self.subscriptions = {}

    # --- streams -----------------------------------------------------------------------------------------------------

    def subscribe(self, streams: list[str]) -> None:
        """Add streams; one that is there already stays as it is."""
        for stream in streams:
            if stream not in self.subscriptions:
                match = _STREAM.fullmatch(stream)
                known = match is not None and match[2] in list(StreamKind) and match[1] == match[1].lower()
                added = Subscription(
                    stream,
                    match[1].upper() if match is not None else "",
                    StreamKind(match[2]) if match is not None and known else None,
                    self._wrapper(stream),
                )
                self.subscriptions[stream] = added
                self.on_subscribe(added)

    def _wrapper(self, stream: str) -> bytes:
        return b'{"stream":"%s","data":' % stream.encode() if self.combined else b""

    def _carry_out(self, request: ControlRequest) -> bytes:
        if request.method == "SUBSCRIBE":
            wanted = dict.fromkeys([*self.subscriptions, *request.params])
            if len(wanted) > self.venue.market.streams_per_connection:
                raise RefusedRequest(2, "Invalid request: too many parameters")
            self.subscribe(request.params)
        elif request.method == "UNSUBSCRIBE":
            for stream in request.params:
                if (gone := self.subscriptions.pop(stream, None)) is not None:
                    self.on_unsubscribe(gone)
        elif request.method == "LIST_SUBSCRIPTIONS":
            return request.answer(list(self.subscriptions))
        elif request.method == "GET_PROPERTY":
            return request.answer(self.combined)
        else:
            self.combined = request.params[1]
            for subscription in self.subscriptions.values():
                subscription.wrapper = self._wrapper(subscription.stream)
        return request.answer()

    def _within_limit(self, now_ns: int) -> bool:
        """Count an incoming message; end the connection of a client that sends too many."""
        if self.ending is not None:
            return False
        self._incoming.append(now_ns)
        while self._incoming[0] <= now_ns - NS_PER_SECOND:
            self._incoming.popleft()
        if len(self._incoming) > self.venue.market.sends_per_second:
            self.end(Ending(POLICY_VIOLATION, "Too many requests"))
        return self.ending is None


def _nothing(_: Subscription) -> None:
    """Take a subscription that nobody watches."""
