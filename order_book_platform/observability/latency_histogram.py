"""Latencies counted in buckets that are 9 % wide, so that any number of them takes the same memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

BUCKETS_PER_DOUBLING = 8
BUCKETS = 8 * 36
"""Buckets from 1 µs to 2**35 µs, which is nine hours."""
WINDOW_NS = 30_000_000_000


class LatencyHistogram:
    """Counts latencies since the start, and those of the last 30 to 60 seconds.

    Attributes:
        counts: int64[BUCKETS], latencies since the start by bucket.
        maximum_ns: greatest latency since the start, ns.
        sum_ns: sum of all latencies, ns.
    """

    def __init__(self) -> None:
        self.counts: npt.NDArray[np.int64] = np.zeros(BUCKETS, np.int64)
        self.maximum_ns = 0
        self.sum_ns = 0
        self._window = np.zeros(BUCKETS, np.int64)
        self._before = np.zeros(BUCKETS, np.int64)
        self._window_began_ns = 0

    def add(self, latencies_ns: npt.NDArray[np.int64], now_ns: int) -> None:
        """Count latencies that were measured now.

        Args:
            latencies_ns: int64[n], ns; negative ones count as 0.
            now_ns: monotonic time, ns.
        """
        if not len(latencies_ns):
            return
        micros = np.maximum(latencies_ns / 1000, 1.0)
        bucket = np.minimum((np.log2(micros) * BUCKETS_PER_DOUBLING).astype(np.int64), BUCKETS - 1)
        counts = np.bincount(bucket, minlength=BUCKETS)
        if now_ns - self._window_began_ns > WINDOW_NS:
            self._before, self._window = self._window, np.zeros(BUCKETS, np.int64)
            self._window_began_ns = now_ns
        self._window += counts
        self.counts += counts
        self.maximum_ns = max(self.maximum_ns, int(latencies_ns.max()))
        self.sum_ns += int(latencies_ns.sum())

    def percentiles_ns(self, *percents: float, recent: bool = False) -> tuple[int, ...]:
        """Return percentiles in ns: the upper end of a bucket, at most the maximum; zeros where nothing was counted.

        Args:
            percents: such as 50, 99.
            recent: of the last 30 to 60 seconds instead of all.
        """
        counts = self._before + self._window if recent else self.counts
        total = int(counts.sum())
        if not total:
            return (0,) * len(percents)
        sums = np.cumsum(counts)
        at = [int(np.searchsorted(sums, np.ceil(total * percent / 100))) for percent in percents]
        return tuple(min(bucket_end_ns(bucket), self.maximum_ns) for bucket in at)


def bucket_end_ns(bucket: int) -> int:
    """Return the upper end of a bucket, ns."""
    return round(2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING) * 1000)
