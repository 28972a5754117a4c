"""One pass over the messages of a day: breaks of the id chain, silences, snapshots of messages never seen, clocks.

No I/O: batches in, findings out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.model import DeltaBatch
from order_book_platform.model.breaks import Break, BreakFinder, unseen_counts

LATENCY_BIN_NS = 100_000
"""Latencies are counted in bins of 0.1 ms, so that quantiles need no list of all of them."""


@dataclass(slots=True)
class MessageScan:
    """Feed it the deltas in order, then read what it found.

    Attributes:
        silence_ns: a longer pause counts as a break, where no ids prove the contrary.
        snapshot_sequence: int64[m], ascending: sequence numbers of all snapshots of the day.
        breaks: found so far, in order.
    """

    silence_ns: int
    snapshot_sequence: NDArray[np.int64]
    breaks: list[Break] = field(default_factory=list)
    first_ns: int = 0
    first_sequence: int = 0
    silent_ns: int = 0
    longest_pause_ns: int = 0
    origin_back: int = 0
    origin_missing: int = 0
    unseen_snapshots: int = 0
    _finder: BreakFinder = field(init=False)
    _latency_bins: dict[int, int] = field(default_factory=dict)
    _pause_bins: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._finder = BreakFinder(self.silence_ns)

    def feed(self, batch: DeltaBatch) -> None:
        """Take a batch of whole messages."""
        sequence = batch.sequence_number
        starts = np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))
        origin = batch.origin_time[starts]
        _count(self._latency_bins, (batch.received_time[starts] - origin) // LATENCY_BIN_NS)
        self.origin_missing += int((origin <= 0).sum())
        if self.messages == 0:
            self.first_ns, self.first_sequence = int(origin[0]), int(sequence[0])
        pairs, breaks = self._finder.feed(batch, self.snapshot_sequence)
        pauses = pairs.pauses
        self.origin_back += int((pauses < 0).sum())
        self.silent_ns += int(np.maximum(pauses - self.silence_ns, 0).sum())
        self.longest_pause_ns = max(self.longest_pause_ns, int(pauses.max(initial=0)))
        _count(self._pause_bins, np.maximum(pauses, 0) // LATENCY_BIN_NS)
        if not self.has_ids:
            self.unseen_snapshots += int(unseen_counts(pairs, self.snapshot_sequence).sum())
        self.breaks += breaks

    @property
    def messages(self) -> int:
        """Seen so far."""
        return self._finder.messages

    @property
    def has_ids(self) -> bool:
        """Whether the source gave `U` or `pu`."""
        return self._finder.has_ids

    @property
    def last_ns(self) -> int:
        """Origin time of the last message, ns."""
        return self._finder.last_ns

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last message."""
        return self._finder.last_sequence

    def clocks(self) -> dict[str, Any]:
        """Coverage and validity of origin times, latency (arrival − origin) and pauses between messages."""
        span = self.last_ns - self.first_ns
        steps = max(self.messages - 1, 1)
        latency = _quantiles(self._latency_bins)
        negative = sum(count for value, count in self._latency_bins.items() if value < 0)
        return {
            "origin_coverage": 1 - self.silent_ns / span if span > 0 else None,
            "origin_valid": 1 - (self.origin_back + self.origin_missing) / steps if self.messages else None,
            "origin_back": self.origin_back,
            "origin_missing": self.origin_missing,
            "longest_pause_ms": self.longest_pause_ns / 1e6,
            "pause_ms": _quantiles(self._pause_bins),
            "latency_ms": latency,
            "latency_negative": negative / self.messages if self.messages else None,
        }


def _count(bins: dict[int, int], values: NDArray[np.int64]) -> None:
    found, counts = np.unique(values, return_counts=True)
    for value, count in zip(found.tolist(), counts.tolist(), strict=True):
        bins[value] = bins.get(value, 0) + count


def _quantiles(bins: dict[int, int]) -> dict[str, float]:
    """p1, p50, p95, p99 in ms: the middle of the bin in which each falls."""
    if not bins:
        return {}
    values = np.array(sorted(bins))
    below = np.cumsum([bins[value] for value in values.tolist()])
    return {
        f"p{percent}": float(
            (values[np.searchsorted(below, percent / 100 * below[-1])] + 0.5) * LATENCY_BIN_NS / 1e6
        )
        for percent in (1, 50, 95, 99)
    }
