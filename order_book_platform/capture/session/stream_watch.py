"""One stream of one symbol across all its connections: its ids, and whether it has fallen silent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from order_book_platform.capture.session import message_header
from order_book_platform.capture.session.depth_chain import DepthChain
from order_book_platform.capture.session.message_header import Ids
from order_book_platform.clock import NS_PER_SECOND

StreamKind = Literal["depth", "ticker", "trade", "other"]
_MINUTE_NS = 60 * NS_PER_SECOND
_HOUR_NS = 60 * _MINUTE_NS
READERS: dict[StreamKind, Callable[[bytes, int, bool], Ids | None]] = {
    "depth": message_header.depth_ids,
    "ticker": message_header.ticker_ids,
    "trade": message_header.trade_ids,
    "other": message_header.no_ids,
}
SILENCE_NS: dict[StreamKind, tuple[int, int]] = {
    "depth": (15 * NS_PER_SECOND, 10 * _MINUTE_NS),
    "ticker": (30 * NS_PER_SECOND, 30 * _MINUTE_NS),
    "trade": (2 * _MINUTE_NS, 6 * _HOUR_NS),
    "other": (10 * _MINUTE_NS, 24 * _HOUR_NS),
}
"""Shortest and longest time without a message after which a stream of a kind is called silent."""
FIRST_DATA_NS: dict[StreamKind, int] = {
    "depth": 30 * NS_PER_SECOND,
    "ticker": _MINUTE_NS,
    "trade": 10 * _MINUTE_NS,
    "other": 60 * _MINUTE_NS,
}
"""Time after a subscription within which a stream of a kind is expected to bring something."""
RESTART_MESSAGES = 20
RESTART_NS = 10 * NS_PER_SECOND
"""So many later messages in so long a time without any that leads on: the numbering has begun anew."""
SILENCE_FACTOR = 10
"""A stream is silent after this multiple of the longest pause that it has shown lately."""


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A stream to be recorded.

    Attributes:
        name: name of the stream as the exchange writes it, such as `btcusdt@depth@100ms`.
        kind: which ids its messages have.
        symbol: symbol as the exchange writes it, such as `BTCUSDT`.
        route: route of the connection that carries it; empty for an unrouted path.
    """

    name: str
    kind: StreamKind
    symbol: str
    route: str


class PauseRecord:
    """The longest pause between messages within the last one to two hours.

    Attributes:
        last_ns: monotonic time of the last message; 0 before the first.
    """

    __slots__ = ("_before_ns", "_hour_began_ns", "_longest_ns", "last_ns")

    def __init__(self) -> None:
        self.last_ns = 0
        self._longest_ns = 0
        self._before_ns = 0
        self._hour_began_ns = 0

    def add(self, now_ns: int, since_ns: int | None = None) -> None:
        """Count a message.

        Args:
            now_ns: monotonic time of its arrival.
            since_ns: monotonic time since which a pause is shown that ends with it; None for the last message.
        """
        since_ns = (self.last_ns or now_ns) if since_ns is None else since_ns
        self._longest_ns = max(self._longest_ns, now_ns - since_ns)
        self.last_ns = now_ns

    def longest_ns(self, now_ns: int) -> int:
        """Return the longest pause that was shown lately, ns."""
        if now_ns - self._hour_began_ns > _HOUR_NS:
            self._before_ns, self._longest_ns, self._hour_began_ns = self._longest_ns, 0, now_ns
        return max(self._before_ns, self._longest_ns)


