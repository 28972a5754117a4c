"""Connections that carry one set of streams: one in use, and a successor while it is being replaced."""

from __future__ import annotations

from collections.abc import Sequence

from order_book_platform.capture.session.actions import Close, Connect, ConnectReason, Send
from order_book_platform.capture.session.backoff import Backoff
from order_book_platform.capture.session.connection import Connection
from order_book_platform.capture.session.context import SessionContext
from order_book_platform.capture.session.overlap import Overlap, compare, outcome
from order_book_platform.capture.session.stream_watch import FIRST_DATA_NS, SILENCE_FACTOR, Seat, StreamWatch
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_capture import RowKind

FIRST_WAIT_NS = NS_PER_SECOND // 2
"""Greatest wait before the first attempt to connect again."""
STABLE_NS = 60 * NS_PER_SECOND
"""A connection that has lived so long was a success, and waits begin anew."""
ROTATION_SPREAD = 0.02
"""Share of the age of rotation by which groups differ, so that not all are replaced at once."""
PING_SHARE = 2
"""Only every so many-th of the messages that may be sent is a SUBSCRIBE: pongs count, too."""


class ConnectionGroup:
    """Keeps one set of streams connected.

    Args:
        route: route of its connections.
        watches: its streams.
        context: state of the session.

    Attributes:
        current: connection in use; None between two attempts.
        successor: connection that is going to replace it, while there is one.
        closing: connections that were asked to close and have not ended.
    """

    def __init__(self, route: str, watches: Sequence[StreamWatch], context: SessionContext) -> None:
        self.route = route
        self.watches = tuple(watches)
        self.current: Connection | None = None
        self.successor: Connection | None = None
        self.closing: list[Connection] = []
        self._context = context
        self._backoff = Backoff(context.random, FIRST_WAIT_NS)
        self._next_attempt_ns = 0
        self._why: ConnectReason = "start"
        self._silence_calls = 0
        self._wanted: ConnectReason | None = None
        self._lifetime_ns = 0
        self._stopping = False

    # --- events -----------------------------------------------------------------------------------------------------

    def connections(self) -> list[Connection]:
        """Return all connections that have not ended."""
        return [each for each in (self.current, self.successor, *self.closing) if each is not None]

    def on_time(self, now_ns: int) -> None:
        """Do what is due."""
        if self.current is None:
            if now_ns >= self._next_attempt_ns and self._context.limiter.may_connect(now_ns):
                self.current = self._connect(self._why, now_ns)
            return
        for connection in (self.current, self.successor):
            if connection is not None and connection.state == "open":
                self._subscribe(connection, now_ns)
        if self.successor is None:
            self._replace_if_due(self.current, now_ns)
        elif self.successor.state == "open":
            self._swap_if_settled(self.current, self.successor, now_ns)

    def on_opened(self, connection: Connection, now_ns: int) -> None:
        """Take note of a connection that is open; its streams count from now on."""
        if connection.state == "connecting":
            connection.state = "open"
        elif self._stopping and not any(each.was_opened for each in self.connections()):
            self._open_late(connection)
        connection.was_opened = True
        connection.opened_ns = now_ns
        connection.subscribe_ns = now_ns
        for seat in connection.seats.values():
            if seat.watch.chain is not None:
                seat.watch.chain.open(connection.number)
        if connection is self.current:
            self._set_lifetime()
        detail = {
            "url": self._context.url(connection.path),
            "streams": [watch.spec.name for watch in self.watches],
            "why": connection.why,
        }
        self._context.record(RowKind.CONNECT, detail, connection.number, self.route)
        self._subscribe(connection, now_ns)

    def on_closed(
        self, connection: Connection, now_ns: int, not_before_ns: int = 0, *, complete: bool = False
    ) -> None:
        """Take note of a connection that has ended or could not be opened.

        Args:
            connection: the connection.
            now_ns: monotonic time.
            not_before_ns: monotonic time before which no other may be opened.
            complete: whether everything that the exchange had sent has arrived.
        """
        was_open = connection.was_opened
        if connection in self.closing:
            self.closing.remove(connection)
            self._end_chains(connection)
            if was_open and not (complete and (self._stopping or self.current is not None)):
                self._leave(connection, now_ns)
            return
        lasted = was_open and now_ns - connection.opened_ns >= STABLE_NS
        if lasted:
            self._backoff.succeed()
        self._next_attempt_ns = max(now_ns + self._backoff.fail(), not_before_ns)
        if connection is self.successor:
            self.successor = None
            if was_open:
                self._end_chains(connection)
                self._leave(connection, now_ns)
            return
        self.current, self.successor = self.successor, None
        self._why = "reconnect" if was_open or self._why != "start" else "start"
        if was_open:
            self._end_chains(connection)
            self._leave(connection, now_ns)
        if self.current is not None:
            self._set_lifetime()

    def _open_late(self, connection: Connection) -> None:
        """Take note of a connection that opens although the capture stops and all others have ended before."""
        for watch in self.watches:
            if watch.messages and watch.uncovered is None:
                watch.uncovered = (watch.advanced_ns or watch.pauses.last_ns, connection.number)

    def want(self, why: ConnectReason) -> None:
        """Replace the connection in use as soon as possible."""
        self._wanted = why

    def stop(self) -> None:
        """Close every connection."""
        self._stopping = True
        for connection in self.connections():
            if connection.state != "closing":
                self._close(connection)

    # --- one connection ---------------------------------------------------------------------------------------------

    def _connect(self, why: ConnectReason, now_ns: int) -> Connection:
        connection = Connection(self._context.next_connection(), self.route, self.watches, why)
        self._context.limiter.connect(now_ns)
        self._context.out.append(Connect(connection.number, self.route, connection.path))
        return connection

    def _close(self, connection: Connection) -> None:
        connection.state = "closing"
        self.closing.append(connection)
        self._context.out.append(Close(connection.number))
        if connection is self.successor:
            self.successor = None
        elif connection is self.current:
            self.current, self.successor = self.successor, None

    def _subscribe(self, connection: Connection, now_ns: int) -> None:
        """Send the next SUBSCRIBE, as far as the rate of messages allows."""
        if not connection.to_subscribe or now_ns < connection.subscribe_ns:
            return
        text = connection.next_subscription(self._context.next_request())
        self._context.out.append(Send(connection.number, text))
        self._context.record(RowKind.SUBSCRIBE, {"sent": text}, connection.number, self.route)
        connection.subscribe_ns = (
            now_ns + NS_PER_SECOND * PING_SHARE // self._context.limits.messages_per_second
        )

    def _set_lifetime(self) -> None:
        spread = self._context.random.uniform(1 - ROTATION_SPREAD, 1)
        self._lifetime_ns = round(self._context.limits.rotate_after_ns * spread)

    # --- replacing --------------------------------------------------------------------------------------------------

    def _replace_if_due(self, current: Connection, now_ns: int) -> None:
        """Open a successor where there is a reason to, and the limits allow it."""
        if now_ns < self._next_attempt_ns or not self._context.limiter.may_connect(now_ns):
            return
        why = self._reason_to_replace(current, now_ns) if current.state == "open" else None
        if why is not None:
            self._wanted = None
            self.successor = self._connect(why, now_ns)

    def _reason_to_replace(self, current: Connection, now_ns: int) -> ConnectReason | None:
        if self._wanted is not None:
            return self._wanted
        if current.shutting_down or now_ns - current.opened_ns >= self._lifetime_ns:
            return "rotation"
        if self._is_silent(current, now_ns) or self._has_silent_stream(current, now_ns):
            return "silence"
        return None

    def _swap_if_settled(self, current: Connection, successor: Connection, now_ns: int) -> None:
        """Close the old connection once every stream of it is known to go on in the new one."""
        limits = self._context.limits
        overlap = compare(
            current.seats, successor.seats, successor.opened_ns, now_ns, limits.overlap_within_ns
        )
        if overlap.settled:
            self._record_boundary(current, successor, overlap)
            self._close(current)
            self._next_attempt_ns = now_ns
            self._backoff.succeed()
            self._set_lifetime()
        elif overlap.missing and now_ns - successor.opened_ns > 2 * limits.overlap_within_ns:
            names = ", ".join(overlap.missing[:5])
            self._context.warn(
                "successor_abandoned",
                f"Connection {successor.number} brings nothing of {len(overlap.missing)} streams that "
                f"connection {current.number} brings, such as {names}; another one is opened.",
                connection=successor.number,
            )
            self._next_attempt_ns = now_ns + self._backoff.fail()
            self._wanted = "rotation"
            self._close(successor)

    def _record_boundary(self, current: Connection, successor: Connection, overlap: Overlap) -> None:
        detail = {
            "from_connection": current.number,
            "to_connection": successor.number,
            "proven": list(overlap.proven),
            "quiet": list(overlap.quiet),
            "unproven": list(overlap.unproven),
        }
        self._context.record(RowKind.BOUNDARY, detail, successor.number, self.route)
        for name in overlap.unproven:
            seat = successor.seats[name.encode()]
            # The chain of a depth stream proves its own breaks.
            if seat.watch.chain is None and seat.before_ns and not seat.is_joined:
                self._context.gap("silence", [seat.watch], seat.before_ns)
                seat.is_joined = True

    # --- the end of a connection ------------------------------------------------------------------------------------

    def _leave(self, connection: Connection, now_ns: int) -> None:
        """Find out which streams are not covered after an end behind which messages may be missing."""
        others = [each for each in self.connections() if each.was_opened]
        for name, seat in connection.seats.items():
            watch = seat.watch
            found = {outcome(name, connection, each, now_ns) for each in others}
            if "covered" in found:
                continue
            if "lost" in found:
                if watch.chain is None:  # the chain of a depth stream proves its own breaks
                    self._context.gap("disconnected", [watch], seat.last_ns or connection.opened_ns)
                    for each in others:
                        each.seats[name].is_joined = True
            elif watch.uncovered is None:
                since_ns = watch.advanced_ns or watch.pauses.last_ns or connection.opened_ns
                watch.uncovered = (since_ns, connection.number)

    def _end_chains(self, connection: Connection) -> None:
        for seat in connection.seats.values():
            chain = seat.watch.chain
            if chain is not None and chain.close(connection.number):
                self._context.break_chain(seat.watch)
                self._context.resync.add(seat.watch.spec.symbol)
                if not chain.has_hole:  # everything that had waited leads on
                    seat.watch.advanced_ns = seat.watch.pauses.last_ns

    # --- silence ----------------------------------------------------------------------------------------------------

    def _is_silent(self, connection: Connection, now_ns: int) -> bool:
        """Say whether a connection has brought nothing for longer than it usually does."""
        limits = self._context.limits
        longest_ns = connection.pauses.longest_ns(now_ns)
        usual = SILENCE_FACTOR * longest_ns if longest_ns else limits.silence_max_ns
        usual = min(limits.silence_max_ns, max(limits.silence_min_ns, usual))
        limit_ns = usual << min(self._silence_calls, 12)
        last_ns = connection.pauses.last_ns or connection.opened_ns
        if now_ns - last_ns <= limit_ns:
            if connection.pauses.last_ns and now_ns - last_ns < limits.silence_min_ns:
                self._silence_calls = 0
            return False
        self._silence_calls += 1
        for watch in self.watches:
            watch.called_ns = now_ns
        self._context.warn(
            "connection_silent",
            f"Connection {connection.number} has brought nothing for {(now_ns - last_ns) / 1e9:.0f} s; "
            "another one is opened beside it.",
            connection=connection.number,
            route=self.route,
        )
        return True

    def _has_silent_stream(self, connection: Connection, now_ns: int) -> bool:
        """Say whether a stream that used to bring messages has stopped, and report those that never began."""
        silent = False
        for seat in connection.seats.values():
            watch = seat.watch
            if watch.messages == 0:
                self._report_undelivered(connection, seat, now_ns)
                continue
            last_ns = max(watch.pauses.last_ns, connection.opened_ns)
            if now_ns - last_ns > watch.silence_limit_ns(now_ns):
                watch.silence_calls += 1
                watch.called_ns = now_ns
                silent = True
                self._context.warn(
                    "stream_silent",
                    f"Stream {watch.spec.name} has brought nothing for {(now_ns - last_ns) / 1e9:.0f} s.",
                    stream=watch.spec.name,
                    connection=connection.number,
                )
        return silent

    def _report_undelivered(self, connection: Connection, seat: Seat, now_ns: int) -> None:
        watch = seat.watch
        if watch.reported_undelivered or now_ns - connection.opened_ns < FIRST_DATA_NS[watch.spec.kind]:
            return
        watch.reported_undelivered = True
        others = any(
            each.messages and each.watch.spec.kind == watch.spec.kind for each in connection.seats.values()
        )
        why = (
            "others of its kind do: the symbol may be quiet."
            if others
            else "nor does any other of its kind here: it may be on the wrong route (settings: capture.routes)."
        )
        self._context.warn(
            "stream_not_delivered",
            f"Stream {watch.spec.name} has brought nothing since its subscription; {why}",
            stream=watch.spec.name,
            route=self.route,
        )


def grouped(watches: Sequence[StreamWatch], context: SessionContext) -> list[ConnectionGroup]:
    """Spread streams over as few connections as the limit allows, apart by route.

    Args:
        watches: all streams.
        context: state of the session.
    """
    found = []
    most = context.limits.streams_per_connection
    for route in dict.fromkeys(watch.spec.route for watch in watches):
        of_route = [watch for watch in watches if watch.spec.route == route]
        for begin in range(0, len(of_route), most):
            found.append(ConnectionGroup(route, of_route[begin : begin + most], context))
    return found
