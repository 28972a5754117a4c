"""The session of a capture: events and their times in, actions out; no I/O, no clock of its own.

Times are of the monotonic clock in ns, unless their name says `received`, which is the wall clock. The caller appends
each received message to the raw log before it hands it to the session, carries out the returned actions in order, and
calls `on_time` several times a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from order_book_platform.capture.session.actions import Action
from order_book_platform.capture.session.connection import Connection
from order_book_platform.capture.session.connection_group import ConnectionGroup, grouped
from order_book_platform.capture.session.context import SessionContext, SessionLimits
from order_book_platform.capture.session.instrument_rules import InstrumentRules
from order_book_platform.capture.session.message_header import PREFIX, Ids, parsed
from order_book_platform.capture.session.request_budget import BANNED, TOO_MANY, RequestBudget
from order_book_platform.capture.session.snapshot_requests import SnapshotRequests
from order_book_platform.capture.session.stream_watch import Seat, StreamSpec, StreamWatch
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.sources.binance.market import Market

_NAME_BEGINS = len(PREFIX)
_NOTHING: tuple[Action, ...] = ()


class CaptureSession:
    """Decides what a capture of one market does.

    Args:
        market: the market.
        streams: streams to be recorded.
        limits: limits within which the session works.
        random: generator of jitter.
        ws_url: base of websocket URLs.
        depth_limit: levels a side of a depth snapshot.
        first_connection: number of the first connection.

    Attributes:
        watches: state of each stream by its name.
        groups: connections.
        budget: request weight.
    """

    def __init__(
        self,
        market: Market,
        streams: Sequence[StreamSpec],
        *,
        limits: SessionLimits,
        random: Random,
        ws_url: str,
        depth_limit: int = 1000,
        first_connection: int = 1,
    ) -> None:
        self.watches = {spec.name: StreamWatch(spec) for spec in streams}
        self.budget = RequestBudget(limits.weight_per_minute, random)
        self._with_previous = market.has_pu
        self._context = SessionContext(limits, random, first_connection, ws_url)
        self.groups = grouped(list(self.watches.values()), self._context)
        depth = [watch for watch in self.watches.values() if watch.chain is not None]
        self.snapshots = SnapshotRequests(market, depth_limit, depth, self.budget, self._context)
        self._connections: dict[int, tuple[ConnectionGroup, Connection]] = {}
        self._rules = InstrumentRules(
            market, list(dict.fromkeys(spec.symbol for spec in streams)), self._context
        )
        self._stopped_ns = 0

    @property
    def has_begun(self) -> bool:
        """Whether the rules of the instruments are known, so that connections are opened."""
        return self._rules.known

    @property
    def open_connections(self) -> int:
        """Number of connections that are open."""
        return sum(live.was_opened for _, live in self._connections.values())

    # --- events -----------------------------------------------------------------------------------------------------

    def on_message(self, connection: int, payload: bytes, now_ns: int) -> Sequence[Action]:
        """Take note of a text message, which the caller has appended to the log already.

        Args:
            connection: number of its connection.
            payload: the message as received.
            now_ns: monotonic time of its arrival.
        """
        group, live = self._connections[connection]
        end = payload.find(b'"', _NAME_BEGINS)
        seat = live.seats.get(payload[_NAME_BEGINS:end])
        if seat is None or not payload.startswith(PREFIX):
            self._on_other(group, live, payload, now_ns)
            return self._actions() if self._context.out else _NOTHING
        self._take(seat, live, payload, end, now_ns)
        return self._actions() if self._context.out else _NOTHING

    def on_binary(self, connection: int, now_ns: int) -> None:
        """Take note of a binary message, which is kept and means nothing to the session."""
        self._connections[connection][1].pauses.add(now_ns)

    def on_opened(self, connection: int, now_ns: int) -> Sequence[Action]:
        """Take note that a connection is open."""
        group, live = self._connections[connection]
        group.on_opened(live, now_ns)
        return self._actions()

    def on_closed(
        self,
        connection: int,
        now_ns: int,
        *,
        code: int | None,
        reason: str,
        by: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        complete: bool = False,
    ) -> Sequence[Action]:
        """Take note that a connection has ended, or could not be opened.

        Args:
            connection: number of the connection.
            now_ns: monotonic time.
            code: close code; None without one.
            reason: reason of the close, or the error.
            by: `exchange`, `recorder` or `network`.
            status: HTTP status by which the exchange refused the connection; None if it did not.
            retry_after_s: seconds of the header `Retry-After` of that response.
            complete: whether the exchange's close has come, so that everything that it had sent has arrived.
        """
        group, live = self._connections.pop(connection)
        not_before_ns = 0
        if not live.was_opened:
            if status in (TOO_MANY, BANNED):
                not_before_ns = now_ns + round(max(retry_after_s or 120.0, 1.0) * NS_PER_SECOND)
                self._context.limiter.blocked_until_ns = max(
                    self._context.limiter.blocked_until_ns, not_before_ns
                )
            if not self._stopped_ns:
                self._context.warn(
                    "connect_failed",
                    f"A connection to {self._context.url(live.path)} could not be opened: {reason}.",
                    connection=connection,
                    status=status,
                )
        else:
            if live.state != "closing":
                self._context.warn(
                    "connection_lost",
                    f"Connection {connection} has ended ({by}: {reason or code}); another one is opened.",
                    connection=connection,
                    code=code,
                )
            detail = {"code": code, "reason": reason, "by": by}
            self._context.record(RowKind.CLOSE, detail, connection, group.route)
        group.on_closed(live, now_ns, not_before_ns, complete=complete)
        return self._actions()

    def on_response(
        self,
        number: int,
        status: int,
        body: bytes,
        now_ns: int,
        received_ns: int,
        *,
        used_weight: int | None = None,
        retry_after_s: float | None = None,
    ) -> Sequence[Action]:
        """Take note of a response to a request.

        Args:
            number: number of the request.
            status: HTTP status.
            body: body of the response.
            now_ns: monotonic time of its arrival.
            received_ns: wall clock at the same instant.
            used_weight: value of the header with the used weight; None where it is absent.
            retry_after_s: seconds of the header `Retry-After`; None where it is absent.
        """
        request = self.snapshots.take(number)
        detail = {
            "status": status,
            "sent_monotonic_ns": request.sent_ns,
            "used_weight": used_weight,
            "retry_after_s": retry_after_s,
        }
        self._context.record(RowKind.REST, detail, route=request.path, payload=body)
        pause_ns = self.budget.answered(status, used_weight, retry_after_s, now_ns)
        if pause_ns:
            self._context.warn(
                "requests_paused",
                f"The exchange answered {status} to {request.path}: no request is sent for {pause_ns / 1e9:.1f} s.",
                status=status,
                pause_s=pause_ns / 1e9,
            )
        if request.kind == "depth":
            self.snapshots.on_snapshot(request, status, body, now_ns)
        else:
            self._rules.on_response(status, body, received_ns)
        return self._actions()

    def on_request_failed(self, number: int, error: str, now_ns: int) -> Sequence[Action]:
        """Take note of a request that got no response.

        Args:
            number: number of the request.
            error: what happened.
            now_ns: monotonic time.
        """
        request = self.snapshots.take(number)
        pause_ns = self.budget.failed(now_ns)
        self.snapshots.on_failed(request, now_ns)
        self._context.warn(
            "request_failed",
            f"{request.path} got no response ({error}); the next request goes out in {pause_ns / 1e9:.1f} s.",
            path=request.path,
        )
        self._rules.on_failed(error)
        return self._actions()

    def on_dropped(self, now_ns: int) -> Sequence[Action]:
        """Take note that rows were dropped: all chains of ids begin anew, and every book needs a snapshot."""
        for watch in self.watches.values():
            watch.restart()
        return self._actions()

    def on_time(self, now_ns: int) -> Sequence[Action]:
        """Do what is due; to be called several times a second."""
        if self._stopped_ns:
            return self._actions()
        self._rules.on_time(now_ns)
        if self._rules.wanted:
            self._rules.wanted = False
            self.snapshots.want_rules(now_ns)
        for symbol in self._context.resync:
            self.snapshots.need(symbol, now_ns)
        self._context.resync.clear()
        self.snapshots.on_time(now_ns)
        if self._rules.known:
            for group in self.groups:
                group.on_time(now_ns)
        return self._actions()

    def rotate(self) -> Sequence[Action]:
        """Replace every connection, on demand."""
        for group in self.groups:
            group.want("request")
        return self._actions()

    def stop(self, now_ns: int) -> Sequence[Action]:
        """Close every connection; nothing is opened or fetched any more. Their last messages still count.

        Args:
            now_ns: monotonic time.
        """
        self._stopped_ns = now_ns
        for group in self.groups:
            group.stop()
        return self._actions()

    def finish(self, now_ns: int) -> Sequence[Action]:
        """Record what is not covered at the end, after `stop` and the ends of connections.

        Args:
            now_ns: monotonic time.
        """
        reason = "no answer to the closing handshake"
        actions: list[Action] = []
        for each in tuple(self._connections):
            actions += self.on_closed(each, now_ns, code=None, reason=reason, by="recorder")
        for watch in self.watches.values():
            if watch.uncovered is not None:
                self._context.break_chain(watch)
            elif watch.is_silent(self._stopped_ns):
                self._context.gap("silence", [watch], watch.pauses.last_ns)
        return actions + self._actions()

    # --- messages ---------------------------------------------------------------------------------------------------

    def _take(self, seat: Seat, live: Connection, payload: bytes, end: int, now_ns: int) -> None:
        """Take a message of a stream, the quote behind whose name is at `end`."""
        watch = seat.watch
        live.pauses.add(now_ns)
        seat.take(payload, live.opened_ns, now_ns)
        ids = watch.read(payload, end, self._with_previous)
        if ids is not None:
            self._follow(seat, live, ids, payload, now_ns)
        elif watch.spec.kind != "other":
            seat.unreadable_ns = now_ns
            self._unreadable(watch, payload)
        elif self._resumes(watch, live):  # without ids nothing is proven
            self._context.resume(watch, live.number, broken=True)

    def _follow(self, seat: Seat, live: Connection, ids: Ids, payload: bytes, now_ns: int) -> None:
        """Follow the ids of a message with ids."""
        watch = seat.watch
        if seat.first_previous is None:
            seat.first_previous, seat.first_ns, seat.before_ns = ids.previous, now_ns, watch.advanced_ns
            seat.is_joined = ids.previous <= watch.last or self._resumes(watch, live)
        seat.last = max(seat.last, ids.last)
        chain = watch.chain
        if chain is None:
            if self._resumes(watch, live):
                self._context.resume(watch, live.number, broken=ids.previous > watch.last)
            if ids.last > watch.last:
                watch.last = ids.last
                watch.advanced_ns = now_ns
            return
        before = chain.last
        breaks = chain.add(live.number, ids.previous, ids.last)
        if breaks:
            self._context.break_chain(watch)
        elif self._resumes(watch, live) and not chain.has_hole:
            self._context.resume(watch, live.number, broken=before is None)
        if before is None or breaks:
            self.snapshots.need(watch.spec.symbol, now_ns)
        if chain.last != before:
            watch.advanced(payload, now_ns)
        elif not chain.has_hole:
            self._check_numbering(watch, payload, now_ns)

    def _resumes(self, watch: StreamWatch, live: Connection) -> bool:
        """Say whether a message tells how a stream goes on whose connection had ended; one that ends, too, does not."""
        return watch.uncovered is not None and (live.state != "closing" or self._stopped_ns > 0)

    def _check_numbering(self, watch: StreamWatch, payload: bytes, now_ns: int) -> None:
        """Begin anew where the exchange's numbers have: many later messages, none of which leads on."""
        if not watch.is_behind(payload, now_ns):
            return
        symbol, name = watch.spec.symbol, watch.spec.name
        self._context.gap("chain", [watch], watch.advanced_ns)
        self._context.warn("numbering_restarted", f"The update ids of {name} have begun anew.", stream=name)
        for each in self.watches.values():
            if each.spec.symbol == symbol:
                each.restart()
        self._rules.wanted = True  # what follows is another chain of ids

    def _unreadable(self, watch: StreamWatch, payload: bytes) -> None:
        watch.unreadable += 1
        if watch.unreadable == 1:
            self._context.warn(
                "message_unreadable",
                f"A message of {watch.spec.name} has no ids: {payload[:120].decode(errors='replace')}",
                stream=watch.spec.name,
            )

    def _on_other(self, group: ConnectionGroup, live: Connection, payload: bytes, now_ns: int) -> None:
        """Understand a message that belongs to no stream: an acknowledgement, an error, an announcement."""
        document = found if isinstance(found := parsed(payload), dict) else {}
        data = document.get("data")
        event = data.get("e") if isinstance(data, dict) else document.get("e")
        if event == "serverShutdown":
            live.shutting_down = True
            self._context.warn(
                "server_shutdown",
                f"The exchange is going to end connection {live.number}; another one is opened.",
                connection=live.number,
            )
            group.on_time(now_ns)
            return
        name = document.get("stream")
        seat = live.seats.get(name.encode()) if isinstance(name, str) else None
        if seat is not None and isinstance(data, dict):
            self._take(seat, live, payload, len(payload), now_ns)  # no fast reader matches at the end
        elif "error" in document or "code" in document:
            request = document.get("id")
            streams = live.asked.pop(request, ()) if isinstance(request, int) else ()
            self._context.warn(
                "subscription_refused",
                f"The exchange refused a subscription on connection {live.number}: "
                f"{payload[:200].decode(errors='replace')}",
                connection=live.number,
                streams=list(streams),
            )
        elif document.get("result", ...) is None and isinstance(document.get("id"), int):
            live.asked.pop(document["id"], None)  # an acknowledgement is not data: no pause ends with it
        else:
            self._context.warn(
                "message_unknown",
                f"A message of connection {live.number} belongs to no stream: "
                f"{payload[:120].decode(errors='replace')}",
                connection=live.number,
            )

    def _actions(self) -> list[Action]:
        """Take the actions that have come together, and learn the connections that are going to be opened."""
        for group in self.groups:
            for connection in (group.current, group.successor):
                if connection is not None and connection.number not in self._connections:
                    self._connections[connection.number] = (group, connection)
        taken = self._context.out[:]
        self._context.out.clear()
        return taken
