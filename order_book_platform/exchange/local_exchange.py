"""The exchange as a whole, without I/O: markets that share budgets, faults, a clock and a ledger, and their feeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from order_book_platform.exchange.fault_injection import FaultOrder
from order_book_platform.exchange.feeds.feed_event import Feed
from order_book_platform.exchange.feeds.feed_player import FeedPlayer, Pace
from order_book_platform.exchange.market_data_connection import MarketDataConnection
from order_book_platform.exchange.protocol.client_session import Ending
from order_book_platform.exchange.protocol.request_weight import WeightBudget
from order_book_platform.exchange.protocol.venue import VenueOptions, venue
from order_book_platform.exchange.sent_ledger import SentLedger
from order_book_platform.exchange.served_market import ServedMarket, SharedState

TICK_NS = 20_000_000
"""Time between two looks at pings, ages and groupings, ns."""


@dataclass(frozen=True, slots=True)
class ExchangeOptions:
    """How the exchange behaves.

    Attributes:
        pace: when events of the feeds happen.
        own_groupings: whether each connection gets depth changes grouped at places of its own; otherwise each change is
            a message of its own, the same for all.
        faults: what goes wrong.
        seed: from which faults and groupings follow.
        venue: choices about routes, and times of connections.
    """

    pace: Pace = field(default_factory=Pace)
    own_groupings: bool = False
    faults: tuple[FaultOrder, ...] = ()
    seed: int = 0
    venue: VenueOptions = field(default_factory=VenueOptions)


class LocalExchange:
    """A local exchange that speaks Binance's protocol.

    Args:
        feeds: feeds of each market, by `usdm`, `coinm` and `spot`.
        options: how it behaves.
        now_ns: wall-clock time, ns since the epoch.
        ledger: list of what it sends; in memory where None.

    Attributes:
        markets: the markets by name.
        player: the feeds.
        ledger: list of everything sent, withheld, answered and counted.
    """

    def __init__(
        self,
        feeds: Mapping[str, Sequence[Feed]],
        options: ExchangeOptions,
        now_ns: int,
        ledger: SentLedger | None = None,
    ) -> None:
        self.ledger = ledger or SentLedger()
        self._shared = SharedState(self.ledger, options.seed, list(options.faults), options.own_groupings)
        self._budgets: dict[str, WeightBudget] = {}
        self.markets: dict[str, ServedMarket] = {}
        for name, served in feeds.items():
            rules = venue(name, options.venue)
            family = rules.market.weight_family
            budget = self._budgets.setdefault(family, WeightBudget(rules.market.weight_per_minute))
            self.markets[name] = ServedMarket(rules, served, budget, self._shared, now_ns)
        self.player = FeedPlayer(
            [(name, feed) for name, each in feeds.items() for feed in each], options.pace
        )
        self._next_tick_ns = now_ns
        self.events_played = 0

    def advance(self, now_ns: int, most: int = 4096) -> int:
        """Play the events that are due, and let time pass for every connection.

        Args:
            now_ns: wall-clock time, ns since the epoch.
            most: events to play at most.

        Returns:
            How many events were played.
        """
        if self.player.started_ns is None and any(market.has_listeners for market in self.markets.values()):
            self.player.start(now_ns)
        for name, market in self.markets.items():
            for symbol in market.snapshots_asked:
                self.player.snapshots_asked.add((name, symbol))
        events = self.player.take(now_ns, most)
        for name, event in events:
            self.markets[name].publish(event, now_ns)
        self.events_played += len(events)
        if now_ns >= self._next_tick_ns:
            self._next_tick_ns = now_ns + TICK_NS
            for market in self.markets.values():
                market.tick(now_ns)
        return len(events)

    # --- what a test orders while it runs ----------------------------------------------------------------------------

    def order(self, fault: FaultOrder, now_ns: int) -> None:
        """Let a fault happen from now on: for open connections and for those to come."""
        self._shared.orders.append(fault)
        for market in self.markets.values():
            market.order(fault, now_ns)

    def connections(self) -> list[MarketDataConnection]:
        """Give all open connections, the oldest first."""
        return [each for market in self.markets.values() for each in market.connections.values()]

    def disconnect(self, number: int, code: int | None = None) -> None:
        """End a connection: without a close, or with a close code."""
        for connection in self.connections():
            if connection.number == number:
                connection.end(Ending(code, "ordered"))

    def jump_clock(self, ms: int) -> None:
        """Move the exchange's clock, as `E` and `/time` show it, by `ms` milliseconds."""
        self._shared.clock.jump(ms)

    @property
    def connections_opened(self) -> int:
        """Connections that were opened so far, on all markets."""
        return self._shared.connections_opened

    def most_weight(self) -> dict[str, int]:
        """Give the greatest weight of any minute of each budget."""
        return {family: budget.most_used for family, budget in self._budgets.items()}

    def close(self) -> None:
        """Write the rest of the ledger."""
        self.ledger.most_weight = self.most_weight()
        self.ledger.close()
