"""State that the parts of a session share: its limits, its generator of random numbers, and the actions so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from order_book_platform.capture.session.actions import Action, Record, Warn
from order_book_platform.capture.session.connection import ConnectLimiter
from order_book_platform.capture.session.stream_watch import StreamWatch
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_capture import RowKind


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Limits within which a session works; times in ns.

    Attributes:
        streams_per_connection: most streams of one connection; Binance allows 1024.
        messages_per_second: messages that may be sent on a connection within a second.
        connections_per_5_minutes: attempts to connect within five minutes; Binance allows 300 per address.
        weight_per_minute: request weight within a minute.
        rotate_after_ns: age at which a connection is replaced; Binance ends it at 24 hours.
        silence_min_ns: shortest time without any message after which a connection is replaced.
        silence_max_ns: longest such time.
        overlap_within_ns: how long a new connection waits for a stream that brings nothing.
        snapshot_every_ns: time between two depth snapshots of a symbol.
        rules_every_ns: time between two requests for the rules of the instruments.
        start_within_ns: time within which the first answer of the exchange has to come.
        max_clock_offset_ns: greatest difference between the wall clock and the exchange's at the start.
    """

    streams_per_connection: int = 1024
    messages_per_second: int = 10
    connections_per_5_minutes: int = 200
    weight_per_minute: int = 2000
    rotate_after_ns: int = 23 * 3600 * NS_PER_SECOND
    silence_min_ns: int = 5 * NS_PER_SECOND
    silence_max_ns: int = 60 * NS_PER_SECOND
    overlap_within_ns: int = 60 * NS_PER_SECOND
    snapshot_every_ns: int = 600 * NS_PER_SECOND
    rules_every_ns: int = 24 * 3600 * NS_PER_SECOND
    start_within_ns: int = 30 * NS_PER_SECOND
    max_clock_offset_ns: int = 3600 * NS_PER_SECOND


class SessionContext:
    """State that the parts of a session share.

    Args:
        limits: limits within which the session works.
        random: generator of jitter.
        first_connection: number of the first connection.
        ws_url: base of websocket URLs, for rows.

    Attributes:
        limits: limits within which the session works.
        random: generator of jitter.
        limiter: attempts to connect.
        out: actions that the shell has not taken yet.
        resync: symbols whose chain of depth ids has begun (anew) and that need a snapshot.
    """

    def __init__(self, limits: SessionLimits, random: Random, first_connection: int, ws_url: str) -> None:
        self.limits = limits
        self.random = random
        self.limiter = ConnectLimiter(limits.connections_per_5_minutes)
        self.out: list[Action] = []
        self.resync: set[str] = set()
        self._next_connection = first_connection
        self._next_request = 1
        self._ws_url = ws_url.rstrip("/")

    def url(self, path: str) -> str:
        """Return the URL of a connection without its query."""
        return self._ws_url + path.partition("?")[0]

    def next_connection(self) -> int:
        """Return the number of a new connection."""
        self._next_connection += 1
        return self._next_connection - 1

    def next_request(self) -> int:
        """Return the number of a new request or subscription."""
        self._next_request += 1
        return self._next_request - 1

    def warn(self, event: str, text: str, **fields: object) -> None:
        """Tell the operator something."""
        self.out.append(Warn(event, text, fields))

    def record(
        self,
        kind: RowKind,
        detail: Mapping[str, object],
        connection: int = 0,
        route: str = "",
        payload: bytes = b"",
    ) -> None:
        """Append a row to the raw log."""
        self.out.append(Record(kind, connection, route, payload, detail))

    def break_chain(self, watch: StreamWatch) -> None:
        """Record a hole that nobody fills any more; if a connection had ended before it, that is the reason."""
        if watch.uncovered is None:
            self.gap("chain", [watch], watch.advanced_ns)
        else:
            self.resume(watch, 0, broken=True)

    def resume(self, watch: StreamWatch, connection: int, *, broken: bool) -> None:
        """Record how a stream goes on whose last connection had ended.

        Args:
            watch: the stream, which is not covered.
            connection: number of the connection in which it goes on.
            broken: whether messages may be missing.
        """
        assert watch.uncovered is not None
        since_ns, before = watch.uncovered
        watch.uncovered = None
        if broken:
            self.gap("disconnected", [watch], since_ns)
            return
        detail = {
            "from_connection": before,
            "to_connection": connection,
            "proven": [watch.spec.name],
            "quiet": [],
            "unproven": [],
        }
        self.record(RowKind.BOUNDARY, detail, connection, watch.spec.route)

    def gap(self, why: str, watches: Sequence[StreamWatch], from_ns: int, dropped: int | None = None) -> None:
        """Record that messages of some streams may be missing.

        Args:
            why: reason (docs/formats/raw_log.md).
            watches: the streams.
            from_ns: monotonic time from which on they may be missing.
            dropped: messages known to be dropped; None where that is not known.
        """
        for watch in watches:
            watch.gaps += 1
        names = [watch.spec.name for watch in watches]
        self.warn("gap", f"Messages of {', '.join(names)} may be missing ({why}).", why=why, streams=names)
        self.record(
            RowKind.GAP, {"why": why, "streams": names, "from_monotonic_ns": from_ns, "dropped": dropped}
        )
