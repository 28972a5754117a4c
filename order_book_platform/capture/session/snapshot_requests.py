"""Which REST requests are due: the rules of the instruments, and depth snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from order_book_platform.capture.session.actions import Fetch
from order_book_platform.capture.session.backoff import Backoff
from order_book_platform.capture.session.context import SessionContext
from order_book_platform.capture.session.message_header import parsed
from order_book_platform.capture.session.request_budget import RequestBudget
from order_book_platform.capture.session.stream_watch import StreamWatch
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.sources.binance.market import Market

REQUESTS_AT_ONCE = 4
"""Requests that may be on their way at the same time."""
RULES_WEIGHTS = {"futures": 1, "spot": 20}
"""Weight of a request for all rules by the family of the market."""
FIRST_RETRY_NS = NS_PER_SECOND
_LAST_UPDATE_ID = re.compile(rb'\s*\{\s*"lastUpdateId"\s*:\s*(\d+)\s*[,}]')


@dataclass(slots=True)
class Request:
    """A request that is on its way.

    Attributes:
        kind: whether it asks for rules or for a depth snapshot.
        symbol: symbol of the snapshot; empty for rules.
        path: path and query.
        sent_ns: monotonic time at which it was handed to the shell.
    """

    kind: Literal["rules", "depth"]
    symbol: str
    path: str
    sent_ns: int


class SymbolSnapshots:
    """Snapshots of one symbol.

    Args:
        watch: its depth stream.
        backoff: waits after snapshots that cannot be used.

    Attributes:
        watch: its depth stream.
        backoff: waits after snapshots that cannot be used.
        needed: whether the book cannot be made without another one.
        due_ns: monotonic time from which on the next one may be fetched.
        in_flight: whether one is on its way.
    """

    def __init__(self, watch: StreamWatch, backoff: Backoff) -> None:
        self.watch = watch
        self.backoff = backoff
        self.needed = False
        self.due_ns = 0
        self.in_flight = False


class SnapshotRequests:
    """Decides on requests, within the weight that may be used.

    Args:
        market: the market.
        depth_limit: levels a side of a snapshot.
        watches: depth streams.
        budget: weight that may be used.
        context: state of the session.
    """

    def __init__(
        self,
        market: Market,
        depth_limit: int,
        watches: Iterable[StreamWatch],
        budget: RequestBudget,
        context: SessionContext,
    ) -> None:
        self._market = market
        self._depth_limit = depth_limit
        self._rules_weight = RULES_WEIGHTS[market.weight_family]
        self._weight = market.depth_weight(depth_limit)
        self._budget = budget
        self._context = context
        self._in_flight: dict[int, Request] = {}
        self._symbols = {
            watch.spec.symbol: SymbolSnapshots(watch, Backoff(context.random, FIRST_RETRY_NS))
            for watch in watches
        }
        self._rules_due_ns = 0

    def need(self, symbol: str, now_ns: int) -> None:
        """Fetch a snapshot of a symbol as soon as possible: its chain of ids has begun (anew)."""
        state = self._symbols.get(symbol)
        if state is not None:
            state.needed = True
            state.due_ns = now_ns

    def on_time(self, now_ns: int) -> None:
        """Send the requests that are due: rules first, then snapshots without which no book can be made."""
        if now_ns >= self._rules_due_ns and self._may_send(self._rules_weight, now_ns):
            self._rules_due_ns = now_ns + self._context.limits.rules_every_ns
            self._send(Request("rules", "", self._market.exchange_info_path, now_ns), self._rules_weight)
        due = [
            state
            for state in self._symbols.values()
            if not state.in_flight and now_ns >= state.due_ns and state.watch.pauses.last_ns
        ]
        for state in sorted(due, key=lambda each: (not each.needed, each.due_ns)):
            if not self._may_send(self._weight, now_ns):
                return
            symbol = state.watch.spec.symbol
            state.in_flight = True
            path = self._market.depth_path(symbol, self._depth_limit)
            self._send(Request("depth", symbol, path, now_ns), self._weight)

    def take(self, number: int) -> Request:
        """Return the request that has ended."""
        request = self._in_flight.pop(number)
        if request.kind == "depth":
            self._symbols[request.symbol].in_flight = False
        return request

    def want_rules(self, now_ns: int) -> None:
        """Ask for the rules as soon as the budget allows it."""
        self._rules_due_ns = now_ns

    def on_snapshot(self, request: Request, status: int, body: bytes, now_ns: int) -> None:
        """Judge a response to a request for a depth snapshot."""
        state = self._symbols[request.symbol]
        chain = state.watch.chain
        last_update_id = _last_update_id(body) if status == 200 else None
        if last_update_id is None:
            self._again(state, now_ns)
            if status not in (200, 403, 418, 429) and status < 500:
                text = body[:200].decode(errors="replace")
                self._context.warn(
                    "snapshot_refused",
                    f"The exchange refused a depth snapshot of {request.symbol} with status {status}: {text}",
                    symbol=request.symbol,
                    status=status,
                )
        elif chain is None or chain.last is None or last_update_id < chain.start:
            self._again(state, now_ns)  # older than the chain: no message leads on from it
            self._context.warn(
                "snapshot_stale",
                f"The depth snapshot of {request.symbol} is older than the messages recorded; it is fetched again.",
                symbol=request.symbol,
                last_update_id=last_update_id,
            )
        else:
            state.needed = False
            state.backoff.succeed()
            state.due_ns = now_ns + self._context.limits.snapshot_every_ns

    def on_failed(self, request: Request, now_ns: int) -> None:
        """Plan to send a request without a usable response again."""
        if request.kind == "depth":
            self._again(self._symbols[request.symbol], now_ns)
        else:
            self._rules_due_ns = now_ns

    def waiting(self) -> list[str]:
        """Return the symbols that need a snapshot and have none yet."""
        return [symbol for symbol, state in self._symbols.items() if state.needed]

    def _again(self, state: SymbolSnapshots, now_ns: int) -> None:
        state.due_ns = now_ns + state.backoff.fail()

    def _may_send(self, weight: int, now_ns: int) -> bool:
        return len(self._in_flight) < REQUESTS_AT_ONCE and self._budget.may_send(weight, now_ns)

    def _send(self, request: Request, weight: int) -> None:
        number = self._context.next_request()
        self._in_flight[number] = request
        self._budget.sent(weight, request.sent_ns)
        self._context.out.append(Fetch(number, request.path))


def _last_update_id(body: bytes) -> int | None:
    """Read the id of a snapshot by its first bytes, else by parsing it."""
    match = _LAST_UPDATE_ID.match(body)
    if match is not None:
        return int(match[1])
    document = parsed(body)
    found = document.get("lastUpdateId") if isinstance(document, dict) else None
    return found if type(found) is int else None
