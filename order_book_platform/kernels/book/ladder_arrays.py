"""The arrays of a ladder, handed from loop to loop as one named tuple, and the constants that bound its keys."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

NO_KEY = 2**62
"""Stands for a key that does not exist: the best key of an empty side, or the end of a search. Above every key."""
LARGEST_TICK = 2**61
"""Largest tick that a price may have, so that no window reaches NO_KEY. At 8 decimals and a tick of one pip:
2.3·10^10."""
NOTHING_KNOWN = -(2**62)
"""Known bound of a side of which no price range is known. Below every key, so no level is within it."""
NO_TICK = -1
"""Tick of a missing level in the arrays of a snapshot."""

WINDOW_SLOTS = 524_288
"""Default W, slots of a side's window.

Only what is touched takes memory and cache: the levels around the best price, not the whole window. With a tick of 0.01
at a price of 60,000 the window holds a range of 9 %; 1 to 3 % of the recorded deltas lie outside it."""

BLOCK_LEVELS = 64
"""B, levels of one overflow block.

Measured with blocks of 32, 64, 128 and 256: setting an overflow level among some thousand of them costs 200 ns with 64,
and 220 to 250 ns with the others."""


class Ladder(NamedTuple):
    """Both sides of a book; side 0 is the bids, side 1 the asks.

    The arrays belong to one `replay.book.Book`, and the loops change them in place. A named tuple rather than an
    object, because numba passes its arrays on without a lookup. `ladder` states the invariants between the arrays.

    Attributes:
        cells: int64[4·W]: of each slot its size in pips, 0 where there is no level, and the number of the message that
            last set it. The two lie side by side, so that a level is one cache line; the array is flat, so that the
            index of a slot is a shift and not a multiplication.
        words: uint64[2·W/64]: one bit a slot, set where the slot holds a level.
        summary: uint64[2·W/4096]: one bit a word, set where the word is not 0, and sometimes where it is.
        overflow_keys: int64[2, P, B], keys of the levels in each block, ascending.
        overflow_sizes: int64[2, P, B], their encoded sizes.
        overflow_seen: int64[2, P, B], the number of the message that last set each of them.
        overflow_fill: int64[2, P], levels in each block.
        overflow_order: int64[2, P], a permutation of the blocks: those in use first, by ascending key.
        overflow_blocks: int64[2], blocks in use.
        base: int64[2], lowest key of the window, a multiple of 64.
        best: int64[2], lowest live key, or NO_KEY; valid after `ladder.settle`.
        changed_from: int64[2], a key at or below every key changed since the last row, NO_KEY where none has changed.
        known_until: int64[2], the highest key up to which every level is known, or NOTHING_KNOWN.
    """

    cells: NDArray[np.int64]
    words: NDArray[np.uint64]
    summary: NDArray[np.uint64]
    overflow_keys: NDArray[np.int64]
    overflow_sizes: NDArray[np.int64]
    overflow_seen: NDArray[np.int64]
    overflow_fill: NDArray[np.int64]
    overflow_order: NDArray[np.int64]
    overflow_blocks: NDArray[np.int64]
    base: NDArray[np.int64]
    best: NDArray[np.int64]
    changed_from: NDArray[np.int64]
    known_until: NDArray[np.int64]

    @classmethod
    def empty(cls, slots: int, blocks: int) -> Ladder:
        """Make a ladder without levels.

        Args:
            slots: W, a power of two of at least 4096, so that a side's slots fill whole words of the summary.
            blocks: P, overflow blocks of each side.
        """
        # The operating system hands out zeroed pages when they are first touched: an untouched window costs nothing.
        return cls(
            np.zeros(4 * slots, np.int64),
            np.zeros(2 * slots // 64, np.uint64),
            np.zeros(2 * slots // 4096, np.uint64),
            np.empty((2, blocks, BLOCK_LEVELS), np.int64),
            np.empty((2, blocks, BLOCK_LEVELS), np.int64),
            np.empty((2, blocks, BLOCK_LEVELS), np.int64),
            np.zeros((2, blocks), np.int64),
            np.tile(np.arange(blocks), (2, 1)),
            np.zeros(2, np.int64),
            np.zeros(2, np.int64),
            np.full(2, NO_KEY),
            np.full(2, NO_KEY),
            np.full(2, NOTHING_KNOWN),
        )

    def with_blocks(self, blocks: int) -> Ladder:
        """Give the same levels with more overflow blocks; the arrays of the window are shared, not copied.

        Args:
            blocks: P of the new ladder, not below the present one.
        """
        grown = Ladder.empty(4096, blocks)
        old = self.overflow_fill.shape[1]
        grown.overflow_order[:, :old] = self.overflow_order
        for s in range(2):
            used = self.overflow_order[s, : self.overflow_blocks[s]]
            for name in ("overflow_keys", "overflow_sizes", "overflow_seen", "overflow_fill"):
                getattr(grown, name)[s, used] = getattr(self, name)[s, used]
        shared = (
            "cells",
            "words",
            "summary",
            "overflow_blocks",
            "base",
            "best",
            "changed_from",
            "known_until",
        )
        return grown._replace(**{name: getattr(self, name) for name in shared})

    def occupied(self, s: int) -> int:
        """Count the live levels of side s."""
        words = self.words[s * len(self.words) // 2 : (s + 1) * len(self.words) // 2]
        used = self.overflow_order[s, : self.overflow_blocks[s]]
        return int(np.bitwise_count(words).sum() + self.overflow_fill[s, used].sum())


class LiveLevels(NamedTuple):
    """All levels of one side, by ascending key, which is best first.

    Attributes:
        keys: int64[n], the tick of an ask, minus the tick of a bid.
        sizes: int64[n], encoded, above 0.
        seen: int64[n], the number of the message that last set each level, by which a crossed book is cleared.
    """

    keys: NDArray[np.int64]
    sizes: NDArray[np.int64]
    seen: NDArray[np.int64]


_I8 = types.int64[::1]
_U8 = types.uint64[::1]
_I8_2 = types.int64[:, ::1]
_I8_3 = types.int64[:, :, ::1]
LADDER = types.NamedTuple((_I8, _U8, _U8, _I8_3, _I8_3, _I8_3, _I8_2, _I8_2, _I8, _I8, _I8, _I8, _I8), Ladder)
"""numba's type of a `Ladder`."""