class StreamWatch:
    """State of one stream, whichever connections carry it.

    Args:
        spec: the stream.

    Attributes:
        spec: the stream.
        read: reads the ids of a message of its kind.
        chain: ids of a depth stream; None for others.
        pauses: when messages came.
        messages: messages received, duplicates of a second connection included.
        unreadable: messages without the ids that their kind should have.
        gaps: gaps recorded for this stream.
        last: greatest id of a ticker or trade stream; -1 before the first message.
        last_payload: the last message as received.
        uncovered: since when the stream is not covered (monotonic arrival of the last message before its last
            connection ended, or the opening of that connection where there was none, ns) and the number of that
            connection; None while nothing is in question.
        advanced_ns: monotonic arrival of the last message that brought a greater id, ns; 0 for none.
        silence_calls: how often it has been called silent since its last message.
        called_ns: monotonic time at which it, or all of a connection of it, was last called silent, ns; 0 for never.
        reported_undelivered: whether the operator has been told that it never brought anything.
    """

    __slots__ = (
        "_advanced_payload",
        "_behind",
        "advanced_ns",
        "called_ns",
        "chain",
        "gaps",
        "last",
        "last_payload",
        "messages",
        "pauses",
        "read",
        "reported_undelivered",
        "silence_calls",
        "spec",
        "uncovered",
        "unreadable",
    )

    def __init__(self, spec: StreamSpec) -> None:
        self.spec = spec
        self.chain = DepthChain() if spec.kind == "depth" else None
        self.pauses = PauseRecord()
        self.messages = 0
        self.unreadable = 0
        self.gaps = 0
        self.last = -1
        self.last_payload = b""
        self.uncovered: tuple[int, int] | None = None
        self.advanced_ns = 0
        self.silence_calls = 0
        self.called_ns = 0
        self.reported_undelivered = False
        self._behind = 0
        self._advanced_payload = b""
        self.read = READERS[spec.kind]

    def silence_limit_ns(self, now_ns: int) -> int:
        """Return how long the stream may bring nothing before it is called silent (again), ns."""
        shortest, longest = SILENCE_NS[self.spec.kind]
        usual = min(longest, max(shortest, SILENCE_FACTOR * self.pauses.longest_ns(now_ns)))
        return usual << min(self.silence_calls, 20)

    def is_silent(self, now_ns: int) -> bool:
        """Say whether its last message is further back than its limit, or it has been called silent since."""
        is_beyond = now_ns - self.pauses.last_ns > self.silence_limit_ns(now_ns)
        return self.messages > 0 and (self.silence_calls > 0 or is_beyond)

    def advanced(self, payload: bytes, now_ns: int) -> None:
        """Take note of a depth message that leads on in the chain.

        Args:
            payload: the message as received.
            now_ns: monotonic time of its arrival.
        """
        self._behind = 0
        self._advanced_payload = payload
        self.advanced_ns = now_ns

    def is_behind(self, payload: bytes, now_ns: int) -> bool:
        """Take note of a depth message that brings nothing new, and say whether the numbering has begun anew.

        It has if many messages with later event times came for a while, and none of them led on.

        Args:
            payload: the message as received.
            now_ns: monotonic time of its arrival.
        """
        self._behind += 1
        if self._behind < RESTART_MESSAGES or now_ns - self.advanced_ns < RESTART_NS:
            return False
        before, now = (
            message_header.event_time_ms(self._advanced_payload),
            message_header.event_time_ms(payload),
        )
        return before is not None and now is not None and now > before

    def restart(self) -> None:
        """Forget all ids: the numbering has begun anew, or messages have been dropped."""
        self.last = -1
        self.uncovered = None
        self._behind = 0
        if self.chain is not None:
            self.chain.restart()


class Seat:
    """One stream on one connection.

    Attributes:
        watch: the stream.
        messages: messages that this connection has brought.
        first_previous: greatest id before its first message; None before a message with ids.
        first_ns: monotonic arrival of its first message, ns.
        last: greatest id that it has brought; -1 for none.
        last_ns: monotonic arrival of its last message, ns; 0 for none.
        before_ns: monotonic arrival of the stream's last message before that, by any connection, ns; 0 for none.
        unreadable_ns: monotonic arrival of its last message without the ids that it should have, ns; 0 for none.
        is_joined: whether everything before its first message is there, or inside a gap that has been recorded.
    """

    __slots__ = (
        "before_ns",
        "first_ns",
        "first_previous",
        "is_joined",
        "last",
        "last_ns",
        "messages",
        "unreadable_ns",
        "watch",
    )

    def __init__(self, watch: StreamWatch) -> None:
        self.watch = watch
        self.messages = 0
        self.first_previous: int | None = None
        self.first_ns = 0
        self.is_joined = False
        self.unreadable_ns = 0
        self.before_ns = 0
        self.last = -1
        self.last_ns = 0

    def take(self, payload: bytes, opened_ns: int, now_ns: int) -> None:
        """Count a message.

        A pause counts for the limit of silence as far as this connection has shown it. One that was called silent is no
        pause that the stream usually makes, nor is the time in which it had no connection.

        Args:
            payload: the message as received.
            opened_ns: monotonic time at which the connection was opened.
            now_ns: monotonic time of the arrival.
        """
        watch = self.watch
        since_ns = self.last_ns or opened_ns
        watch.pauses.add(now_ns, since_ns if since_ns >= watch.called_ns else now_ns)
        watch.messages += 1
        watch.last_payload = payload
        watch.silence_calls = 0
        self.messages += 1
        self.last_ns = now_ns
