"""Waiting times that grow with each failure, with jitter and a cap."""

from __future__ import annotations

from random import Random

from order_book_platform.clock import NS_PER_SECOND


class Backoff:
    """Times to wait after failures in a row: doubled each time, up to a cap, and drawn from the upper half.

    Args:
        random: generator of the jitter, so that many recorders do not come back at the same instant.
        first_ns: greatest wait after the first failure.
        cap_ns: greatest wait after any number of failures.

    Attributes:
        failures: number of failures since the last success.
    """

    def __init__(
        self, random: Random, first_ns: int = NS_PER_SECOND, cap_ns: int = 60 * NS_PER_SECOND
    ) -> None:
        self.failures = 0
        self._random = random
        self._first_ns = first_ns
        self._cap_ns = cap_ns

    def fail(self) -> int:
        """Count a failure and return the time to wait, ns."""
        longest = min(self._cap_ns, self._first_ns << min(self.failures, 40))
        self.failures += 1
        return round(longest * self._random.uniform(0.5, 1.0))

    def succeed(self) -> None:
        """Begin again with the first wait."""
        self.failures = 0
