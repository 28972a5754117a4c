"""Measurements of a running capture, for its live view, its metrics and its result; `capture` fills them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CaptureStreamMetrics:
    """One stream at one moment.

    Attributes:
        stream: name of the stream.
        messages: messages received since the start.
        rate: messages a second, lately.
        age_ns: time since its last message, ns; None before the first.
        latency_ns: P50, P95 and P99 of arrival minus the exchange's event time, lately, in ns of the local clock; it
            may be negative where that clock is slow, and is None where messages have no event time.
        gaps: gaps recorded for it.
        unreadable: messages without the ids that they should have.
    """

    stream: str
    messages: int
    rate: float
    age_ns: int | None
    latency_ns: tuple[int, int, int] | None
    gaps: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class CaptureMetrics:
    """A whole capture at one moment.

    Attributes:
        market: market that is recorded.
        running_ns: time since the start, ns.
        streams: each stream.
        connections: connections that are open.
        messages: messages received since the start.
        dropped: messages dropped since the start because the buffer was full.
        rows: rows of the log that this process has made durable.
        payload_bytes: payload bytes of them.
        buffer_bytes: memory of rows that wait for the disk.
        buffer_limit_bytes: memory that they may take.
        durable_ns: P50, P95, P99, P99.9 of the time from arrival to durability, lately, ns.
        durable_max_ns: greatest such time since the start, ns.
        durable_buckets: upper end in seconds and number of rows up to it, cumulative, since the start.
        durable_sum_ns: sum of all such times since the start, ns.
        sync_ns: P50, P99 of append and sync of a frame, lately, ns.
        trouble: what the device said when it refused rows; None while it takes them.
        free_bytes: free space of the disk.
        weight_used: request weight of the last minute.
        weight_limit: request weight that may be used in a minute.
        snapshots_waiting: symbols that need a depth snapshot and have none yet.
        clock_offset_ns: offset of the wall clock, ns; None where it is not known.
        clock_uncertainty_ns: greatest error of the offset, ns; None where it is not known.
        clock_source: where the offset comes from, or why there is none.
        events: number of warnings by their event.
    """

    market: str
    running_ns: int
    streams: tuple[CaptureStreamMetrics, ...]
    connections: int
    messages: int
    dropped: int
    rows: int
    payload_bytes: int
    buffer_bytes: int
    buffer_limit_bytes: int
    durable_ns: tuple[int, int, int, int]
    durable_max_ns: int
    durable_buckets: tuple[tuple[float, int], ...]
    durable_sum_ns: int
    sync_ns: tuple[int, int]
    trouble: str | None
    free_bytes: int
    weight_used: int
    weight_limit: int
    snapshots_waiting: tuple[str, ...]
    clock_offset_ns: int | None
    clock_uncertainty_ns: int | None
    clock_source: str
    events: Mapping[str, int]

    @property
    def gaps(self) -> int:
        """Gaps recorded for streams since the start."""
        return sum(stream.gaps for stream in self.streams)
