"""A clock for tests that moves only when told to."""

from __future__ import annotations

from order_book_platform.clock import Clock


class ManualClock(Clock):
    """Starts at a wall-clock time in ns since the epoch, and at 0 as a monotonic clock."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """Return the wall-clock time in ns since the epoch."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Return the ns by which the clock has been moved so far."""
        return self._monotonic_ns

    def advance(self, ns: int) -> None:
        """Move both clocks forward by `ns` nanoseconds."""
        self._now_ns += ns
        self._monotonic_ns += ns
