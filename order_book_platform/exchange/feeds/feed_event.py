"""One event of a feed: a message of one stream of one symbol, with its ids and the time when it is due."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from order_book_platform.exchange.protocol.venue import StreamKind

Levels = Sequence[Sequence[str]]
"""Pairs of price and absolute quantity as texts; a quantity of zero removes the level."""


@dataclass(slots=True)
class FeedEvent:
    """One message of a stream, or the place of a recorded snapshot.

    Attributes:
        due_ns: when it happens, ns since the feed's start at the feed's own pace.
        symbol: as the exchange spells it, in upper case.
        kind: stream; None for the place at which a recording has its snapshot.
        payload: data of the message as JSON, without the wrapper of combined streams.
        first_update_id: `U` of depth, `u` of a ticker, `t` of a trade.
        final_update_id: `u` of depth and tickers, `t` of a trade.
        prev_final_update_id: `pu` of depth; −1 where there is none.
        event_ms: `E`, ms since the epoch; 0 where the message has none.
        transaction_ms: `T`, ms since the epoch; 0 where the message has none.
        frames: ready frames by their stream's wrapper, kept while the event is handed to connections.
    """

    due_ns: int
    symbol: str
    kind: StreamKind | None
    payload: bytes
    first_update_id: int = 0
    final_update_id: int = 0
    prev_final_update_id: int = -1
    event_ms: int = 0
    transaction_ms: int = 0
    frames: dict[bytes, bytes] | None = None

    def levels(self) -> tuple[Levels, Levels]:
        """Give the changes of a depth message: bids, then asks."""
        # Cut at its quotation marks, a message of the usual form takes a third of the time that a JSON parser does.
        bids, separator, asks = self.payload.partition(b'"b":[')[2].partition(b'],"a":[')
        if separator and asks.endswith(b"]}") and b'":' not in asks:
            return _pairs(bids), _pairs(asks)
        content = json.loads(self.payload)
        return content["b"], content["a"]


def _pairs(levels: bytes) -> Levels:
    """Read levels such as `["10.0","5"],["9.9","1"]` as pairs of texts, price and size."""
    texts = levels.decode().split('"')
    return list(zip(texts[1::4], texts[3::4], strict=True))


@dataclass(frozen=True, slots=True)
class BookSeed:
    """The book with which a symbol starts.

    Attributes:
        last_update_id: id of the last change it holds.
        bids: levels of the bid side, any order.
        asks: levels of the ask side, any order.
        event_ms: `E`, ms since the epoch; 0 where unknown.
        transaction_ms: `T`, ms since the epoch; 0 where unknown.
    """

    last_update_id: int
    bids: Levels
    asks: Levels
    event_ms: int = 0
    transaction_ms: int = 0


@dataclass(frozen=True, slots=True)
class SymbolRules:
    """An instrument as `exchangeInfo` describes it.

    Attributes:
        symbol: as the exchange spells it.
        base: asset that is traded.
        quote: asset in which prices are.
        tick: price increment, as decimal text.
        lot: quantity increment, as decimal text.
    """

    symbol: str
    base: str
    quote: str
    tick: str
    lot: str


class Feed(Protocol):
    """Events of one symbol of one market, ascending by time."""

    @property
    def rules(self) -> SymbolRules:
        """The instrument as exchangeInfo describes it."""

    @property
    def seed(self) -> BookSeed:
        """The book before the first event; events with lower ids do not change it."""

    def events(self, start_ns: int) -> Iterator[FeedEvent]:
        """Give the events of the feed one after another.

        Args:
            start_ns: wall-clock time at which the feed starts, ns since the epoch, for the times in simulated messages.
        """
