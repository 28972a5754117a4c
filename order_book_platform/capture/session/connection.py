"""State of one websocket connection, and the limits under which connections are opened."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

from order_book_platform.capture.session.stream_watch import PauseRecord, Seat, StreamWatch
from order_book_platform.clock import NS_PER_SECOND

MAX_PATH_CHARACTERS = 4000
"""Longest path and query of a connection's URL; streams that do not fit are subscribed to by messages."""
STREAMS_PER_MESSAGE = 100
"""Streams in one SUBSCRIBE message."""
ATTEMPTS_WINDOW_NS = 300 * NS_PER_SECOND


class ConnectLimiter:
    """Attempts to connect within five minutes, of which the exchange allows 300 per address.

    Args:
        limit: attempts that may be made here; the rest is left to others on the same address.

    Attributes:
        blocked_until_ns: monotonic time before which no connection may be opened.
    """

    def __init__(self, limit: int) -> None:
        self.blocked_until_ns = 0
        self._limit = limit
        self._attempts: deque[int] = deque()

    def may_connect(self, now_ns: int) -> bool:
        """Say whether a connection may be opened at a monotonic time, ns."""
        while self._attempts and self._attempts[0] <= now_ns - ATTEMPTS_WINDOW_NS:
            self._attempts.popleft()
        return now_ns >= self.blocked_until_ns and len(self._attempts) < self._limit

    def connect(self, now_ns: int) -> None:
        """Count an attempt to open a connection at a monotonic time, ns."""
        self._attempts.append(now_ns)


class Connection:
    """One websocket connection with the streams that it is to carry.

    Args:
        number: number of the connection in the log.
        route: its route; empty for an unrouted path.
        watches: streams that it is to carry.
        why: reason for which it is opened.

    Attributes:
        number: number of the connection in the log.
        why: reason for which it is opened.
        path: path and query of its URL.
        seats: its streams by name.
        state: `connecting`, `open`, or `closing` once it is asked to close.
        was_opened: whether it has ever been open.
        opened_ns: monotonic time at which it was opened.
        pauses: when its messages came, whatever their stream.
        to_subscribe: streams that are not in the URL and not yet subscribed to.
        subscribe_ns: monotonic time from which on the next SUBSCRIBE may be sent.
        asked: streams of each SUBSCRIBE that is not acknowledged, by its id.
        shutting_down: whether the exchange has announced its end.
    """

    def __init__(self, number: int, route: str, watches: Sequence[StreamWatch], why: str) -> None:
        self.number = number
        self.why = why
        self.seats = {watch.spec.name.encode(): Seat(watch) for watch in watches}
        self.state: Literal["connecting", "open", "closing"] = "connecting"
        self.was_opened = False
        self.opened_ns = 0
        self.pauses = PauseRecord()
        self.path, self.to_subscribe = _path(route, [watch.spec.name for watch in watches])
        self.subscribe_ns = 0
        self.asked: dict[int, tuple[str, ...]] = {}
        self.shutting_down = False

    def next_subscription(self, request: int) -> str:
        """Take the next streams to subscribe to, and return the message.

        Args:
            request: id of the message.
        """
        names = self.to_subscribe[:STREAMS_PER_MESSAGE]
        del self.to_subscribe[:STREAMS_PER_MESSAGE]
        self.asked[request] = tuple(names)
        return json.dumps({"method": "SUBSCRIBE", "params": names, "id": request}, ensure_ascii=False)


def _path(route: str, names: list[str]) -> tuple[str, list[str]]:
    """Return the path with as many streams as fit, and the others."""
    base = f"/{route}/stream?streams=" if route else "/stream?streams="
    quoted = [quote(name, safe="@!_") for name in names]
    length, fitting = len(base), 0
    for name in quoted:
        length += len(name) + 1
        if length > MAX_PATH_CHARACTERS:
            break
        fitting += 1
    return base + "/".join(quoted[:fitting]), names[fitting:]
