"""A connection that gets market data: events become messages, some go wrong as ordered, all are in the ledger."""

from __future__ import annotations

import re
from dataclasses import dataclass

from order_book_platform.exchange.fault_injection import FaultDice, FaultKind, FaultOrder
from order_book_platform.exchange.feeds.feed_event import FeedEvent
from order_book_platform.exchange.feeds.groupings import OwnGrouping
from order_book_platform.exchange.protocol.client_session import (
    ClientSession,
    Ending,
    Subscription,
)
from order_book_platform.exchange.protocol.venue import StreamKind, Venue
from order_book_platform.exchange.protocol.wire_frames import BINARY, RESERVED, TEXT, frame
from order_book_platform.exchange.sent_ledger import Fate, SentLedger

_EVENT_TIME = re.compile(rb'"E":(\d+)')
_TIMES = re.compile(rb'"[ET]":\d+')
_PREV_ID = re.compile(rb'"pu":(\d+)')
_FIRST_ID = re.compile(rb'"U":(\d+)')


@dataclass(slots=True)
class EventClock:
    """The clock by which the exchange dates its messages, as a distance from the wall clock.

    Attributes:
        shift_ms: how far it is ahead, ms.
    """

    shift_ms: int = 0

    def jump(self, ms: int) -> None:
        """Move it forward by `ms` milliseconds."""
        self.shift_ms += ms


class Delivery:
    """One stream on its way to one connection.

    Args:
        subscription: the stream.
        grouping: of depth changes; None: each change as it is.
        silent: the fault by which nothing is sent although the subscription was acknowledged; empty: none.
    """

    __slots__ = ("grouping", "held", "silent", "subscription", "waiting_since_ns")

    def __init__(self, subscription: Subscription, grouping: OwnGrouping | None, silent: str) -> None:
        self.subscription = subscription
        self.grouping = grouping
        self.silent = silent
        self.held: FeedEvent | None = None
        self.waiting_since_ns = 0


