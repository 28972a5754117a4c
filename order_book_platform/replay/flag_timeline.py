"""Consequences of gaps for a replay: which rows carry flags, and from where on the book must be repaired.

A day's timeline knows which snapshot ends a gap before the gap begins. That of a live capture looks back only: a gap is
open until a snapshot is scheduled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.flags import PROVEN_LOSS, BookFlag
from order_book_platform.replay.gap_detector import GapCandidate, MessagePairs

BEFORE_ALL = -(2**63)
"""A sequence number, or a time in ns, before every other."""

_GAP_FLAGS = (int(BookFlag.GAP), int(BookFlag.CORRUPT), int(BookFlag.HINDSIGHT), PROVEN_LOSS)


class FlagChanges(NamedTuple):
    """Messages from which on rows carry other flags.

    Attributes:
        sequence: int64[n], ascending: the bits are in force from the first message with a sequence number ≥ it on.
        bits: int64[n]: `GAP`, `CORRUPT` and `HINDSIGHT` of `BookFlag`, and `PROVEN_LOSS`; they replace those before.
    """

    sequence: Int64Array
    bits: Int64Array

    @classmethod
    def none(cls) -> FlagChanges:
        """Return no changes: no row carries a flag because of a gap."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class FlagTimeline:
    """Consequences of a day's gaps for its replay.

    Attributes:
        changes: Messages from which on rows carry other flags.
        recover_from: int64[r], ascending sequence numbers: the first usable snapshot at or after each of them repairs
            the book, whether or not it agrees with it.
        proven_by_ids: Whether ids prove the losses: then the next sound snapshot is usable, whichever it is.
    """

    changes: FlagChanges
    recover_from: Int64Array
    proven_by_ids: bool = False

    @classmethod
    def none(cls) -> FlagTimeline:
        """Return the timeline of a day without gaps."""
        return cls(FlagChanges.none(), np.empty(0, np.int64))

    @classmethod
    def from_gaps(cls, gaps: pa.Table) -> FlagTimeline:
        """Return the timeline of a day's gaps with schema `GAPS`; where gaps overlap, the flags of all are in force."""
        rows = gaps.to_pylist()
        begins_and_ends: list[tuple[int, int, int]] = []
        for row in rows:
            bits = gap_bits(row["cause"], row["action"], row["proven"])
            begins_and_ends.append((row["flagged_from_sequence_number"], +1, bits))
            if row["flagged_until_sequence_number"] is not None:
                begins_and_ends.append((row["flagged_until_sequence_number"], -1, bits))
        open_gaps = dict.fromkeys(_GAP_FLAGS, 0)
        changes: dict[int, int] = {}
        for sequence, step, bits in sorted(begins_and_ends):
            for bit in open_gaps:
                if bits & bit:
                    open_gaps[bit] += step
            changes[sequence] = sum(bit for bit, count in open_gaps.items() if count > 0)
        recover = [row for row in rows if row["action"] != "flag" and row["cause"] != "disagreement"]
        # The snapshot that ends the doubt may lie inside the message behind the gap, so before its number.
        recover_from = [
            min(row["to_sequence_number"], row["flagged_until_sequence_number"] or row["to_sequence_number"])
            for row in recover
        ]
        return cls(
            FlagChanges(np.array(list(changes), np.int64), np.array(list(changes.values()), np.int64)),
            np.array(sorted(recover_from), np.int64),
            any(row["cause"] == "chain" for row in recover),
        )


class RecoveryPoints:
    """Decides which snapshots repair the book without being compared: the first at or after each recovery point.

    Args:
        recover_from: `FlagTimeline.recover_from`.
        after: Sequence number of the last snapshot that was scheduled; it has met all points up to it.

    Attributes:
        open: int64[r], ascending: recovery points that no snapshot has met.
        proven_by_ids: `FlagTimeline.proven_by_ids`.
    """

    def __init__(
        self, recover_from: Int64Array, after: int = BEFORE_ALL, proven_by_ids: bool = False
    ) -> None:
        self.open = recover_from[recover_from > after]
        self.proven_by_ids = proven_by_ids

    def add(self, recover_from: Int64Array) -> None:
        """Add points of losses found since, int64[r] ascending, all behind the points and snapshots before them.

        Of the points that are still open the last one is kept: no snapshot was scheduled at or after any of them, so
        that the next one meets them all.
        """
        self.open = np.concatenate([self.open[-1:], recover_from])

    def demanded(self, snapshot_sequence: Int64Array) -> NDArray[np.intp]:
        """Return which of the next sound snapshots, int64[m] ascending sequence numbers, losses demand out of turn.

        They are the first at or after each point. Ids have to prove the losses, so that nobody looks at a snapshot in
        order to decide whether it is evidence.
        """
        if not self.proven_by_ids:
            return np.empty(0, np.intp)
        at = np.searchsorted(snapshot_sequence, self.open, "left")
        return np.unique(at[at < len(snapshot_sequence)])

    def forced(self, snapshot_sequence: Int64Array) -> BoolArray:
        """Return bool[m]: which of the next scheduled snapshots, int64[m] ascending sequence numbers, repair the book.

        Points that they meet are closed.
        """
        at = np.searchsorted(snapshot_sequence, self.open, "left")
        met = at < len(snapshot_sequence)
        forced = np.zeros(len(snapshot_sequence), np.bool_)
        forced[at[met]] = True
        self.open = self.open[~met]
        return forced


