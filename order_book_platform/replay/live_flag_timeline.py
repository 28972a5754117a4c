"""Doubt as the messages come: what the gaps so far mean for the rows from here on. No I/O, no look ahead.

A day's `FlagTimeline` knows which snapshot ends a gap before it begins; here a gap is open until a snapshot
of the plan comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.flags import BookFlag
from order_book_platform.replay.flag_timeline import NEVER, gap_bits
from order_book_platform.replay.gap_detector import GapCandidate, Pairs

_CORRUPT = int(BookFlag.CORRUPT)
_FOREVER = 2**62


class Edges(NamedTuple):
    """Where doubt changes; see `FlagTimeline`.

    Attributes:
        sequence: int64[e], ascending.
        bits: int64[e].
    """

    sequence: Int64Array
    bits: Int64Array


class LiveFlagTimeline:
    """What is open.

    Args:
        recover_after_ns: a silence up to this is small.
        reach_ns: without a snapshot within this after a gap that is not small, the book is corrupt.
        bits: in force, to go on from.
        deadline_ns: origin time after which the open gaps are beyond reach; `_FOREVER` where there is none.

    Attributes:
        bits, deadline_ns: as above, now.
    """

    def __init__(
        self, recover_after_ns: int, reach_ns: int, bits: int = 0, deadline_ns: int = _FOREVER
    ) -> None:
        self.bits, self.deadline_ns = bits, deadline_ns
        self._recover_after_ns, self._reach_ns = recover_after_ns, reach_ns

    def recover_from(self, breaks: Sequence[GapCandidate]) -> Int64Array:
        """Messages from which on the next snapshot of the plan has to repair."""
        large = [item.after for item in breaks if not item.is_small(self._recover_after_ns)]
        return np.array(large, np.int64)

    def edges(self, pairs: Pairs, breaks: Sequence[GapCandidate], used_sequence: Int64Array) -> Edges:
        """Take the next messages, breaks and snapshots of the plan, all up to the same message.

        Args:
            pairs: of the messages.
            breaks: found between them.
            used_sequence: int64[m], ascending: snapshots of the plan that are due by the last message.
        """
        # At one number the gap comes first: a snapshot of the message behind it ends it at once.
        events: list[tuple[int, int, GapCandidate | None]] = [(item.after, 0, item) for item in breaks]
        events += [(number, 1, None) for number in used_sequence.tolist()]
        edges: list[tuple[int, int]] = []
        reached = NEVER
        for number, _, item in sorted(events, key=lambda event: event[:2]):
            self._expire(edges, pairs, reached, number)
            reached = number
            if item is None:
                self.bits, self.deadline_ns = 0, _FOREVER
            else:
                self._open(item)
            edges.append((number, self.bits))
        self._expire(edges, pairs, reached, _FOREVER)
        table = np.array(edges, np.int64).reshape(-1, 2)
        return Edges(np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1]))

    def _open(self, item: GapCandidate) -> None:
        self.bits |= gap_bits(item.cause, "flag", item.proven)
        if not item.is_small(self._recover_after_ns) and not self.bits & _CORRUPT:
            self.deadline_ns = min(self.deadline_ns, item.after_ns + self._reach_ns)

    def _expire(self, edges: list[tuple[int, int]], pairs: Pairs, start: int, stop: int) -> None:
        """From the first message beyond reach on the book is corrupt; of the messages from `start` to before `stop`."""
        if self.deadline_ns == _FOREVER:
            return
        beyond = (pairs.after_ns > self.deadline_ns) & (pairs.after >= start) & (pairs.after < stop)
        if beyond.any():
            self.bits |= _CORRUPT
            self.deadline_ns = _FOREVER
            edges.append((int(pairs.after[beyond.argmax()]), self.bits))
