"""One pass over the messages of a day: breaks of the id chain, silences, snapshots of messages never seen, clocks.

No I/O: batches in, findings out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.model import DeltaBatch

LATENCY_BIN_NS = 100_000
"""Latencies are counted in bins of 0.1 ms, so that quantiles need no list of all of them."""


@dataclass(frozen=True, slots=True)
class Break:
    """A place between two consecutive messages where something may be missing.

    Attributes:
        cause: `chain`, `silence` or `unseen_snapshot`.
        before, after: sequence numbers of the messages around it.
        before_ns, after_ns: their origin times.
        missing_ids: how many ids are missing, where ids are contiguous; else None.
        detail: one sentence.
    """

    cause: str
    before: int
    after: int
    before_ns: int
    after_ns: int
    missing_ids: int | None
    detail: str


@dataclass(slots=True)
class MessageScan:
    """Feed it the deltas in order, then read what it found.

    Attributes:
        silence_ns: a longer pause counts as a break, where no ids prove the contrary.
        snapshot_sequence: int64[m], ascending: sequence numbers of all snapshots of the day.
        breaks: found so far, in order.
        messages: seen so far.
        has_ids: whether the source gave `U` or `pu`.
    """

    silence_ns: int
    snapshot_sequence: NDArray[np.int64]
    breaks: list[Break] = field(default_factory=list)
    messages: int = 0
    has_ids: bool = False
    first_ns: int = 0
    last_ns: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    silent_ns: int = 0
    longest_pause_ns: int = 0
    origin_back: int = 0
    origin_missing: int = 0
    unseen_snapshots: int = 0
    _latency_bins: dict[int, int] = field(default_factory=dict)
    _pause_bins: dict[int, int] = field(default_factory=dict)

    def feed(self, batch: DeltaBatch) -> None:
        """Take a batch of whole messages."""
        sequence = batch.sequence_number
        starts = np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))
        messages = sequence[starts]
        origin = batch.origin_time[starts]
        _count(self._latency_bins, (batch.received_time[starts] - origin) // LATENCY_BIN_NS)
        self.origin_missing += int((origin <= 0).sum())
        if self.messages == 0:
            self.first_ns, self.first_sequence = int(origin[0]), int(messages[0])
            before, before_ns = messages[:-1], origin[:-1]
            after, after_ns, rows = messages[1:], origin[1:], starts[1:]
        else:
            before = np.concatenate([[self.last_sequence], messages[:-1]])
            before_ns = np.concatenate([[self.last_ns], origin[:-1]])
            after, after_ns, rows = messages, origin, starts
        pauses = after_ns - before_ns
        self.origin_back += int((pauses < 0).sum())
        self.silent_ns += int(np.maximum(pauses - self.silence_ns, 0).sum())
        self.longest_pause_ns = max(self.longest_pause_ns, int(pauses.max(initial=0)))
        _count(self._pause_bins, np.maximum(pauses, 0) // LATENCY_BIN_NS)
        found = self._chain_breaks(batch, rows, before, before_ns, after, after_ns)
        if not self.has_ids:
            # Where there are ids they prove every loss, and a REST snapshot's id may lie inside a message.
            found += self._silences(pauses, before, before_ns, after, after_ns)
            found += self._unseen(before, before_ns, after, after_ns)
        self.breaks += sorted(found, key=lambda item: item.after)
        self.messages += len(messages)
        self.last_sequence, self.last_ns = int(messages[-1]), int(origin[-1])

    def _chain_breaks(
        self,
        batch: DeltaBatch,
        rows: NDArray[np.intp],
        before: NDArray[np.int64],
        before_ns: NDArray[np.int64],
        after: NDArray[np.int64],
        after_ns: NDArray[np.int64],
    ) -> list[Break]:
        """Proven losses: futures `pu` is not the previous `u`; spot `U` is not the previous `u` + 1."""
        if batch.prev_final_update_id is not None:
            name, wanted, found = "pu", before, batch.prev_final_update_id[rows]
        elif batch.first_update_id is not None:
            name, wanted, found = "U", before + 1, batch.first_update_id[rows]
        else:
            return []
        self.has_ids = True
        return [
            Break(
                "chain",
                int(before[i]),
                int(after[i]),
                int(before_ns[i]),
                int(after_ns[i]),
                int(found[i] - wanted[i]) if name == "U" else None,
                f"{name} is {found[i]} where {wanted[i]} was due",
            )
            for i in np.flatnonzero(wanted != found)
        ]

    def _silences(
        self,
        pauses: NDArray[np.int64],
        before: NDArray[np.int64],
        before_ns: NDArray[np.int64],
        after: NDArray[np.int64],
        after_ns: NDArray[np.int64],
    ) -> list[Break]:
        return [
            Break(
                "silence",
                int(before[i]),
                int(after[i]),
                int(before_ns[i]),
                int(after_ns[i]),
                None,
                f"no message for {pauses[i] / 1e9:.3f} s",
            )
            for i in np.flatnonzero(pauses > self.silence_ns)
        ]

    def _unseen(
        self,
        before: NDArray[np.int64],
        before_ns: NDArray[np.int64],
        after: NDArray[np.int64],
        after_ns: NDArray[np.int64],
    ) -> list[Break]:
        """Snapshots whose sequence number lies between two messages: the message they were taken after is lost."""
        if not len(after):
            return []
        low = np.searchsorted(self.snapshot_sequence, before, "right")
        counts = np.searchsorted(self.snapshot_sequence, after, "left") - low
        self.unseen_snapshots += int(counts.sum())
        return [
            Break(
                "unseen_snapshot",
                int(before[i]),
                int(after[i]),
                int(before_ns[i]),
                int(after_ns[i]),
                None,
                f"{counts[i]} snapshot(s) of messages that are not in the deltas",
            )
            for i in np.flatnonzero(counts > 0)
        ]

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
