"""Spells of a crossed book, found as its rows come. No I/O."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model import BookFlag
from order_book_platform.replay.gap_detector import GapCandidate

ORIGIN, SEQUENCE, FLAGS = 0, 2, 3
"""Columns of a row of the replay."""


class CrossedSpells:
    """Feed it rows in order, then read what it found.

    Args:
        tolerated_ns: a spell that lasts longer is a break.

    Attributes:
        breaks: found so far, in order.
    """

    def __init__(self, tolerated_ns: int) -> None:
        self._tolerated_ns = tolerated_ns
        self._since: tuple[int, int] | None = None
        self.breaks: list[GapCandidate] = []

    def feed(self, rows: NDArray[np.int64]) -> None:
        """Take rows int64[n, ≥ 4] of a replay that shows at least every change of the best prices."""
        crossed = rows[:, FLAGS] & BookFlag.CROSSED != 0
        before = np.concatenate([[self._since is not None], crossed[:-1]])
        for at in np.flatnonzero(crossed != before):
            place = int(rows[at, ORIGIN]), int(rows[at, SEQUENCE])
            if crossed[at]:
                self._since = place
            else:
                self.end(*place)

    def end(self, origin_time: int, sequence_number: int) -> None:
        """No longer crossed from this message on, or the day ends with it."""
        if self._since is None:
            return
        (since_ns, since), self._since = self._since, None
        lasted = origin_time - since_ns
        if lasted > self._tolerated_ns:
            detail = f"crossed for {lasted / NS_PER_SECOND:.3f} s"
            self.breaks.append(
                GapCandidate("crossed", since, sequence_number, since_ns, origin_time, None, detail)
            )
