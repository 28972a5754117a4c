"""The flag timeline of a live capture: what the gaps found so far mean for the rows from here on.

A day's `FlagTimeline` knows which snapshot ends a gap before the gap begins. Here a gap is open until a snapshot is
scheduled, and nothing looks ahead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.flags import BookFlag
from order_book_platform.replay.flag_timeline import BEFORE_ALL, FlagChanges, gap_bits
from order_book_platform.replay.gap_detector import GapCandidate, MessagePairs

_CORRUPT = int(BookFlag.CORRUPT)
_AFTER_ALL = 2**62


class LiveFlagTimeline:
    """Follows which gaps are open, and gives the flags of rows as messages come.

    Args:
        recover_after_ns: A silence up to this long is a small gap.
        reach_ns: If no snapshot is scheduled within this time after a gap that is not small, the book is corrupt.
        bits: Flags in force where the timeline goes on.
        deadline_ns: Origin time after which the book is corrupt because of the open gaps; far in the future where no
            gap demands a snapshot.

    Attributes:
        bits, deadline_ns: The same, after the last message.
    """

    def __init__(
        self, recover_after_ns: int, reach_ns: int, bits: int = 0, deadline_ns: int = _AFTER_ALL
    ) -> None:
        self.bits, self.deadline_ns = bits, deadline_ns
        self._recover_after_ns, self._reach_ns = recover_after_ns, reach_ns

    def recover_from(self, gaps: Sequence[GapCandidate]) -> Int64Array:
        """Return int64[r]: sequence numbers from which on the next scheduled snapshot has to repair the book."""
        large = [gap.after for gap in gaps if not gap.is_small(self._recover_after_ns)]
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
        events: list[tuple[int, int, GapCandidate | None]] = [(gap.after, 0, gap) for gap in gaps]
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
