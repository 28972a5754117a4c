"""The local exchange in a thread of its own, for tests that record it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from typing import Any

from order_book_platform.clock import Clock
from order_book_platform.exchange import (
    ExchangeOptions,
    ExchangeServer,
    LocalExchange,
    SimulatedFeed,
    parse_faults,
    venue,
)
from order_book_platform.exchange.feeds.feed_event import Feed

CHANGES_PER_SECOND = 2_000
"""Level changes a second of each symbol."""
SYMBOLS = {"usdm": ("BTCUSDT", "ETHUSDT"), "coinm": ("BTCUSD_PERP",), "spot": ("BTCUSDT", "ETHUSDT")}


@cache
def feed(market: str, symbol: str, changes_per_second: float = CHANGES_PER_SECOND) -> SimulatedFeed:
    """A simulated symbol; measuring its pace takes most of the time that it takes to serve it."""
    return SimulatedFeed(symbol, venue(market), changes_per_second)


@contextmanager
def served(
    market: str, faults: str, seed: int = 3, changes_per_second: float = CHANGES_PER_SECOND
) -> Iterator[tuple[LocalExchange, dict[str, Any]]]:
    """Serve a simulated market in a thread; gives the exchange and the addresses as arguments of a capture."""
    feeds = [feed(market, symbol, changes_per_second) for symbol in SYMBOLS[market]]
    options = ExchangeOptions(faults=parse_faults(faults), seed=seed, own_groupings=True)
    with served_exchange({market: feeds}, options) as (exchange, addresses):
        yield exchange, addresses[market]


@contextmanager
def served_exchange(
    feeds: dict[str, Sequence[Feed]], options: ExchangeOptions
) -> Iterator[tuple[LocalExchange, dict[str, dict[str, Any]]]]:
    """Serve feeds in a thread; gives the exchange and the addresses of each market as arguments of a capture."""
    exchange = LocalExchange(feeds, options, Clock().now_ns())
    ready: Future[tuple[asyncio.AbstractEventLoop, dict[str, dict[str, Any]]]] = Future()
    done = asyncio.Event()

    async def serve() -> None:
        async with ExchangeServer(exchange) as server:
            addresses = {
                market: {"ws_url": server.websocket_url(market), "rest_url": server.rest_url(market)}
                for market in feeds
            }
            ready.set_result((asyncio.get_running_loop(), addresses))
            await done.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    loop, addresses = ready.result(60)
    try:
        yield exchange, addresses
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(30)
