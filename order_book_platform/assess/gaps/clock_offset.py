"""Compares two clocks, the exchange's and the recorder's, by arrival − origin time: latency, skew, drift. No I/O.

A message cannot arrive before it was sent, so the smallest arrival − origin of a window is the offset of the two clocks
plus the shortest way through the network; everything above it is delay. Followed from window to window, this lower
envelope shows the **skew**, and its slope the **drift**. The shortest way is not told apart from the offset: the skew
is the offset and some milliseconds more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model.arrays import Int64Array

BIN_NS = 100_000
"""Width of the bins in which latencies and pauses are counted: 0.1 ms. Quantiles then need no list of all of them."""
WINDOW_NS = 10 * NS_PER_SECOND
"""Length of the envelope's windows to begin with; it doubles whenever there are too many of them."""
MAX_WINDOWS = 300
"""Most windows, as many points as a picture can show. A day has 270 windows of 320 s."""
ENOUGH_MESSAGES = 10
"""A window with fewer messages is left out: its smallest delay says little about the shortest one."""
SKEW_WINDOWS, DRIFT_WINDOWS = 3, 10
"""Least windows for a skew and for a drift."""


@dataclass(slots=True)
class LatencyEnvelope:
    """The smallest arrival − origin time of each window of arrival time.

    Windows begin at multiples of their length, so that the result does not depend on how messages are cut into batches.

    Attributes:
        window_ns: Length of a window, ns.
    """

    window_ns: int = WINDOW_NS
    _smallest: dict[int, int] = field(default_factory=dict)
    _messages: dict[int, int] = field(default_factory=dict)

    def feed(self, received_time: Int64Array, latency: Int64Array) -> None:
        """Take the arrival times and latencies of messages, both int64[n] ns."""
        if not len(received_time):
            return
        windows, place, counts = np.unique(
            received_time // self.window_ns, return_inverse=True, return_counts=True
        )
        smallest = np.full(len(windows), np.iinfo(np.int64).max)
        np.minimum.at(smallest, place, latency)
        self._add(windows.tolist(), smallest.tolist(), counts.tolist())
        while len(self._smallest) > MAX_WINDOWS:
            before = self._smallest, self._messages
            self._smallest, self._messages = {}, {}
            self.window_ns *= 2
            halved = [window // 2 for window in before[0]]
            self._add(halved, list(before[0].values()), list(before[1].values()))

    def _add(self, windows: list[int], smallest: list[int], counts: list[int]) -> None:
        for window, least, count in zip(windows, smallest, counts, strict=True):
            self._smallest[window] = min(least, self._smallest.get(window, least))
            self._messages[window] = count + self._messages.get(window, 0)

    def points(self) -> Int64Array:
        """Return int64[n, 2], start and smallest latency in ns of the windows with enough messages, in order."""
        found = [
            (window * self.window_ns, least)
            for window, least in sorted(self._smallest.items())
            if self._messages[window] >= ENOUGH_MESSAGES
        ]
        return np.array(found, np.int64).reshape(-1, 2)

    def to_dict(self) -> dict[str, Any]:
        """Return skew, drift and the envelope itself; skew and drift are None where there are too few windows.

        The skew is the median of the windows' smallest latencies, the drift their Theil–Sen slope: a few wrong times,
        which make a window's smallest latency anything, move neither.
        """
        points = self.points()
        n = len(points)
        return {
            "skew_ms": float(np.median(points[:, 1])) / 1e6 if n >= SKEW_WINDOWS else None,
            "drift_ppm": _slope_ppm(points) if n >= DRIFT_WINDOWS else None,
            "envelope_window_s": self.window_ns // NS_PER_SECOND,
            "envelope_windows": n,
            "envelope": [[start, least / 1e6] for start, least in points.tolist()],
        }


def _slope_ppm(points: Int64Array) -> float:
    """Return the median slope of all pairs of points int64[n, 2], in ns of latency per ms of time."""
    first, second = np.triu_indices(len(points), 1)
    time = points[second, 0] - points[first, 0]
    return float(np.median((points[second, 1] - points[first, 1]) / time)) * 1e6


@dataclass(slots=True)
class DurationHistogram:
    """Counts durations in bins of `BIN_NS`."""

    _bins: dict[int, int] = field(default_factory=dict)

    def feed(self, values: Int64Array) -> None:
        """Count more durations, int64[n] ns."""
        found, counts = np.unique(values // BIN_NS, return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._bins[value] = self._bins.get(value, 0) + count

    @property
    def negative(self) -> int:
        """Number of durations below 0."""
        return sum(count for value, count in self._bins.items() if value < 0)

    def quantiles_ms(self) -> dict[str, float]:
        """Return p1, p50, p95 and p99 in ms, each the middle of its bin; nothing if there are no durations."""
        if not self._bins:
            return {}
        values = np.array(sorted(self._bins))
        below = np.cumsum([self._bins[value] for value in values.tolist()])
        return {
            f"p{percent}": float(
                (values[np.searchsorted(below, percent / 100 * below[-1])] + 0.5) * BIN_NS / 1e6
            )
            for percent in (1, 50, 95, 99)
        }
