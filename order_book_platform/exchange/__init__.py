"""A local exchange that speaks Binance's protocol, for tests, benchmarks and demos.

In: recordings, or symbols to simulate, with a pace; faults to order. Out: websockets and REST of USD-M, COIN-M and
spot on ports of their own, and a ledger of everything that was sent. Nothing in a client knows that it is not the
real one.

`LocalExchange` decides without I/O; `ExchangeServer` puts it on sockets.
"""

from order_book_platform.exchange.fault_injection import FaultKind, FaultOrder, parse_faults
from order_book_platform.exchange.feeds.feed_player import Pace, Start
from order_book_platform.exchange.feeds.recorded_feed import RecordedFeed
from order_book_platform.exchange.feeds.simulated_feed import SimulatedFeed
from order_book_platform.exchange.local_exchange import ExchangeOptions, LocalExchange
from order_book_platform.exchange.protocol.venue import VenueOptions, venue
from order_book_platform.exchange.sent_ledger import SentLedger
from order_book_platform.exchange.shell.exchange_server import ExchangeServer

__all__ = [
    "ExchangeOptions",
    "ExchangeServer",
    "FaultKind",
    "FaultOrder",
    "LocalExchange",
    "Pace",
    "RecordedFeed",
    "SentLedger",
    "SimulatedFeed",
    "Start",
    "VenueOptions",
    "parse_faults",
    "venue",
]
