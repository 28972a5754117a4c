"""Faults to order: what goes wrong, how often, where; the same seed gives the same faults at the same opportunities."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from order_book_platform.clock import duration_ns
from order_book_platform.errors import SettingsError


class FaultKind(StrEnum):
    """Everything that can be ordered; the groups below say what counts as an opportunity for it."""

    DROP = "drop"
    DUPLICATE = "duplicate"
    REORDER = "reorder"
    WRONG_PREV_ID = "wrong_pu"
    MALFORMED = "malformed"
    BINARY = "binary"
    BAD_FRAME = "bad_frame"
    SILENCE = "silence"
    DISCONNECT = "disconnect"
    CLOSE = "close"
    SHUTDOWN = "server_shutdown"
    CLOCK_JUMP = "clock_jump"
    SILENT_ACK = "silent_ack"
    WRONG_ROUTE = "wrong_route"
    REFUSE = "refuse"
    SLOW_SNAPSHOT = "slow_snapshot"
    STALE_SNAPSHOT = "stale_snapshot"
    HTTP_429 = "429"
    HTTP_418 = "418"
    HTTP_403 = "403"
    HTTP_503 = "503"


OF_MESSAGES = frozenset(
    {
        FaultKind.DROP,
        FaultKind.DUPLICATE,
        FaultKind.REORDER,
        FaultKind.WRONG_PREV_ID,
        FaultKind.MALFORMED,
        FaultKind.BINARY,
        FaultKind.BAD_FRAME,
        FaultKind.SILENCE,
        FaultKind.DISCONNECT,
        FaultKind.CLOSE,
        FaultKind.SHUTDOWN,
        FaultKind.CLOCK_JUMP,
    }
)
"""Each data message of a connection is an opportunity; they are counted by connection."""
OF_SUBSCRIPTIONS = frozenset({FaultKind.SILENT_ACK})
"""Each stream that is subscribed to is an opportunity, counted by connection."""
OF_CONNECTIONS = frozenset({FaultKind.WRONG_ROUTE, FaultKind.REFUSE})
"""Each connection is an opportunity."""
OF_REQUESTS = frozenset({FaultKind.HTTP_429, FaultKind.HTTP_418, FaultKind.HTTP_403, FaultKind.HTTP_503})
"""Each REST request is an opportunity."""
OF_SNAPSHOTS = frozenset({FaultKind.SLOW_SNAPSHOT, FaultKind.STALE_SNAPSHOT})
"""Each REST depth that is answered is an opportunity."""

DEFAULT_VALUES = {
    FaultKind.WRONG_PREV_ID: "1",
    FaultKind.CLOSE: "1001",
    FaultKind.SHUTDOWN: "10s",
    FaultKind.CLOCK_JUMP: "1s",
    FaultKind.REFUSE: "503",
    FaultKind.SLOW_SNAPSHOT: "1s",
    FaultKind.STALE_SNAPSHOT: "1s",
    FaultKind.HTTP_429: "1s",
    FaultKind.HTTP_418: "120s",
    FaultKind.HTTP_403: "0s",
    FaultKind.HTTP_503: "0s",
}
"""Value of a fault that names none: an offset of `pu`, a close code, a lead or a delay, a status, Retry-After."""

_ORDER = re.compile(
    r"(?P<kind>[0-9]{3}|[a-z_]+)(?:=(?P<probability>[0-9.]+))?(?:@(?P<at>\d+(?:\+\d+)*))?(?:~(?P<every>[0-9.]+[a-z]+))?"
    r"(?:/(?P<value>-?[0-9.]+[a-z]*))?(?:x(?P<most>\d+))?(?::(?P<stream>\S+))?"
)


@dataclass(frozen=True, slots=True)
class FaultOrder:
    """One fault and its opportunities.

    Attributes:
        kind: what goes wrong.
        probability: of each opportunity, 0 to 1.
        at: numbers of opportunities, from 1, at which it happens for certain.
        every_ns: happens at the first opportunity after each such time; 0: never by time.
        value: how much, as text; what it means depends on the kind.
        stream: part of the name of the streams (or of the path of the requests) that it concerns; empty: all.
        most: how many times at most, by connection; None: without end.
    """

    kind: FaultKind
    probability: float = 0.0
    at: frozenset[int] = frozenset()
    every_ns: int = 0
    value: str = ""
    stream: str = ""
    most: int | None = None

    @classmethod
    def parse(cls, text: str) -> FaultOrder:
        """Read `KIND[=PROBABILITY][@N[+N…]][~TIME][/VALUE][xMOST][:STREAM]`; without any of the first three: always.

        Raises:
            SettingsError: the text has another form, or a part of it means nothing.
        """
        match = _ORDER.fullmatch(text.strip())
        try:
            if match is None:
                raise ValueError("another form")
            kind = FaultKind(match["kind"])
            always = match["probability"] is match["at"] is match["every"] is None
            order = cls(
                kind,
                1.0 if always else float(match["probability"] or 0),
                frozenset(map(int, match["at"].split("+"))) if match["at"] else frozenset(),
                duration_ns(match["every"]) if match["every"] else 0,
                match["value"] or "",
                match["stream"] or "",
                int(match["most"]) if match["most"] else None,
            )
            if not 0 <= order.probability <= 1:
                raise ValueError("a probability outside of 0 to 1")
            _ = order.number if kind in (FaultKind.WRONG_PREV_ID, FaultKind.CLOSE) else order.ns
        except ValueError as error:
            raise SettingsError(
                expected="KIND[=PROBABILITY][@N[+N…]][~TIME][/VALUE][xMOST][:STREAM], KIND one of "
                + ", ".join(FaultKind),
                found=f"{text!r} ({error})",
                where="fault",
                remedy="Write it as in drop=0.001:depth or slow_snapshot/2s.",
            ) from error
        return order

    @property
    def number(self) -> int:
        """The value as an integer."""
        return int(self.value or DEFAULT_VALUES.get(self.kind, "0"))

    @property
    def ns(self) -> int:
        """The value as a duration, ns; negative ones are allowed."""
        text = self.value or DEFAULT_VALUES.get(self.kind, "0s")
        if text.isdigit():
            return int(text)
        return -duration_ns(text[1:]) if text.startswith("-") else duration_ns(text)


def parse_faults(text: str) -> tuple[FaultOrder, ...]:
    """Read faults joined by commas."""
    return tuple(FaultOrder.parse(each) for each in text.split(",") if each.strip())


class FaultDice:
    """Decides for one connection, or for all requests, which faults an opportunity has.

    Args:
        orders: faults whose opportunities these are.
        seed: text from which the decisions follow.
        now_ns: start of the times of `every_ns`.

    Attributes:
        orders: what can happen, each with its source of decisions.
    """

    def __init__(self, orders: Iterable[FaultOrder], seed: str, now_ns: int) -> None:
        self.orders: list[tuple[FaultOrder, random.Random]] = []
        self._seed = seed
        self._seen: list[int] = []
        self._hits: list[int] = []
        self._next_ns: list[int] = []
        for order in orders:
            self.add(order, now_ns)

    def add(self, order: FaultOrder, now_ns: int) -> None:
        """Order one more fault; its opportunities are counted from now on."""
        self.orders.append((order, random.Random(f"{self._seed}/{len(self.orders)}/{order.kind}")))
        self._seen.append(0)
        self._hits.append(0)
        self._next_ns.append(now_ns + order.every_ns)

    def throw(self, stream: str, now_ns: int) -> list[FaultOrder]:
        """Give the faults of the next opportunity, in the order in which they were ordered.

        Args:
            stream: name of the stream, or path of the request.
            now_ns: wall-clock time, ns since the epoch.
        """
        found = []
        for index, (order, generator) in enumerate(self.orders):
            if order.stream not in stream:
                continue
            self._seen[index] += 1
            hit = self._seen[index] in order.at
            if order.probability:
                hit |= generator.random() < order.probability
            if order.every_ns and now_ns >= self._next_ns[index]:
                hit = True
                self._next_ns[index] = now_ns + order.every_ns
            if hit and (order.most is None or self._hits[index] < order.most):
                self._hits[index] += 1
                found.append(order)
        return found
