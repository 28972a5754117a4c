"""A simulated market as a feed, at a pace to order: messages in the exchange's format, with times of the exchange."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np

from order_book_platform.clock import NS_PER_MS
from order_book_platform.exchange.feeds.feed_event import BookSeed, FeedEvent, SymbolRules
from order_book_platform.exchange.feeds.recorded_feed import split_symbol
from order_book_platform.exchange.protocol.venue import StreamKind, Venue
from order_book_platform.kernels.simulation.market_arrays import (
    MESSAGE_FINAL_ID,
    MESSAGE_FIRST_ID,
    MESSAGE_PREV_ID,
    MESSAGE_ROW_STOP,
    MESSAGE_TIME_MS,
    MESSAGE_TRANSACTION_MS,
    TICKER_TIME_MS,
    TRADE_TIME_MS,
)
from order_book_platform.model import FixedPoint, Instrument, PartitionKey
from order_book_platform.simulate.market_profile import MarketProfile, profile
from order_book_platform.simulate.simulated_market import Market, MarketChunk

PROFILES = {"usdm": "btc-perp", "coinm": "coinm", "spot": "btc-spot"}
"""Profile of the simulator for each market."""
_MESSAGES_PER_CHUNK = 4
"""Depth messages played at a time: a millisecond of work, so that at the highest rates nothing is late."""
_MEASURED_MESSAGES = 4000
"""Depth messages over which a market's changes a second are measured, to find the pace for those that are wanted."""
_SPOT_PLACES = 8
"""Decimal places in which spot writes every number."""
_MOST_TEXTS = 50_000
"""Texts of quantities that are kept for the next time."""


@dataclass(frozen=True)
class SimulatedFeed:
    """Plays one simulated symbol.

    Attributes:
        symbol: as the exchange spells it, such as BTCUSDT.
        venue: market whose format the messages have.
        changes_per_second: level changes a second on average, which sets the pace; tickers and trades come in the mix
            of the recording that the profile was measured on.
        seed_number: which of many markets.
    """

    symbol: str
    venue: Venue
    changes_per_second: float
    seed_number: int = 0

    @cached_property
    def profile(self) -> MarketProfile:
        """Statistics of the market."""
        return profile(PROFILES[self.venue.market.name])

    @cached_property
    def pace(self) -> float:
        """How many times as fast as the recording the market runs."""
        market = self._market()
        first_ms = last_ms = changes = messages = 0
        while messages < _MEASURED_MESSAGES:
            chunk = market.play(_MEASURED_MESSAGES - messages)
            times_ms = chunk.messages[MESSAGE_TIME_MS]
            first_ms, last_ms = first_ms or int(times_ms[0]), int(times_ms[-1])
            changes, messages = changes + chunk.rows.shape[1], messages + len(times_ms)
        return self.changes_per_second * (last_ms - first_ms) / 1000 / changes

    @cached_property
    def rules(self) -> SymbolRules:
        """The instrument; a tick and a lot are powers of ten."""
        point = FixedPoint(self.profile.price_decimals, self.profile.size_decimals)
        return SymbolRules(
            self.symbol, *split_symbol(self.symbol), format(point.tick, "f"), format(point.lot, "f")
        )

    @property
    def seed(self) -> BookSeed:
        """The whole book before the first message."""
        price, quantity = _texts(self)
        is_bid, ticks, lots = self._market().full_book()
        levels: tuple[list[list[str]], list[list[str]]] = ([], [])
        for bid, tick, size in zip(is_bid.tolist(), ticks.tolist(), lots.tolist(), strict=True):
            levels[not bid].append([price[tick], quantity[size]])
        return BookSeed(self._first_id, *levels)

    @property
    def _key(self) -> PartitionKey:
        return PartitionKey(Instrument("SIMULATED", self.symbol), date(2024, 8, 8))

    @cached_property
    def _first_id(self) -> int:
        chunk = self._market().play(1)
        return int(chunk.messages[MESSAGE_PREV_ID, 0])

    def _market(self) -> Market:
        return Market(self.profile, self.seed_number, self._key, chunk_rows=8192)

    def events(self, start_ns: int) -> Iterator[FeedEvent]:
        """Give events without end; their `E` is the wall-clock time at which they are due, and `T` lags as recorded."""
        market = self._market()
        writer = _EventWriter(self, start_ns)
        last_ns = 0
        while True:
            for event in writer.events(market.play(_MESSAGES_PER_CHUNK)):
                # A depth message is dated after its last change: what happened in between may be in the next chunk.
                last_ns = event.due_ns = max(last_ns, event.due_ns)
                yield event


class _Texts(dict[int, str]):
    """Integers as the decimals that the exchange writes; texts are kept, since most numbers come again.

    Args:
        places: decimal places of the unit.
        padded: places in which the exchange writes; more than `places` on spot.
    """

    def __init__(self, places: int, padded: int) -> None:
        super().__init__()
        self._places = places
        self._padding = "0" * (padded - places)

    def __missing__(self, units: int) -> str:
        text = str(units)
        if self._places:
            digits = text.rjust(self._places + 1, "0")
            text = f"{digits[: -self._places]}.{digits[-self._places :]}{self._padding}"
        if len(self) < _MOST_TEXTS:
            self[units] = text
        return text


