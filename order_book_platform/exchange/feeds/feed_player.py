"""When the events of feeds happen: at a multiple of their own pace, or as fast as they are taken."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter

from order_book_platform.exchange.feeds.feed_event import Feed, FeedEvent


class Start(StrEnum):
    """When the feeds start."""

    AT_ONCE = "at_once"
    SUBSCRIBED = "subscribed"


@dataclass(frozen=True, slots=True)
class Pace:
    """How feeds are played.

    Attributes:
        speed: multiple of the feeds' own pace; None: as fast as the events are taken.
        start: whether the feeds wait until somebody subscribes to a stream.
        hold_for_snapshot: whether a recording waits, at the place of its snapshot, until somebody has asked for a depth
            snapshot of the symbol; at unlimited speed it would otherwise be over before the answer has arrived.
    """

    speed: float | None = 1.0
    start: Start = Start.AT_ONCE
    hold_for_snapshot: bool = False


Tagged = tuple[int, str, FeedEvent]
"""When an event is due, ns since the start, the name of its market, and the event."""


class FeedPlayer:
    """Gives the events of several feeds in the order of their times.

    Args:
        feeds: (name of the market, feed).
        pace: when they happen.

    Attributes:
        started_ns: wall-clock time at which the feeds have started; None before. Times held are added.
        finished: whether all events have been given.
        snapshots_asked: (market, symbol) of which somebody has asked for a depth snapshot.
    """

    def __init__(self, feeds: Sequence[tuple[str, Feed]], pace: Pace) -> None:
        self._feeds = feeds
        self._pace = pace
        self._events: Iterator[Tagged] = iter(())
        self._next: Tagged | None = None
        self._held_since_ns: int | None = None
        self.started_ns: int | None = None
        self.finished = not feeds
        self.snapshots_asked: set[tuple[str, str]] = set()

    @property
    def paced(self) -> bool:
        """Whether events happen by the clock, whoever keeps up with them."""
        return self._pace.speed is not None

    def start(self, now_ns: int) -> None:
        """Start the feeds; a second call changes nothing."""
        if self.started_ns is None:
            self.started_ns = now_ns
            events = [_tagged(market, feed, now_ns) for market, feed in self._feeds]
            self._events = events[0] if len(events) == 1 else heapq.merge(*events, key=itemgetter(0))
            self._step()

    def take(self, now_ns: int, most: int) -> list[tuple[str, FeedEvent]]:
        """Give the events that are due by now.

        Args:
            now_ns: wall-clock time, ns since the epoch.
            most: events to give at most; the others are given by the next call.
        """
        if self.started_ns is None:
            if self._pace.start is not Start.AT_ONCE:
                return []
            self.start(now_ns)
        taken: list[tuple[str, FeedEvent]] = []
        until_ns = self._elapsed_ns(now_ns)
        while (upcoming := self._next) is not None and len(taken) < most:
            due_ns, market, event = upcoming
            if until_ns is not None and due_ns > until_ns:
                break
            if event.kind is None:
                if self._holds(market, event.symbol, now_ns):
                    break
                until_ns = self._elapsed_ns(now_ns)
            else:
                taken.append((market, event))
            self._step()
        return taken

    def _elapsed_ns(self, now_ns: int) -> float | None:
        """Return the time of the feeds that has passed; None where it is not limited."""
        if self._pace.speed is None or self.started_ns is None:
            return None
        return (now_ns - self.started_ns) * self._pace.speed

    def _holds(self, market: str, symbol: str, now_ns: int) -> bool:
        """Tell whether the feeds stay where they are; the time for which they did is made up for."""
        if self._pace.hold_for_snapshot and (market, symbol) not in self.snapshots_asked:
            self._held_since_ns = self._held_since_ns or now_ns
            return True
        if self._held_since_ns is not None and self.started_ns is not None:
            self.started_ns += now_ns - self._held_since_ns
            self._held_since_ns = None
        return False

    def _step(self) -> None:
        self._next = next(self._events, None)
        self.finished = self._next is None


def _tagged(market: str, feed: Feed, start_ns: int) -> Iterator[Tagged]:
    for event in feed.events(start_ns):
        yield event.due_ns, market, event