def gap_bits(cause: str, action: str, proven: bool) -> int:
    """Return the bits of `BookFlag`, and `PROVEN_LOSS`, that rows carry because of a gap.

    A disagreement and a long crossed spell become known only after the rows that they concern. Those rows get a flag of
    their own, `HINDSIGHT`, and keep what they claimed at the time, so that nothing that an agent sees depends on what
    came later.
    """
    if cause in ("disagreement", "crossed"):
        return int(BookFlag.HINDSIGHT)
    bits = int(BookFlag.GAP)
    if action == "corrupt":
        bits |= int(BookFlag.CORRUPT)
    return bits | (PROVEN_LOSS if proven else 0)


_CORRUPT = int(BookFlag.CORRUPT)
_AFTER_ALL = 2**62


class LiveFlagTimeline:
    """Follows which gaps are open, and gives the flags of rows as messages come.

    Args:
        recover_after_ns: A silence up to this long is a small gap.
        reach_ns: If no snapshot is scheduled within this time after a gap that is not small, the book is corrupt.
        bits: Flags in force where the timeline goes on, and after the last message.
        deadline_ns: Origin time after which the book is corrupt because of the open gaps, ns; far in the future where
            no gap demands a snapshot.
    """

    def __init__(
        self, recover_after_ns: int, reach_ns: int, bits: int = 0, deadline_ns: int = _AFTER_ALL
    ) -> None:
        self.bits, self.deadline_ns = bits, deadline_ns
        self._recover_after_ns, self._reach_ns = recover_after_ns, reach_ns

    def recover_from(self, gaps: Sequence[GapCandidate]) -> Int64Array:
        """Return int64[r]: sequence numbers from which on the next scheduled snapshot has to repair the book."""
        large = [gap.recover_from for gap in gaps if not gap.is_small(self._recover_after_ns)]
        return np.array(large, np.int64)

    def changes(
        self, pairs: MessagePairs, gaps: Sequence[GapCandidate], used_sequence: Int64Array
    ) -> FlagChanges:
        """Take the next messages, gaps and scheduled snapshots, and return where flags change within them.

        Args:
            pairs: The messages.
            gaps: Gap candidates that were found between them.
            used_sequence: int64[m], ascending: scheduled snapshots that are due by the last of the messages.
        """
        # At one sequence number the gap comes first: a snapshot of the message behind the gap ends it at once.
        events: list[tuple[int, int, GapCandidate | None]] = [(gap.recover_from, 0, gap) for gap in gaps]
        events += [(number, 1, None) for number in used_sequence.tolist()]
        changes: list[tuple[int, int]] = []
        reached = BEFORE_ALL
        for number, _, gap in sorted(events, key=lambda event: event[:2]):
            self._expire(changes, pairs, reached, number)
            reached = number
            if gap is None:
                self.bits, self.deadline_ns = 0, _AFTER_ALL
            else:
                self._open(gap)
            changes.append((number, self.bits))
        self._expire(changes, pairs, reached, _AFTER_ALL)
        table = np.array(changes, np.int64).reshape(-1, 2)
        return FlagChanges(np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1]))

    def _open(self, gap: GapCandidate) -> None:
        self.bits |= gap_bits(gap.cause, "flag", gap.proven)
        if not gap.is_small(self._recover_after_ns) and not self.bits & _CORRUPT:
            self.deadline_ns = min(self.deadline_ns, gap.after_ns + self._reach_ns)

    def _expire(self, changes: list[tuple[int, int]], pairs: MessagePairs, start: int, stop: int) -> None:
        """Call the book corrupt from the first message after the deadline on, if it lies in [start, stop)."""
        if self.deadline_ns == _AFTER_ALL:
            return
        beyond = (pairs.after_ns > self.deadline_ns) & (pairs.after >= start) & (pairs.after < stop)
        if beyond.any():
            self.bits |= _CORRUPT
            self.deadline_ns = _AFTER_ALL
            changes.append((int(pairs.after[beyond.argmax()]), self.bits))
