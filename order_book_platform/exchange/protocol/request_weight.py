"""Weight of REST requests, counted by the wall clock's minute, and what the exchange answers when it is used up."""

from __future__ import annotations

from dataclasses import dataclass, field

from order_book_platform.clock import NS_PER_SECOND

MINUTE_NS = 60 * NS_PER_SECOND
_PATIENCE = 10
"""Refused requests within a minute after which an address is banned; the exchange says only "repeatedly"."""
_BAN_NS = 120 * NS_PER_SECOND
"""The shortest ban, which is documented as two minutes to three days."""


@dataclass(frozen=True, slots=True)
class Charge:
    """Outcome of one request's charge.

    Attributes:
        status: 200, or 429 and 418 where the request is refused.
        used_weight: weight used in this minute, this request included, for `X-MBX-USED-WEIGHT-1M`.
        retry_after_s: seconds until a request is accepted again; 0 where this one is.
        until_ms: end of a ban, ms since the epoch.
    """

    status: int
    used_weight: int
    retry_after_s: int = 0
    until_ms: int = 0


@dataclass(slots=True)
class WeightBudget:
    """The budget of one address; USD-M and COIN-M share one.

    Attributes:
        weight_per_minute: weight that a minute allows.
        most_used: greatest weight asked for in any minute so far, refused requests included.
    """

    weight_per_minute: int
    most_used: int = 0
    _minute: int = 0
    _used: int = 0
    _refused: int = 0
    _banned_until_ns: int = field(default=0)

    def charge(self, weight: int, now_ns: int) -> Charge:
        """Count a request of a weight at a wall-clock time, and say whether it is answered."""
        minute = now_ns // MINUTE_NS
        if minute != self._minute:
            self._minute, self._used, self._refused = minute, 0, 0
        self._used += weight
        self.most_used = max(self.most_used, self._used)
        if now_ns < self._banned_until_ns:
            return self._ban(now_ns)
        if self._used <= self.weight_per_minute:
            return Charge(200, self._used)
        self._refused += 1
        if self._refused > _PATIENCE:
            self._banned_until_ns = now_ns + _BAN_NS
            return self._ban(now_ns)
        return Charge(429, self._used, _seconds((minute + 1) * MINUTE_NS - now_ns))

    def _ban(self, now_ns: int) -> Charge:
        left_ns = self._banned_until_ns - now_ns
        return Charge(418, self._used, _seconds(left_ns), self._banned_until_ns // 1_000_000)


def _seconds(ns: int) -> int:
    return max(1, -(-ns // NS_PER_SECOND))
