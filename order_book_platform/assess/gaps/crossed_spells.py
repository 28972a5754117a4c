"""Finds the spells during which a book is crossed, as its rows come. No I/O."""

from __future__ import annotations

import numpy as np

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import Int64Array
from order_book_platform.replay.gap_detector import GapCandidate

ORIGIN, SEQUENCE, FLAGS = 0, 2, 3
"""Columns of a row of the replay: origin time, sequence number, flags."""


class CrossedSpells:
    """Finds spells of a crossed book; it is fed the rows of a replay in order.

    Args:
        tolerated_ns: A spell that lasts longer than this is a gap candidate.

    Attributes:
        candidates: Gap candidates found so far, in order.
    """

    def __init__(self, tolerated_ns: int) -> None:
        self._tolerated_ns = tolerated_ns
        self._since: tuple[int, int] | None = None
        self.candidates: list[GapCandidate] = []

    def feed(self, rows: Int64Array) -> None:
        """Take the next rows, int64[n, ≥ 4], of a replay that shows at least every change of the best prices."""
        crossed = rows[:, FLAGS] & BookFlag.CROSSED != 0
        before = np.concatenate([[self._since is not None], crossed[:-1]])
        for at in np.flatnonzero(crossed != before):
            place = int(rows[at, ORIGIN]), int(rows[at, SEQUENCE])
            if crossed[at]:
                self._since = place
            else:
                self.end(*place)

    def end(self, origin_time: int, sequence_number: int) -> None:
        """End a spell, if there is one, with a message from which on the book is not crossed, or the day's last."""
        if self._since is None:
            return
        (since_ns, since), self._since = self._since, None
        lasted = origin_time - since_ns
        if lasted > self._tolerated_ns:
            detail = f"crossed for {lasted / NS_PER_SECOND:.3f} s"
            self.candidates.append(
                GapCandidate("crossed", since, sequence_number, since_ns, origin_time, None, detail)
            )
