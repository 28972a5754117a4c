"""One pass over the messages of a day: breaks of the id chain, silences, snapshots of messages never seen, clocks.

No I/O: batches in, findings out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.assess.gaps.clock_offset import Durations, Envelope
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.replay.gap_detector import GapCandidate, GapDetector, unseen_counts


@dataclass(slots=True)
class MessageScan:
    """Feed it the deltas in order, then read what it found.

    Attributes:
        silence_ns: a longer pause counts as a break, where no ids prove the contrary.
        snapshot_sequence: int64[m], ascending: sequence numbers of all snapshots of the day.
        breaks: found so far, in order.
        first_ns, first_sequence: first origin time that is known, and number of the first message.
        pairs: consecutive messages that were looked at.
        span_ns: time between them; from the first message to the last where nothing was cut.
        silent_ns: of it, what pauses had beyond `silence_ns`.
    """

    silence_ns: int
    snapshot_sequence: NDArray[np.int64]
    breaks: list[GapCandidate] = field(default_factory=list)
    first_ns: int = 0
    first_sequence: int = 0
    pairs: int = 0
    span_ns: int = 0
    silent_ns: int = 0
    longest_pause_ns: int = 0
    origin_back: int = 0
    origin_missing: int = 0
    unseen_snapshots: int = 0
    _finder: GapDetector = field(init=False)
    _latencies: Durations = field(default_factory=Durations)
    _pauses: Durations = field(default_factory=Durations)
    _envelope: Envelope = field(default_factory=Envelope)

    def __post_init__(self) -> None:
        self._finder = GapDetector(self.silence_ns)

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
        if self.messages == 0:
            self.first_sequence = int(sequence[0])
        if not self.first_ns and known.any():
            self.first_ns = int(origin[known][0])
        pairs, breaks = self._finder.feed(batch, self.snapshot_sequence)
        pauses = pairs.pauses
        self.pairs += len(pauses)
        self.span_ns += int(pauses.sum())
        self.origin_back += int((pauses < 0).sum())
        self.silent_ns += int(np.maximum(pauses - self.silence_ns, 0).sum())
        self.longest_pause_ns = max(self.longest_pause_ns, int(pauses.max(initial=0)))
        self._pauses.feed(np.maximum(pauses, 0))
        if not self.has_ids:
            self.unseen_snapshots += int(unseen_counts(pairs, self.snapshot_sequence).sum())
        self.breaks += breaks

    def cut(self) -> None:
        """What comes next is from another place of the day: the time between counts neither as span nor as silence."""
        self._finder.cut()

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
        """Last origin time that is known, ns."""
        return self._finder.last_ns

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last message."""
        return self._finder.last_sequence

    def clocks(self) -> dict[str, Any]:
        """Coverage and validity of origin times, latency (arrival − origin), skew, drift, pauses between messages."""
        span, steps = self.span_ns, max(self.pairs, 1)
        return {
            "origin_coverage": max(1 - self.silent_ns / span, 0.0) if span > 0 else None,
            "origin_valid": 1 - (self.origin_back + self.origin_missing) / steps if self.messages else None,
            "origin_back": self.origin_back,
            "origin_missing": self.origin_missing,
            "longest_pause_ms": self.longest_pause_ns / 1e6,
            "pause_ms": self._pauses.quantiles_ms(),
            "latency_ms": self._latencies.quantiles_ms(),
            "latency_negative": self._latencies.negative / self.messages if self.messages else None,
            **self._envelope.to_dict(),
        }
