"""Breaks: places between two messages where something may be missing. Found message by message, looking back only.

The gap report of a day and a live tail find them in the same way; what is done about them differs only in what each can
know: a day knows which snapshot comes next, a tail does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.model.arrays import Int64Array

PROVEN = frozenset({"chain", "unseen_snapshot"})
"""Causes that show a loss; a silence or a crossed book only suggests one."""


@dataclass(frozen=True, slots=True)
class GapCandidate:
    """A place between two consecutive messages where something may be missing.

    Attributes:
        cause: `chain`, `silence`, `unseen_snapshot` or `crossed`.
        before, after: sequence numbers of the messages around it.
        before_ns, after_ns: their origin times; where that is not known, that of the message before.
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

    @property
    def proven(self) -> bool:
        """Whether a loss is shown, not only suggested."""
        return self.cause in PROVEN

    def is_small(self, recover_after_ns: int) -> bool:
        """Whether flagging the rows is enough: a short silence, or a crossed book, which is repaired anyway."""
        short = self.cause == "silence" and self.after_ns - self.before_ns <= recover_after_ns
        return short or self.cause == "crossed"


class Pairs(NamedTuple):
    """Consecutive messages: the last one of the batch before, if any, and those of a batch.

    Attributes:
        before, after: int64[n], sequence numbers.
        before_ns, after_ns: int64[n], origin times; one that is not known (0 or below) is that of the message before,
            and before the first known one there are no pauses.
        rows: intp[n], first row of each `after` in the batch.
    """

    before: Int64Array
    after: Int64Array
    before_ns: Int64Array
    after_ns: Int64Array
    rows: NDArray[np.intp]

    @property
    def pauses(self) -> Int64Array:
        """Time between the two, ns."""
        return self.after_ns - self.before_ns


class DetectedGaps(NamedTuple):
    """What a batch brought.

    Attributes:
        pairs: its messages with those before them.
        breaks: between them, in order.
    """

    pairs: Pairs
    breaks: list[GapCandidate]


@dataclass(slots=True)
class GapDetector:
    """Feed it the deltas in order. It remembers the last message alone.

    Attributes:
        silence_ns: a longer pause counts as a break, where no ids prove the contrary.
        has_ids: whether the source gave `U` or `pu`.
        messages: seen so far.
        last_sequence, last_ns: sequence number of the last one, and the last origin time that is known.
        is_cut: whether the next one is from another place than right behind it.
    """

    silence_ns: int
    has_ids: bool = False
    messages: int = 0
    last_sequence: int = 0
    last_ns: int = 0
    is_cut: bool = False

    def cut(self) -> None:
        """What comes next is from another place: between here and there nothing is looked for."""
        self.is_cut = True

    def feed(self, batch: DeltaBatch, snapshot_sequence: Int64Array) -> DetectedGaps:
        """Take a batch of whole messages.

        Args:
            batch: at least one.
            snapshot_sequence: int64[m], ascending: sequence numbers of all snapshots that may lie between its messages.
        """
        pairs = self._pairs(batch)
        breaks = self._chain_breaks(batch, pairs)
        if not self.has_ids:
            # Where there are ids they prove every loss, and a REST snapshot's id may lie inside a message.
            breaks += _breaks("silence", pairs, pairs.pauses > self.silence_ns, _silence_detail(pairs))
            breaks += _unseen(pairs, snapshot_sequence)
        return DetectedGaps(pairs, sorted(breaks, key=lambda item: item.after))

    def _pairs(self, batch: DeltaBatch) -> Pairs:
        sequence = batch.sequence_number
        starts = np.flatnonzero(np.concatenate([[True], sequence[1:] != sequence[:-1]]))
        messages, is_first = sequence[starts], self.messages == 0 or self.is_cut
        origin = _carried(batch.origin_time[starts], 0 if is_first else self.last_ns)
        if is_first:
            pairs = Pairs(messages[:-1], messages[1:], origin[:-1], origin[1:], starts[1:])
        else:
            before = np.concatenate([[self.last_sequence], messages[:-1]])
            before_ns = np.concatenate([[self.last_ns], origin[:-1]])
            pairs = Pairs(before, messages, before_ns, origin, starts)
        if not pairs.before_ns.all():  # what precedes the first known time is no pause
            pairs = pairs._replace(before_ns=np.where(pairs.before_ns > 0, pairs.before_ns, pairs.after_ns))
        self.messages += len(messages)
        self.is_cut = False
        self.last_sequence, self.last_ns = int(messages[-1]), int(origin[-1])
        return pairs

    def _chain_breaks(self, batch: DeltaBatch, pairs: Pairs) -> list[GapCandidate]:
        """Proven losses: futures `pu` is not the previous `u`; spot `U` is not the previous `u` + 1."""
        if batch.prev_final_update_id is not None:
            name, wanted, found = "pu", pairs.before, batch.prev_final_update_id[pairs.rows]
        elif batch.first_update_id is not None:
            name, wanted, found = "U", pairs.before + 1, batch.first_update_id[pairs.rows]
        else:
            return []
        self.has_ids = True
        missing = found - wanted if name == "U" else None
        return _breaks(
            "chain",
            pairs,
            wanted != found,
            lambda i: f"{name} is {found[i]} where {wanted[i]} was due",
            missing,
        )


def _carried(origin_ns: Int64Array, before_ns: int) -> Int64Array:
    """The same times; one that is not known (0 or below) is the last known one before it, `before_ns` at first."""
    known = origin_ns > 0
    if known.all():
        return origin_ns
    at = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
    return np.asarray(np.where(at >= 0, origin_ns[at], before_ns), np.int64)


def _breaks(
    cause: str,
    pairs: Pairs,
    where: NDArray[np.bool_],
    detail: Callable[[int], str],
    missing_ids: Int64Array | None = None,
) -> list[GapCandidate]:
    return [
        GapCandidate(
            cause,
            int(pairs.before[i]),
            int(pairs.after[i]),
            int(pairs.before_ns[i]),
            int(pairs.after_ns[i]),
            None if missing_ids is None else int(missing_ids[i]),
            detail(i),
        )
        for i in np.flatnonzero(where).tolist()
    ]


def _silence_detail(pairs: Pairs) -> Callable[[int], str]:
    pauses = pairs.pauses
    return lambda i: f"no message for {pauses[i] / 1e9:.3f} s"


def unseen_counts(pairs: Pairs, snapshot_sequence: Int64Array) -> Int64Array:
    """How many snapshots lie between the messages of each pair.

    Args:
        pairs: n of them.
        snapshot_sequence: int64[m], ascending.

    Returns:
        int64[n].
    """
    low = np.searchsorted(snapshot_sequence, pairs.before, "right")
    return np.asarray(np.searchsorted(snapshot_sequence, pairs.after, "left") - low, np.int64)


def _unseen(pairs: Pairs, snapshot_sequence: Int64Array) -> list[GapCandidate]:
    """Snapshots whose sequence number lies between two messages: the message they were taken after is lost."""
    counts = unseen_counts(pairs, snapshot_sequence)
    return _breaks(
        "unseen_snapshot",
        pairs,
        counts > 0,
        lambda i: f"{counts[i]} snapshot(s) of messages that are not in the deltas",
    )
