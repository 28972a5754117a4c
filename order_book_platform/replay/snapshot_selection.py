"""Which snapshots may shape a book, and which stay evidence. Decided from positions and quality alone, up front.

The reconstruction must not look at a snapshot and then decide whether it counts as evidence: that would hide exactly
the rows on which the book is wrong. So the split is fixed before the replay: the first good snapshot seeds, every
n-th after it may extend or repair, all others are held out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.ingest.snapshot_defects import find_defects
from order_book_platform.model.snapshot_defect import SnapshotDefect


def snapshot_defects(snapshots: SnapshotBatch, tick_pips: int) -> NDArray[np.uint8]:
    """Quality of each snapshot.

    Args:
        snapshots: n of them.
        tick_pips: of the deltas.

    Returns:
        `SnapshotDefect` as uint8[n].
    """
    defects = np.empty(len(snapshots), np.uint8)
    find_defects(
        np.ascontiguousarray(snapshots.encoded_price),
        np.ascontiguousarray(snapshots.encoded_size),
        tick_pips,
        defects,
    )
    return defects


def defect_counts(defects: NDArray[np.uint8]) -> dict[str, int]:
    """How many snapshots have each defect, by name, the sound ones left out."""
    return {
        defect.name.lower(): int((defects == defect).sum())
        for defect in SnapshotDefect
        if defect is not SnapshotDefect.NONE and (defects == defect).any()
    }


@dataclass(slots=True)
class EveryNthSnapshot:
    """Which snapshots may shape the book: the first sound one and every n-th after it, piece by piece.

    Attributes:
        extend_every: n; 0 for the first sound one alone.
        seen: snapshots so far.
        first: place of the first sound one; -1 before it.
    """

    extend_every: int
    seen: int = 0
    first: int = -1

    def rows(self, defects: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Positions of the candidates among the next snapshots.

        Args:
            defects: uint8[n], of the snapshots that follow those seen.

        Returns:
            Ascending positions, sound or not: an unsound candidate is rejected, never replaced by its neighbour.
        """
        start = self.seen
        self.seen += len(defects)
        if self.first < 0:
            sound = np.flatnonzero(defects == SnapshotDefect.NONE)
            if not len(sound):
                return sound
            self.first = start + int(sound[0])
        if self.extend_every == 0:
            return np.arange(self.first, self.first + 1, dtype=np.intp)[self.first < start :] - start
        begun = max(start - self.first, 0)
        nearest = self.first + -(-begun // self.extend_every) * self.extend_every
        return np.arange(nearest, self.seen, self.extend_every, dtype=np.intp) - start


@dataclass(slots=True)
class AllButEveryNth:
    """Which snapshots shape a book that is made of nothing else: all but every n-th, piece by piece.

    From the first one on, which has nothing before it that it could be held against.

    Attributes:
        every: n; 0 holds out none.
        seen: snapshots so far.
        first: not used; every choice has it.
    """

    every: int
    seen: int = 0
    first: int = -1

    def rows(self, defects: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Positions of those that are not held out among the next snapshots, sound or not."""
        place = np.arange(self.seen + 1, self.seen + 1 + len(defects))
        self.seen += len(defects)
        return np.flatnonzero(place % self.every != 0) if self.every else place - place[:1]


def candidate_rows(defects: NDArray[np.uint8], extend_every: int) -> NDArray[np.intp]:
    """Positions of the candidates among all snapshots of a day; see `EveryNthSnapshot`."""
    return EveryNthSnapshot(extend_every).rows(defects)
