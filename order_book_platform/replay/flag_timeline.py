"""Consequences of a day's gaps for its replay: which rows carry flags, and from where on the book must be repaired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.flags import PROVEN_LOSS, BookFlag

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
    """

    changes: FlagChanges
    recover_from: Int64Array

    @classmethod
    def none(cls) -> FlagTimeline:
        """Return the timeline of a day without gaps."""
        return cls(FlagChanges.none(), np.empty(0, np.int64))

    @classmethod
    def from_gaps(cls, gaps: pa.Table) -> FlagTimeline:
        """Return the timeline of the gaps of a day.

        Args:
            gaps: Rows with schema `GAPS`. Where gaps overlap, the flags of all of them are in force.
        """
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
        recover_from = [
            row["to_sequence_number"]
            for row in rows
            if row["action"] != "flag" and row["cause"] != "disagreement"
        ]
        return cls(
            FlagChanges(np.array(list(changes), np.int64), np.array(list(changes.values()), np.int64)),
            np.array(sorted(recover_from), np.int64),
        )


class RecoveryPoints:
    """Decides which snapshots repair the book without being compared: the first at or after each recovery point.

    Args:
        recover_from: `FlagTimeline.recover_from`.
        after: Sequence number of the last snapshot that was scheduled; it has met all points up to it.

    Attributes:
        open: int64[r], ascending: recovery points that no snapshot has met.
    """

    def __init__(self, recover_from: Int64Array, after: int = BEFORE_ALL) -> None:
        self.open = recover_from[recover_from > after]

    def add(self, recover_from: Int64Array) -> None:
        """Add points of losses that were found since, all behind the points and snapshots before them.

        Of the points that are still open the last one is kept: no snapshot was scheduled at or after any of them, so
        that the next one meets them all.
        """
        self.open = np.concatenate([self.open[-1:], recover_from])

    def forced(self, snapshot_sequence: Int64Array) -> BoolArray:
        """Return which of the next scheduled snapshots repair the book; points that they meet are closed.

        Args:
            snapshot_sequence: int64[m], ascending.

        Returns:
            bool[m].
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
