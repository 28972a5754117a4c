"""A stopwatch that one thread drives and any thread reads."""

from __future__ import annotations


class Stopwatch:
    """Adds up times; one thread starts and stops it, any thread may read it."""

    def __init__(self) -> None:
        # One tuple, replaced as a whole: a reader never sees half a change.
        self._total_and_since: tuple[int, int | None] = (0, None)

    def start(self, now_ns: int) -> None:
        """Begin a time to be added."""
        self._total_and_since = (self._total_and_since[0], now_ns)

    def stop(self, now_ns: int) -> None:
        """Add the time since `start`."""
        self._total_and_since = (self.read_ns(now_ns), None)

    def lap(self, now_ns: int) -> None:
        """Add the time since `start` or the last lap, and begin the next one."""
        self._total_and_since = (self.read_ns(now_ns), now_ns)

    def read_ns(self, now_ns: int) -> int:
        """Return the sum so far, including the running time, in ns."""
        total, since = self._total_and_since
        return total if since is None else total + now_ns - since

    def running_ns(self, now_ns: int) -> int:
        """Return the running time in ns; 0 if none is running."""
        since = self._total_and_since[1]
        return 0 if since is None else now_ns - since
