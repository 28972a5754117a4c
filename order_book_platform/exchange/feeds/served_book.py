"""The exchange's own book of a symbol: what its REST interface answers, now or as it was some seconds ago."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from order_book_platform.exchange.feeds.feed_event import BookSeed, FeedEvent, Levels

Side = dict[str, str]
"""Quantity of each price, both as the texts in which the exchange sends them."""


class ServedBook:
    """A book that takes depth events a little later than they happen, or at once when somebody asks for it.

    Events wait in order, so that a book of some time ago can be had, and each one that is added applies the oldest one:
    a request finds little left to do, and no event has to wait for many others.

    Args:
        seed: the book at the start.
        history_ns: how far back in time a book can be had; costs one copy for each such request.
        most_waiting: events that may wait although they are older than the history.
    """

    def __init__(self, seed: BookSeed, history_ns: int = 0, most_waiting: int = 256) -> None:
        self._bids: Side = _side(seed.bids)
        self._asks: Side = _side(seed.asks)
        self._state = (seed.last_update_id, seed.event_ms, seed.transaction_ms)
        self._waiting: deque[tuple[int, FeedEvent]] = deque()
        self._history_ns = history_ns
        self._most_waiting = most_waiting

    def add(self, event: FeedEvent, now_ns: int) -> None:
        """Take a depth event that is published at `now_ns`; one that the book holds already changes nothing."""
        self._waiting.append((now_ns, event))
        while len(self._waiting) > self._most_waiting and self._waiting[0][0] <= now_ns - self._history_ns:
            self._settle_oldest()

    def at(self, now_ns: int, age_ns: int = 0) -> BookSeed:
        """Give the whole book as it was `age_ns` ago, its levels unsorted.

        Args:
            now_ns: wall-clock time, ns since the epoch.
            age_ns: at most `history_ns`; older books are gone.
        """
        self._settle(now_ns - self._history_ns)
        bids, asks, state = self._bids, self._asks, self._state
        if self._waiting:
            bids, asks = dict(bids), dict(asks)
            for published_ns, event in self._waiting:
                if published_ns > now_ns - age_ns:
                    break
                state = _apply(event, bids, asks, state)
        return BookSeed(state[0], _levels(bids), _levels(asks), state[1], state[2])

    def depth(self, limit: int, now_ns: int, age_ns: int = 0) -> BookSeed:
        """Give the best `limit` levels of each side, best first, with the id and times of the book."""
        book = self.at(now_ns, age_ns)
        bids = sorted(book.bids, key=_price, reverse=True)[:limit]
        asks = sorted(book.asks, key=_price)[:limit]
        return BookSeed(book.last_update_id, bids, asks, book.event_ms, book.transaction_ms)

    def _settle(self, until_ns: int) -> None:
        while self._waiting and self._waiting[0][0] <= until_ns:
            self._settle_oldest()

    def _settle_oldest(self) -> None:
        self._state = _apply(self._waiting.popleft()[1], self._bids, self._asks, self._state)


def _apply(event: FeedEvent, bids: Side, asks: Side, state: tuple[int, int, int]) -> tuple[int, int, int]:
    if event.final_update_id <= state[0]:
        return state
    for side, levels in zip((bids, asks), event.levels(), strict=True):
        for price, quantity in levels:
            if quantity.strip("0."):
                side[price] = quantity
            else:
                side.pop(price, None)
    return event.final_update_id, event.event_ms, event.transaction_ms


def _side(levels: Levels) -> Side:
    return {price: quantity for price, quantity in levels}  # noqa: C416 - pairs of any kind


def _levels(side: Side) -> Levels:
    return [[price, quantity] for price, quantity in side.items()]


def _price(level: Sequence[str]) -> float:
    # Prices of one book differ by a tick at least, which float64 tells apart up to 15 digits.
    return float(level[0])
