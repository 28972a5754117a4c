"""Which snapshots may shape a book, and which stay evidence of how exact it is.

A reconstruction that looked at a snapshot and then decided whether it counts as evidence would hide exactly the rows on
which the book is wrong. So the split depends on positions and quality alone and is fixed before the replay: the first
sound snapshot seeds, every n-th after it may extend or repair, all others are held out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.kernels.ingest.snapshot_defects import find_defects
from order_book_platform.model.arrays import UInt8Array
from order_book_platform.model.snapshot_defect import SnapshotDefect


def snapshot_defects(snapshots: SnapshotBatch, tick_pips: int) -> UInt8Array:
    """Judge the quality of each snapshot.

    Args:
        snapshots: n snapshots.
        tick_pips: Tick of the deltas, encoded like the prices.

    Returns:
        uint8[n], `SnapshotDefect`.
    """
    defects = np.empty(len(snapshots), np.uint8)
    find_defects(
        np.ascontiguousarray(snapshots.encoded_price),
        np.ascontiguousarray(snapshots.encoded_size),
        tick_pips,
        defects,
    )
    return defects


def defect_counts(defects: UInt8Array) -> dict[str, int]:
    """Return how many snapshots have each defect, by name, without the sound ones."""
    return {
        defect.name.lower(): int((defects == defect).sum())
        for defect in SnapshotDefect
        if defect is not SnapshotDefect.NONE and (defects == defect).any()
    }


@dataclass(slots=True)
class EveryNthSnapshot:
    """Selects the first sound snapshot and every n-th after it, batch by batch.

    Attributes:
        extend_every: n; 0 selects the first sound one alone.
        seen: Number of snapshots so far.
        first_sound: Place of the first sound one; -1 before it.
    """

    extend_every: int
    seen: int = 0
    first_sound: int = -1

    def rows(self, defects: UInt8Array) -> NDArray[np.intp]:
        """Return the positions of the candidates among the next snapshots.

        Args:
            defects: uint8[n], `SnapshotDefect` of the snapshots that follow those seen.

        Returns:
            Ascending positions, sound or not: an unsound candidate is rejected, never replaced by its neighbour.
        """
        start = self.seen
        self.seen += len(defects)
        if self.first_sound < 0:
            sound = np.flatnonzero(defects == SnapshotDefect.NONE)
            if not len(sound):
                return sound
            self.first_sound = start + int(sound[0])
        first = self.first_sound
        if self.extend_every == 0:
            return np.arange(first, first + 1, dtype=np.intp)[first < start :] - start
        passed = max(start - first, 0)
        nearest = first + -(-passed // self.extend_every) * self.extend_every
        return np.arange(nearest, self.seen, self.extend_every, dtype=np.intp) - start


@dataclass(slots=True)
class AllButEveryNth:
    """Selects the snapshots of a book that is made of nothing else: all but every n-th, batch by batch.

    The first one is selected: nothing comes before it that it could be compared with.

    Attributes:
        every: n; 0 holds out none.
        seen: Number of snapshots so far.
        first_sound: Always -1; nothing depends on it here.
    """

    every: int
    seen: int = 0
    first_sound: int = -1

    def rows(self, defects: UInt8Array) -> NDArray[np.intp]:
        """Return the positions of those that are not held out among the next snapshots, sound or not."""
        place = np.arange(self.seen + 1, self.seen + 1 + len(defects))
        self.seen += len(defects)
        return np.flatnonzero(place % self.every != 0) if self.every else place - place[:1]
