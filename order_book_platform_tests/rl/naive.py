"""Features the slow way: every value from its definition, in Python integers, Decimal and Fraction.

Nothing here is shared with the package but the bits of `BookFlag`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from order_book_platform.model import BookFlag
from order_book_platform.settings import FeatureSettings

SECOND = 1_000_000_000
BEST = -1
Level = tuple[int, int] | None
Pair = tuple[int, int, int, int]


@dataclass(frozen=True)
class BookRow:
    """A row of the book: times in ns, sides as (price, size) in pips from the best level on, None where none."""

    origin_time: int
    received_time: int
    flags: int
    known_bid: int
    known_ask: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    @property
    def doubtful(self) -> bool:
        """Not seeded, or GAP."""
        return not self.flags & BookFlag.SEEDED or bool(self.flags & BookFlag.GAP)

    @property
    def two_sided(self) -> bool:
        """Both sides have a best price."""
        return self.bids[0] is not None and self.asks[0] is not None

    @property
    def mid2(self) -> int | None:
        """Best bid plus best ask; None unless both are there."""
        return self.bids[0][0] + self.asks[0][0] if self.two_sided else None  # type: ignore[index]

    def usable(self, level: int) -> bool:
        """Order flow may be taken at this level, 0 the best; BEST: at the best prices, known or not."""
        if level == BEST:
            return not self.doubtful and self.two_sided
        known = level < self.known_bid and level < self.known_ask
        present = all(side is not None for side in (*self.bids[: level + 1], *self.asks[: level + 1]))
        return not self.doubtful and known and present


@dataclass(frozen=True)
class Trade:
    """A trade: time in ns, whether the taker bought, size in pips."""

    origin_time: int
    is_buy: bool
    size: int


class NaiveFeatures:
    """All features of some rows and trades.

    Args:
        rows: book rows in order.
        trades: trades in order.
        settings: clock, windows, levels.
        tick: pips.
    """

    def __init__(
        self, rows: list[BookRow], trades: list[Trade], settings: FeatureSettings, tick: int
    ) -> None:
        self.rows, self.trades, self.settings, self.tick = rows, trades, settings, tick
        self.row_times = _never_back([row.origin_time for row in rows])
        self.trade_times = _never_back([trade.origin_time for trade in trades])

    def table(self) -> list[dict[str, Any]]:
        """One dict per step, null and NaN both None."""
        clock = self.settings.clock
        time = math.ceil(Fraction(self.row_times[0], clock)) * clock
        out = []
        while time < self.row_times[-1]:
            out.append(self.at(time))
            time += clock
        return out

    def at(self, time: int) -> dict[str, Any]:
        """Every feature of one step."""
        last = max(i for i, when in enumerate(self.row_times) if when <= time)
        row = self.rows[last]
        in_step = [row for row in [self._in_effect(time - self.settings.clock)] if row is not None]
        in_step += [self.rows[i] for i in self._within(self.row_times, time, self.settings.clock)]
        flags = 0
        for other in in_step:
            flags |= other.flags
        return {
            "time": time,
            **self._book(row),
            **self._flows(time, row),
            **self._returns(time, row),
            "stale_ms": (time - self.row_times[last]) // 1_000_000,
            "latency_ms": math.floor(Fraction(row.received_time - row.origin_time, 1_000_000)),
            "flags": flags & ~int(BookFlag.CORRUPT | BookFlag.HINDSIGHT),
            "gap_flag": bool(flags & BookFlag.GAP),
            "crossed": bool(flags & BookFlag.CROSSED),
            "valid": row.two_sided and not row.doubtful,
        }

    def _book(self, row: BookRow) -> dict[str, Any]:
        names = ["mid2", "spread_ticks", "spread_bps", "wmid_off"]
        out: dict[str, Any] = dict.fromkeys([*names, *(f"qi_{k}" for k in self.settings.imbalance_levels)])
        if not row.two_sided:
            return out
        (bid, bid_size), (ask, ask_size) = row.bids[0], row.asks[0]  # type: ignore[misc]
        mid = Fraction(bid + ask, 2)
        out["mid2"] = bid + ask
        out["spread_ticks"] = Fraction(ask - bid, self.tick)
        out["spread_bps"] = _over((ask - bid) * 10_000, mid)
        weighted = _over(ask * bid_size + bid * ask_size, Fraction(ask_size + bid_size))
        out["wmid_off"] = None if weighted is None else (weighted - mid) / self.tick
        for k in self.settings.imbalance_levels:
            if row.known_bid >= k and row.known_ask >= k and None not in row.bids[:k] + row.asks[:k]:
                bids = sum(level[1] for level in row.bids[:k] if level)
                asks = sum(level[1] for level in row.asks[:k] if level)
                out[f"qi_{k}"] = _over(bids - asks, Fraction(bids + asks))
        return out

    def _flows(self, time: int, row: BookRow) -> dict[str, Any]:
        window = self.settings.flow_window
        inside = self._within(self.row_times, time, window)
        out: dict[str, Any] = {}
        names = {
            BEST: "ofi_1",
            **{level: f"mlofi_{level + 1}" for level in range(self.settings.mlofi_levels)},
        }
        for level, name in names.items():
            counts = row.usable(level) and all(self._pair_counts(i, level) for i in inside)
            out[name] = sum(self._pair_flow(i, level) for i in inside) if counts else None
        out.update(n_updates=None, n_trades=None, tfi=None)
        if self._intact(time, window):
            trades = [self.trades[i] for i in self._within(self.trade_times, time, window)]
            bought = sum(trade.size for trade in trades if trade.is_buy)
            sold = sum(trade.size for trade in trades if not trade.is_buy)
            out["n_updates"] = Fraction(len(inside) * SECOND, window)
            out["n_trades"] = Fraction(len(trades) * SECOND, window)
            out["tfi"] = _over(bought - sold, Fraction(bought + sold))
        return out

    def _returns(self, time: int, row: BookRow) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for horizon in self.settings.horizons:
            name = f"{horizon // SECOND}s"
            intact = self._intact(time, horizon)
            out[f"ret_{name}"] = self._log_return(time, horizon) if intact else None
            second = time // SECOND * SECOND
            squares = [self._log_return(second - back, SECOND) for back in range(0, horizon, SECOND)]
            good = self._mid(time) is not None and self._intact(time, time - second + horizon)
            out[f"rv_{name}"] = (
                sum(Decimal(r) ** 2 for r in squares if r is not None).sqrt()  # type: ignore[union-attr]
                if good and None not in squares
                else None
            )
        return out

    def _log_return(self, time: int, lag: int) -> Decimal | None:
        now, then = self._mid(time), self._mid(time - lag)
        if not now or not then:
            return None
        with localcontext() as context:
            context.prec = 40
            return (Decimal(now) / Decimal(then)).ln() * 10_000

    def _mid(self, time: int) -> int | None:
        row = self._in_effect(time)
        return None if row is None or row.doubtful else row.mid2

    def _in_effect(self, time: int) -> BookRow | None:
        found = None
        for when, row in zip(self.row_times, self.rows, strict=True):
            if when <= time:
                found = row
        return found

    def _intact(self, time: int, length: int) -> bool:
        """No doubtful row is in effect at any time of (time − length, time], nor is there none at all."""
        before = self._in_effect(time - length)
        rows = [self.rows[i] for i in self._within(self.row_times, time, length)]
        return before is not None and not any(row.doubtful for row in [before, *rows])

    def _pair_counts(self, i: int, level: int) -> bool:
        if i == 0 or self.rows[i].flags & BookFlag.REPAIRED:
            return False
        return self.rows[i - 1].usable(level) and self.rows[i].usable(level)

    def _pair_flow(self, i: int, level: int) -> int:
        return order_flow(_best(self.rows[i - 1], level), _best(self.rows[i], level))

    @staticmethod
    def _within(times: list[int], time: int, length: int) -> list[int]:
        return [i for i, when in enumerate(times) if time - length < when <= time]


def order_flow(before: Pair, after: Pair) -> int:
    """Cont–Kukanov–Stoikov: what one change of (bid, bid size, ask, ask size) says of buying minus selling."""
    bid0, bid_size0, ask0, ask_size0 = before
    bid1, bid_size1, ask1, ask_size1 = after
    flow = 0
    if bid1 >= bid0:
        flow += bid_size1
    if bid1 <= bid0:
        flow -= bid_size0
    if ask1 <= ask0:
        flow -= ask_size1
    if ask1 >= ask0:
        flow += ask_size0
    return flow


def _best(row: BookRow, level: int) -> Pair:
    bid, ask = row.bids[max(level, 0)], row.asks[max(level, 0)]
    assert bid is not None
    assert ask is not None
    return (*bid, *ask)


def _over(numerator: Fraction | int, denominator: Fraction) -> Fraction | None:
    return None if denominator == 0 else numerator / denominator


def _never_back(times: list[int]) -> list[int]:
    return [max(times[: i + 1]) for i in range(len(times))]
