"""Two clocks, the exchange's and the recorder's: latency, skew and drift, from arrival − origin time. No I/O.

A message cannot arrive before it was sent, so the smallest arrival − origin of a window is the offset of the two clocks
plus the shortest way through the network; everything above it is delay. Followed from window to window, this lower
envelope shows the **skew**, and its slope the **drift**. The shortest way is not told apart from the offset: the skew
is the offset and some milliseconds more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND

BIN_NS = 100_000
"""Latencies and pauses are counted in bins of 0.1 ms, so that quantiles need no list of all of them."""
WINDOW_NS = 10 * NS_PER_SECOND
"""The envelope's windows to begin with; twice as long whenever there are too many of them."""
MAX_WINDOWS = 300
"""As many points as a picture can show. A day has 270 windows of 320 s."""
ENOUGH_MESSAGES = 10
"""In a window with fewer the smallest delay says little about the shortest one."""
SKEW_WINDOWS, DRIFT_WINDOWS = 3, 10
"""With fewer windows there is no skew and no drift."""


@dataclass(slots=True)
class Envelope:
    """The smallest arrival − origin time of each window of arrival time.

    Windows begin at multiples of their length, so that the result does not depend on how messages come.

    Attributes:
        window_ns: length of a window.
    """

    window_ns: int = WINDOW_NS
    _smallest: dict[int, int] = field(default_factory=dict)
    _messages: dict[int, int] = field(default_factory=dict)

    def feed(self, received_time: NDArray[np.int64], latency: NDArray[np.int64]) -> None:
        """Take messages, both int64[n] ns."""
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

    def points(self) -> NDArray[np.int64]:
        """int64[n, 2] of the windows with enough messages, in order: start and smallest latency, ns."""
        found = [
            (window * self.window_ns, least)
            for window, least in sorted(self._smallest.items())
            if self._messages[window] >= ENOUGH_MESSAGES
        ]
        return np.array(found, np.int64).reshape(-1, 2)

    def to_dict(self) -> dict[str, Any]:
        """Skew, drift and the envelope itself; None where there are too few windows to say.

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


def _slope_ppm(points: NDArray[np.int64]) -> float:
    """Median of the slopes of all pairs of points, ns of latency per ms of time."""
    first, second = np.triu_indices(len(points), 1)
    time = points[second, 0] - points[first, 0]
    return float(np.median((points[second, 1] - points[first, 1]) / time)) * 1e6


@dataclass(slots=True)
class Durations:
    """A histogram of durations in bins of `BIN_NS`."""

    _bins: dict[int, int] = field(default_factory=dict)

    def feed(self, values: NDArray[np.int64]) -> None:
        """Take int64[n] ns."""
        found, counts = np.unique(values // BIN_NS, return_counts=True)
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            self._bins[value] = self._bins.get(value, 0) + count

    @property
    def negative(self) -> int:
        """How many are below 0."""
        return sum(count for value, count in self._bins.items() if value < 0)

    def quantiles_ms(self) -> dict[str, float]:
        """p1, p50, p95, p99 in ms: the middle of the bin in which each falls; empty if nothing was fed."""
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
