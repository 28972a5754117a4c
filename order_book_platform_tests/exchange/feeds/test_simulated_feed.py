"""Simulated feeds: pace and mix, formats of the markets, and a book that follows from the changes."""

from __future__ import annotations

import itertools
import json
from decimal import Decimal

import pytest

from order_book_platform.exchange import SimulatedFeed, venue
from order_book_platform.exchange.feeds.feed_event import FeedEvent
from order_book_platform.exchange.feeds.served_book import ServedBook
from order_book_platform.exchange.protocol.venue import StreamKind
from order_book_platform_tests.exchange.clients import START_NS, ClientBook

SYMBOLS = {"usdm": "BTCUSDT", "coinm": "BTCUSD_PERP", "spot": "BTCUSDT"}
KEYS = {
    ("usdm", "depth"): ["e", "E", "T", "s", "ps", "st", "U", "u", "pu", "b", "a"],
    ("coinm", "depth"): ["e", "E", "T", "s", "ps", "st", "U", "u", "pu", "b", "a"],
    ("spot", "depth"): ["e", "E", "s", "U", "u", "b", "a"],
    ("usdm", "bookTicker"): ["e", "u", "s", "ps", "st", "b", "B", "a", "A", "T", "E"],
    ("spot", "bookTicker"): ["u", "s", "b", "B", "a", "A"],
    ("usdm", "trade"): ["e", "E", "T", "s", "ps", "st", "t", "p", "q", "X", "m"],
    ("spot", "trade"): ["e", "E", "T", "s", "t", "p", "q", "m", "M"],
}


def feed(market: str, rate: float = 10_000, seed: int = 0) -> SimulatedFeed:
    """A feed of one symbol."""
    return SimulatedFeed(SYMBOLS[market], venue(market), rate, seed)


def first(found: SimulatedFeed, events: int = 30_000) -> list[FeedEvent]:
    """The first events."""
    return list(itertools.islice(found.events(START_NS), events))


@pytest.mark.parametrize("market", SYMBOLS)
def test_a_client_s_book_is_the_exchange_s(market: str) -> None:
    """The chain of ids holds from the seed on; tickers are the best prices of the book of their id."""
    found = feed(market)
    seed, own = found.seed, ServedBook(found.seed)
    client = ClientBook({"lastUpdateId": seed.last_update_id, "bids": seed.bids, "asks": seed.asks})
    tickers: list[dict[str, str]] = []
    compared = 0
    for event in first(found, 6000):
        data = json.loads(event.payload)
        if event.kind is StreamKind.TICKER:
            tickers.append(data)
        if event.kind is StreamKind.DEPTH:
            client.apply(data)
            own.add(event, 0)
            before = [each for each in tickers if int(each["u"]) <= client.last_id][-1:]
            for each in before:
                bids, asks = client.sides
                assert (max(bids, key=float), min(asks, key=float)) == (each["b"], each["a"])
                compared += 1
    book = own.at(0)
    assert compared > 100
    assert client.sides == (dict(map(tuple, book.bids)), dict(map(tuple, book.asks)))
    assert client.last_id == book.last_update_id


@pytest.mark.parametrize("market", SYMBOLS)
def test_messages_have_the_market_s_format(market: str) -> None:
    """Keys and decimal places are those of the exchange; times are those of the clock when the event is due."""
    seen = set()
    for event in first(feed(market), 3000):
        assert event.kind is not None
        data = json.loads(event.payload)
        name = event.kind.value
        seen.add(name)
        assert list(data) == KEYS.get((market, name), KEYS["usdm", name])
        if "E" in data:
            assert 0 <= (START_NS + event.due_ns) // 1_000_000 - data["E"] <= 3
        if name == "trade":
            assert Decimal(data["q"]) > 0
            places = len(data["p"].partition(".")[2])
            assert places == (8 if market == "spot" else 1)
    assert seen == {"depth", "bookTicker", "trade"}


@pytest.mark.parametrize("market", SYMBOLS)
def test_the_pace_is_the_ordered_one(market: str) -> None:
    """Level changes a second are those that were ordered, within the chance of a short run, at any rate."""
    for rate in (1_000, 50_000):
        events = first(feed(market, rate))
        changes = sum(event.payload.count(b'["') for event in events if event.kind is StreamKind.DEPTH)
        assert changes / events[-1].due_ns * 1e9 == pytest.approx(rate, rel=0.35)


def test_events_come_in_order_and_again() -> None:
    """Times and ids of each stream ascend; the same arguments give the same bytes, another seed others."""
    events = first(feed("usdm"), 5000)
    assert all(a.due_ns <= b.due_ns for a, b in itertools.pairwise(events))
    for kind in StreamKind:
        ids = [event.final_update_id for event in events if event.kind is kind]
        assert ids == sorted(ids)
    payloads = [event.payload for event in events]
    assert [event.payload for event in first(feed("usdm"), 5000)] == payloads
    assert [event.payload for event in first(feed("usdm", seed=1), 5000)] != payloads