def _texts(feed: SimulatedFeed) -> tuple[_Texts, _Texts]:
    """Return texts of prices by tick and of quantities by lot."""
    places = feed.profile.price_decimals, feed.profile.size_decimals
    price, size = (_Texts(each, _SPOT_PLACES if feed.venue.is_spot else each) for each in places)
    return price, size


class _EventWriter:
    """Chunks of a market in, events with their JSON out."""

    def __init__(self, feed: SimulatedFeed, start_ns: int) -> None:
        self._venue = feed.venue
        self._symbol = feed.symbol
        self._price, self._quantity = _texts(feed)
        self._start_ms = start_ns // NS_PER_MS
        self._ns_per_ms = NS_PER_MS / feed.pace
        self._opening_ms = -1
        family = feed.venue.family
        pair = feed.symbol.split("_")[0]
        self._names = f'"s":"{feed.symbol}"' + (f',"ps":"{pair}","st":{family}' if family else "")

    def events(self, chunk: MarketChunk) -> list[FeedEvent]:
        """Give the events of a chunk in order of time; a ticker or trade before the depth message of its instant."""
        if self._opening_ms < 0:
            self._opening_ms = int(chunk.messages[MESSAGE_TIME_MS, 0])
        found = [*self._tickers(chunk), *self._trades(chunk), *self._depth(chunk)]
        times = np.concatenate(
            [chunk.tickers[TICKER_TIME_MS], chunk.trades[TRADE_TIME_MS], chunk.messages[MESSAGE_TIME_MS]]
        )
        return [found[index] for index in np.argsort(times, kind="stable").tolist()]

    def _due(self, time_ms: int) -> tuple[int, int]:
        """Return when an event of the market's time is due: ns since the start, and ms since the epoch."""
        due_ns = max(0, int((time_ms - self._opening_ms) * self._ns_per_ms))
        return due_ns, self._start_ms + due_ns // NS_PER_MS

    def _tickers(self, chunk: MarketChunk) -> Iterator[FeedEvent]:
        price, quantity, names = self._price, self._quantity, self._names
        spot = self._venue.is_spot
        for time_ms, _, number, bid, bid_lots, ask, ask_lots in chunk.tickers.T.tolist():
            due_ns, event_ms = self._due(time_ms)
            best = (
                f'"b":"{price[bid]}","B":"{quantity[bid_lots]}","a":"{price[ask]}","A":"{quantity[ask_lots]}"'
            )
            if spot:
                text = f'{{"u":{number},{names},{best}}}'
                event_ms = 0
            else:
                text = f'{{"e":"bookTicker","u":{number},{names},{best},"T":{event_ms},"E":{event_ms}}}'
            yield FeedEvent(
                due_ns, self._symbol, StreamKind.TICKER, text.encode(), number, number, -1, event_ms, event_ms
            )

    def _trades(self, chunk: MarketChunk) -> Iterator[FeedEvent]:
        price, quantity, names = self._price, self._quantity, self._names
        end = '"m":%s,"M":true}' if self._venue.is_spot else '"X":"MARKET","m":%s}'
        for time_ms, _, number, is_buy, tick, lots in chunk.trades.T.tolist():
            due_ns, event_ms = self._due(time_ms)
            text = (
                f'{{"e":"trade","E":{event_ms},"T":{event_ms},{names},"t":{number},"p":"{price[tick]}",'
                f'"q":"{quantity[lots]}",' + end % ("false" if is_buy else "true")
            )
            yield FeedEvent(
                due_ns, self._symbol, StreamKind.TRADE, text.encode(), number, number, -1, event_ms, event_ms
            )

    def _depth(self, chunk: MarketChunk) -> Iterator[FeedEvent]:
        price, quantity = self._price, self._quantity
        levels = [
            (is_bid, f'["{price[tick]}","{quantity[lots]}"]') for is_bid, tick, lots in chunk.rows.T.tolist()
        ]
        begin = 0
        for row in chunk.messages.T.tolist():
            due_ns, event_ms = self._due(row[MESSAGE_TIME_MS])
            transaction_ms = event_ms - row[MESSAGE_TIME_MS] + row[MESSAGE_TRANSACTION_MS]
            first, final, previous = row[MESSAGE_FIRST_ID], row[MESSAGE_FINAL_ID], row[MESSAGE_PREV_ID]
            changes = levels[begin : row[MESSAGE_ROW_STOP]]
            begin = row[MESSAGE_ROW_STOP]
            bids = ",".join([text for is_bid, text in changes if is_bid])
            asks = ",".join([text for is_bid, text in changes if not is_bid])
            chained = not self._venue.is_spot
            times = f'"E":{event_ms},"T":{transaction_ms}' if chained else f'"E":{event_ms}'
            ids = f'"U":{first},"u":{final}' + (f',"pu":{previous}' if chained else "")
            text = f'{{"e":"depthUpdate",{times},{self._names},{ids},"b":[{bids}],"a":[{asks}]}}'
            yield FeedEvent(
                due_ns,
                self._symbol,
                StreamKind.DEPTH,
                text.encode(),
                first,
                final,
                previous if chained else -1,
                event_ms,
                transaction_ms if chained else 0,
            )
