"""Scans the messages of a day once for gap candidates and for what their times say of the clocks. No I/O.

Candidates are breaks of the chain of ids, silences, and snapshots of messages that never came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from order_book_platform.assess.gaps.clock_offset import DurationHistogram, LatencyEnvelope
from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.gap_detector import GapCandidate, GapDetector, unseen_counts


@dataclass(slots=True)
class MessageScan:
    """Scans messages; it is fed the deltas of a day in order.

    Attributes:
        silence_ns: A longer pause is a gap candidate, where no ids prove the contrary.
        snapshot_sequence: int64[m], ascending, sequence numbers of all snapshots of the day.
        candidates: Gap candidates found so far, in order.
        first_ns: First origin time that is known, ns; 0 if none is.
        first_sequence: Sequence number of the first message.
        pairs: Pairs of consecutive messages that were looked at.
        span_ns: Time between the messages of all pairs, ns; from the first message to the last if nothing was cut.
        silent_ns: Part of that time that pauses had beyond `silence_ns`, ns.
        longest_pause_ns: Longest time between the messages of a pair, ns.
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
    _detector: GapDetector = field(init=False)
    _latencies: DurationHistogram = field(default_factory=DurationHistogram)
    _pauses: DurationHistogram = field(default_factory=DurationHistogram)
    _envelope: LatencyEnvelope = field(default_factory=LatencyEnvelope)

    def __post_init__(self) -> None:
        self._detector = GapDetector(self.silence_ns)

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
        pairs, candidates = self._detector.feed(batch, self.snapshot_sequence)
        pauses = pairs.pauses
        self.pairs += len(pauses)
        self.span_ns += int(pauses.sum())
        self.origin_back += int((pauses < 0).sum())
        self.silent_ns += int(np.maximum(pauses - self.silence_ns, 0).sum())
        self.longest_pause_ns = max(self.longest_pause_ns, int(pauses.max(initial=0)))
        self._pauses.feed(np.maximum(pauses, 0))
        if not self.has_ids:
            self.unseen_snapshots += int(unseen_counts(pairs, self.snapshot_sequence).sum())
        self.candidates += candidates

    def cut(self) -> None:
        """Say that the next batch is from another place of the day: the time between is neither span nor silence."""
        self._detector.cut()

    @property
    def messages(self) -> int:
        """Number of messages so far."""
        return self._detector.messages

    @property
    def has_ids(self) -> bool:
        """Whether the source gave the ids `U` or `pu`."""
        return self._detector.has_ids

    @property
    def last_ns(self) -> int:
        """Last origin time that is known, ns."""
        return self._detector.last_ns

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last message."""
        return self._detector.last_sequence

    def clocks(self) -> dict[str, Any]:
        """Return the section `clocks` of a report: coverage and validity of origin times, latency, skew, drift, pauses.

        Latency is arrival − origin time.
        """
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
