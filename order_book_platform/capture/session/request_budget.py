"""When the next REST request may be sent: request weight a minute, and what the exchange asks for.

The exchange counts weight per IP address and minute. Everything that was sent within the last 65 seconds is counted
here, which covers each minute of the exchange's clock, however long a request was on its way. The exchange's header
corrects the count upwards, never downwards: somebody else on the same address may be asking, too.
"""

from __future__ import annotations

from collections import deque
from random import Random

from order_book_platform.capture.session.backoff import Backoff
from order_book_platform.clock import NS_PER_SECOND

WINDOW_NS = 65 * NS_PER_SECOND
BAN_NS = 120 * NS_PER_SECOND
"""Shortest ban of an address, for a response 418 that does not say how long."""
LIMITED_NS = 60 * NS_PER_SECOND
"""Pause after a response 429 that does not say how long."""
TOO_MANY, BANNED, FORBIDDEN = 429, 418, 403


class RequestBudget:
    """Weight that has been used, and pauses.

    Args:
        limit: weight that may be used in any 65 seconds.
        random: generator of jitter.

    Attributes:
        limit: weight that may be used in any 65 seconds.
        blocked_until_ns: monotonic time before which nothing may be sent.
        blocked_by_exchange: whether that pause was demanded by the exchange with 429 or 418.
    """

    def __init__(self, limit: int, random: Random) -> None:
        self.limit = limit
        self.blocked_until_ns = 0
        self.blocked_by_exchange = False
        self._sent: deque[tuple[int, int]] = deque()
        self._backoff = Backoff(random)

    def used(self, now_ns: int) -> int:
        """Return the weight that counts at a monotonic time, ns."""
        while self._sent and self._sent[0][0] <= now_ns - WINDOW_NS:
            self._sent.popleft()
        return sum(weight for _, weight in self._sent)

    def may_send(self, weight: int, now_ns: int) -> bool:
        """Say whether a request of some weight may be sent now."""
        if now_ns < self.blocked_until_ns:
            return False
        used = self.used(now_ns)
        return used == 0 or used + weight <= self.limit

    def sent(self, weight: int, now_ns: int) -> None:
        """Count a request that is being sent."""
        self._sent.append((now_ns, weight))

    def answered(self, status: int, used_weight: int | None, retry_after_s: float | None, now_ns: int) -> int:
        """Take a response into account.

        Args:
            status: HTTP status.
            used_weight: weight of the present minute by the exchange's header, None where it is absent.
            retry_after_s: seconds of the header `Retry-After`, None where it is absent.
            now_ns: monotonic time, ns.

        Returns:
            How long nothing may be sent from now on, ns; 0 for no pause.
        """
        if used_weight is not None and (missing := used_weight - self.used(now_ns)) > 0:
            self._sent.append((now_ns, missing))
        if status in (TOO_MANY, BANNED):
            pause_ns = BAN_NS if status == BANNED else LIMITED_NS
            if retry_after_s is not None:
                pause_ns = round(retry_after_s * NS_PER_SECOND)
            # At least the back-off: a header of 0 seconds must not make a loop.
            return self._block(max(pause_ns, self._backoff.fail()), now_ns, by_exchange=True)
        if status == FORBIDDEN or status >= 500:
            pause_ns = max(self._backoff.fail(), round((retry_after_s or 0) * NS_PER_SECOND))
            return self._block(pause_ns, now_ns, by_exchange=False)
        self._backoff.succeed()
        return 0

    def failed(self, now_ns: int) -> int:
        """Take a request into account that got no response; returns the pause as `answered` does."""
        return self._block(self._backoff.fail(), now_ns, by_exchange=False)

    def _block(self, pause_ns: int, now_ns: int, *, by_exchange: bool) -> int:
        if now_ns + pause_ns >= self.blocked_until_ns:
            self.blocked_until_ns = now_ns + pause_ns
            self.blocked_by_exchange = by_exchange
        return pause_ns