class MarketDataConnection(ClientSession):
    """A client session with data.

    Args:
        number: of the connection, from 1.
        venue: market.
        route: of the connection.
        combined: whether data come wrapped.
        now_ns: wall-clock time at which it was opened.
        ledger: list of what was sent.
        dice: faults of this connection's messages.
        clock: how far `E` is from the clock.

    Attributes:
        microseconds: whether `E` and `T` are sent in microseconds, as spot does for `timeUnit=MICROSECOND`.
    """

    def __init__(
        self,
        number: int,
        venue: Venue,
        route: str,
        combined: bool,
        now_ns: int,
        ledger: SentLedger,
        dice: FaultDice,
        clock: EventClock,
    ) -> None:
        super().__init__(number, venue, route, combined, now_ns)
        self._ledger = ledger
        self.dice = dice
        self.microseconds = False
        self._clock = clock

    def deliver(self, delivery: Delivery, event: FeedEvent, now_ns: int) -> None:
        """Take an event of a stream; what is sent for it is in the outbox. An ended connection takes nothing more."""
        if self.ending is not None:
            return
        if delivery.grouping is not None and event.kind is StreamKind.DEPTH:
            if not delivery.grouping.waits:
                delivery.waiting_since_ns = now_ns
            message = delivery.grouping.add(event)
            if message is None:
                return
            event = message
        self._send(delivery, event, now_ns)

    def flush(self, delivery: Delivery, now_ns: int) -> None:
        """Send the changes that a grouping keeps back."""
        message = delivery.grouping.flush() if delivery.grouping is not None else None
        if message is not None:
            self._send(delivery, message, now_ns)

    def _send(self, delivery: Delivery, event: FeedEvent, now_ns: int) -> None:
        if self.dice.orders or delivery.silent or self.microseconds or self._clock.shift_ms:
            self._send_faulty(delivery, event, now_ns)
            return
        stream = delivery.subscription.stream
        wrapper = delivery.subscription.wrapper
        ready = event.frames.get(wrapper) if event.frames is not None else None
        if ready is None:
            ready = frame(wrapper + event.payload + b"}" if wrapper else event.payload)
            event.frames = {**(event.frames or {}), wrapper: ready}
        self.outbox.append(ready)
        ids = event.first_update_id, event.final_update_id, event.prev_final_update_id
        self._ledger.message(now_ns, self.number, stream, ids)

    def _send_faulty(self, delivery: Delivery, event: FeedEvent, now_ns: int) -> None:
        """Send a message with what has been ordered for it."""
        stream = delivery.subscription.stream
        orders = {order.kind: order for order in self.dice.throw(stream, now_ns)}
        ids = event.first_update_id, event.final_update_id, event.prev_final_update_id
        if self._ends(orders, now_ns):
            return
        if FaultKind.CLOCK_JUMP in orders:
            self._clock.jump(orders[FaultKind.CLOCK_JUMP].ns // 1_000_000)
        if FaultKind.SILENCE in orders:
            delivery.silent = FaultKind.SILENCE
        if delivery.silent:
            self._ledger.message(now_ns, self.number, stream, ids, Fate.SILENT, delivery.silent)
            return
        if FaultKind.DROP in orders:
            self._ledger.message(now_ns, self.number, stream, ids, Fate.DROPPED, FaultKind.DROP)
            return
        if FaultKind.REORDER in orders and delivery.held is None:
            delivery.held = event
            return
        payload, fault = event.payload, None
        if FaultKind.WRONG_PREV_ID in orders and event.kind is StreamKind.DEPTH:
            payload, fault = (
                _with_wrong_chain(payload, orders[FaultKind.WRONG_PREV_ID].number),
                FaultKind.WRONG_PREV_ID,
            )
        if FaultKind.BINARY in orders:
            self.outbox.append(frame(b"\x00\x10\xfe\xff" + payload[:64], BINARY))
            self._ledger.note(now_ns, self.number, "binary", stream, FaultKind.BINARY)
        copies = 1
        if FaultKind.DUPLICATE in orders:
            copies, fault = 2, FaultKind.DUPLICATE
        fate = Fate.SENT
        text = self._text(delivery, payload)
        if FaultKind.MALFORMED in orders:
            text, fate, fault = text[: len(text) // 2], Fate.DAMAGED, FaultKind.MALFORMED
        opcode = TEXT
        if FaultKind.BAD_FRAME in orders:
            opcode, fate, fault = RESERVED, Fate.DAMAGED, FaultKind.BAD_FRAME
        for _ in range(copies):
            self.outbox.append(frame(text, opcode))
            self._ledger.message(now_ns, self.number, stream, ids, fate, fault)
        if delivery.held is not None:
            held, delivery.held = delivery.held, None
            ids = held.first_update_id, held.final_update_id, held.prev_final_update_id
            self.outbox.append(frame(self._text(delivery, held.payload)))
            self._ledger.message(now_ns, self.number, stream, ids, Fate.SENT, FaultKind.REORDER)

    def _text(self, delivery: Delivery, payload: bytes) -> bytes:
        """Give the text of a message: wrapped as the connection wants it, `E` by the exchange's present clock."""
        shift_ms = self._clock.shift_ms
        if shift_ms:
            payload = _EVENT_TIME.sub(lambda found: b'"E":%d' % (int(found[1]) + shift_ms), payload, count=1)
        if self.microseconds:
            payload = _TIMES.sub(rb"\g<0>000", payload, count=2)
        wrapper = delivery.subscription.wrapper
        return wrapper + payload + b"}" if wrapper else payload

    def _ends(self, orders: dict[FaultKind, FaultOrder], now_ns: int) -> bool:
        """End the connection where that is ordered, or announce its end; True where nothing more is sent."""
        if FaultKind.SHUTDOWN in orders:
            self.announce_shutdown(now_ns, orders[FaultKind.SHUTDOWN].ns)
        if FaultKind.DISCONNECT in orders:
            self.end(Ending(None, FaultKind.DISCONNECT))
        elif FaultKind.CLOSE in orders:
            self.end(Ending(orders[FaultKind.CLOSE].number, "ordered"))
        return self.ending is not None

    def announce_shutdown(self, now_ns: int, lead_ns: int) -> None:
        """Send `serverShutdown`, and close the connection after a time, ns."""
        text = b'{"e":"serverShutdown","E":%d}' % (now_ns // 1_000_000 + self._clock.shift_ms)
        if self.combined:
            text = b'{"stream":"!serverShutdown","data":%s}' % text
        self.outbox.append(frame(text))
        self._ledger.note(now_ns, self.number, "event", "serverShutdown", FaultKind.SHUTDOWN)
        self.close_at_ns = min(self.close_at_ns, now_ns + lead_ns)


def _with_wrong_chain(payload: bytes, offset: int) -> bytes:
    """Move the number by which a depth message follows the one before: `pu`, on spot `U`."""
    name, pattern = (b'"pu":', _PREV_ID) if _PREV_ID.search(payload) else (b'"U":', _FIRST_ID)
    return pattern.sub(lambda found: name + str(int(found[1]) + offset).encode(), payload, count=1)
