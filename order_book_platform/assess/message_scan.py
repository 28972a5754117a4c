"""Scans the messages of a day once for gap candidates and for what their times say of the clocks. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.gap_detector import GapCandidate, GapDetector, unseen_counts

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
    """Compares two clocks, the exchange's and the recorder's, by the smallest arrival − origin time of each window.

    A message cannot arrive before it was sent, so the smallest arrival − origin of a window is the offset of the two
    clocks plus the shortest way through the network; everything above it is delay. Followed from window to window, this
    lower envelope shows the **skew**, and its slope the **drift**. The shortest way is not told apart from the offset:
    the skew is the offset and some milliseconds more.

    Windows are `window_ns` long and begin at multiples of it, so that the result does not depend on how messages are
    cut into batches.
    """

    window_ns: int = WINDOW_NS
    _windows: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Smallest latency, ns, and messages of each window by its number."""

    def feed(self, received_time: Int64Array, latency: Int64Array) -> None:
        """Take the arrival times and latencies of messages, both int64[n] ns."""
        if not len(received_time):
            return
        windows, place, counts = np.unique(
            received_time // self.window_ns, return_inverse=True, return_counts=True
        )
        smallest = np.full(len(windows), np.iinfo(np.int64).max)
        np.minimum.at(smallest, place, latency)
        self._add(zip(windows.tolist(), smallest.tolist(), counts.tolist(), strict=True))
        while len(self._windows) > MAX_WINDOWS:
            before, self._windows = self._windows, {}
            self.window_ns *= 2
            self._add((window // 2, *entry) for window, entry in before.items())

    def _add(self, windows: Iterable[tuple[int, int, int]]) -> None:
        for window, least, count in windows:
            known, messages = self._windows.get(window, (least, 0))
            self._windows[window] = min(least, known), count + messages

    def points(self) -> Int64Array:
        """Return int64[n, 2], start and smallest latency in ns of the windows with enough messages, in order."""
        found = [
            (window * self.window_ns, least)
            for window, (least, messages) in sorted(self._windows.items())
            if messages >= ENOUGH_MESSAGES
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

    _bins: Counter[int] = field(default_factory=Counter)

    def feed(self, values: Int64Array) -> None:
        """Count more durations, int64[n] ns."""
        found, counts = np.unique(values // BIN_NS, return_counts=True)
        self._bins.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))

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


@dataclass(slots=True)
class MessageScan:
    """Scans messages for breaks of the chain of ids, silences, and snapshots of messages that never came.

    It is fed the deltas of a day in order. A pause longer than `silence_ns` is a candidate where no ids prove the
    contrary; `snapshot_sequence`, int64[m] ascending, has the sequence numbers of all snapshots of the day. The
    detector also counts messages and knows the last one.

    Attributes:
        first_ns: First origin time that is known, ns; 0 if none is.
        pairs: Pairs of consecutive messages that were looked at, `span_ns` between them in all.
        silent_ns: Part of that time that pauses had beyond `silence_ns`, ns.
        origin_back: Messages with an earlier origin time than the message before.
        origin_missing: Messages without a known origin time.
        unseen_snapshots: Snapshots whose message is not among the deltas, where there are no ids.
    """

    silence_ns: int
    snapshot_sequence: Int64Array
    candidates: list[GapCandidate] = field(default_factory=list)
    first_ns: int = 0
    first_sequence: int = 0
    pairs: int = 0
    span_ns: int = 0
    silent_ns: int = 0
    longest_pause_ns: int = 0
    origin_back: int = 0
    origin_missing: int = 0
    unseen_snapshots: int = 0
    detector: GapDetector = field(init=False)
    _latencies: DurationHistogram = field(default_factory=DurationHistogram)
    _pauses: DurationHistogram = field(default_factory=DurationHistogram)
    _envelope: LatencyEnvelope = field(default_factory=LatencyEnvelope)

    def __post_init__(self) -> None:
        self.detector = GapDetector(self.silence_ns)

    def feed(self, batch: DeltaBatch) -> None:
        """Take a batch of whole messages."""
        sequence = batch.sequence_number
        starts = np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))
        origin, received = batch.origin_time[starts], batch.received_time[starts]
        known = origin > 0
        latency = received - origin
        self._latencies.feed(latency[known])
        self._envelope.feed(received[known], latency[known])
        self.origin_missing += int((~known).sum())
        if self.detector.messages == 0:
            self.first_sequence = int(sequence[0])
        if not self.first_ns and known.any():
            self.first_ns = int(origin[known][0])
        pairs, candidates = self.detector.feed(batch, self.snapshot_sequence)
        pauses = pairs.pauses
        self.pairs += len(pauses)
        self.span_ns += int(pauses.sum())
        self.origin_back += int((pauses < 0).sum())
        self.silent_ns += int(np.maximum(pauses - self.silence_ns, 0).sum())
        self.longest_pause_ns = max(self.longest_pause_ns, int(pauses.max(initial=0)))
        self._pauses.feed(np.maximum(pauses, 0))
        if not self.detector.has_ids:
            self.unseen_snapshots += int(unseen_counts(pairs, self.snapshot_sequence).sum())
        self.candidates += candidates

    def clocks(self) -> dict[str, Any]:
        """Return the section `clocks` of a report, in which latency is arrival − origin time."""
        span, steps, messages = self.span_ns, max(self.pairs, 1), self.detector.messages
        return {
            "origin_coverage": max(1 - self.silent_ns / span, 0.0) if span > 0 else None,
            "origin_valid": 1 - (self.origin_back + self.origin_missing) / steps if messages else None,
            "origin_back": self.origin_back,
            "origin_missing": self.origin_missing,
            "longest_pause_ms": self.longest_pause_ns / 1e6,
            "pause_ms": self._pauses.quantiles_ms(),
            "latency_ms": self._latencies.quantiles_ms(),
            "latency_negative": self._latencies.negative / messages if messages else None,
            **self._envelope.to_dict(),
        }
