"""The arrays of a ladder, as one thing to hand from loop to loop, and the numbers that name their columns."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

NO_KEY = 2**62
"""Best key of an empty side, and any other key that there is none of."""
LARGEST_TICK = 2**61
"""No price is higher, so that no window reaches NO_KEY. At 8 decimals and a tick of one pip: 2.3·10^10."""
NOTHING_KNOWN = -(2**62)
"""Bound of a side of which no price range is known."""

WINDOW_SLOTS = 524_288
"""Default W. Only what is touched takes memory and cache: the levels around the best price, not the window. With a tick
of 0.01 at 60,000 it holds a range of 9 %: of the recorded deltas 1 to 3 % lie outside."""

BLOCK_LEVELS = 64
"""B: far levels in a block. Of 32, 64, 128 and 256 the one with which a far level costs least: 200 ns with some
thousand of them, the others 220 to 250."""


class Ladder(NamedTuple):
    """Both sides of a book; side 0 is the bids, side 1 the asks. See `ladder` and `far` for what holds between them.

    Attributes:
        cells: int64[4·W]: of each slot the size in pips, 0 where there is no level, and the message that last named it;
            side by side, so that a level is one line of the cache, and flat: its place is a shift, not a product.
        words: uint64[2·W/64]: bit set where a slot is occupied.
        summary: uint64[2·W/4096]: bit set where a word is not 0 (and sometimes where it is).
        far_keys, far_sizes, far_seen: int64[2, P, B].
        far_fill: int64[2, P].
        far_order: int64[2, P].
        blocks: int64[2], far blocks in use.
        base: int64[2], lowest key of the window.
        best: int64[2], lowest live key, or NO_KEY.
        low: int64[2], lowest key changed since the last row, or NO_KEY.
        bound: int64[2], known up to this key, or NOTHING_KNOWN.
    """

    cells: NDArray[np.int64]
    words: NDArray[np.uint64]
    summary: NDArray[np.uint64]
    far_keys: NDArray[np.int64]
    far_sizes: NDArray[np.int64]
    far_seen: NDArray[np.int64]
    far_fill: NDArray[np.int64]
    far_order: NDArray[np.int64]
    blocks: NDArray[np.int64]
    base: NDArray[np.int64]
    best: NDArray[np.int64]
    low: NDArray[np.int64]
    bound: NDArray[np.int64]

    @classmethod
    def empty(cls, slots: int, blocks: int) -> Ladder:
        """A ladder without levels.

        Args:
            slots: W, a power of two ≥ 4096.
            blocks: P.
        """
        # Zeroed pages come from the operating system when they are first touched, and not before.
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
        """The same levels with room for more far ones; the dense arrays are shared."""
        grown = Ladder.empty(4096, blocks)
        old = self.far_fill.shape[1]
        grown.far_order[:, :old] = self.far_order
        for s in range(2):
            used = self.far_order[s, : self.blocks[s]]
            for name in ("far_keys", "far_sizes", "far_seen", "far_fill"):
                getattr(grown, name)[s, used] = getattr(self, name)[s, used]
        shared = ("cells", "words", "summary", "blocks", "base", "best", "low", "bound")
        return grown._replace(**{name: getattr(self, name) for name in shared})

    def occupied(self, s: int) -> int:
        """How many levels side s has."""
        words = self.words[s * len(self.words) // 2 : (s + 1) * len(self.words) // 2]
        return int(
            np.bitwise_count(words).sum() + self.far_fill[s, self.far_order[s, : self.blocks[s]]].sum()
        )

    def fill(self, s: int, levels: LiveLevels) -> None:
        """Put levels on side s, which is empty and has far blocks enough for those outside the window."""
        if not len(levels.keys):
            return
        slots = len(self.cells) // 4
        keys, base = levels.keys, (int(levels.keys[0]) - slots // 4) & -64
        self.base[s], self.best[s] = base, keys[0]
        near = int(np.searchsorted(keys, base + slots))
        at = s * slots + (keys[:near] & (slots - 1))
        self.cells.reshape(-1, 2)[at] = np.stack([levels.sizes[:near], levels.seen[:near]], 1)
        bits = np.uint64(1) << (at & 63).astype(np.uint64)
        np.bitwise_or.at(self.words, at >> 6, bits)
        np.bitwise_or.at(self.summary, at >> 12, np.uint64(1) << (at >> 6 & 63).astype(np.uint64))
        far = np.arange(len(keys) - near)
        block, place = far // BLOCK_LEVELS, far % BLOCK_LEVELS
        for kept, values in (
            (self.far_keys, keys),
            (self.far_sizes, levels.sizes),
            (self.far_seen, levels.seen),
        ):
            kept[s, block, place] = values[near:]
        self.blocks[s] = -(-len(far) // BLOCK_LEVELS)
        self.far_fill[s, : self.blocks[s]] = np.bincount(block, minlength=int(self.blocks[s]))


class LiveLevels(NamedTuple):
    """Levels of one side, by ascending key.

    Attributes:
        keys: int64[n].
        sizes: int64[n], pips.
        seen: int64[n]: the message that last named each.
    """

    keys: NDArray[np.int64]
    sizes: NDArray[np.int64]
    seen: NDArray[np.int64]


class Memory(NamedTuple):
    """What a replay remembers between batches, besides the book itself; `replay` names the columns.

    Attributes:
        params: int64[PARAMS], fixed.
        state: int64[STATES].
        counts: int64[COUNTS].
        last: int64[ROW_HEAD + 4·depth]: the visible book as last looked at.
        top: int64[2, depth]: keys of its levels, NO_KEY where there are fewer.
        scratch: int64[2].
    """

    params: NDArray[np.int64]
    state: NDArray[np.int64]
    counts: NDArray[np.int64]
    last: NDArray[np.int64]
    top: NDArray[np.int64]
    scratch: NDArray[np.int64]


class ReplaySchedule(NamedTuple):
    """What shall happen to the book besides the deltas, and what came of it.

    Attributes:
        sequence: int64[m], ascending: snapshots to take over, each right after the last message ≤ it.
        origin, received: int64[m]: their origin and arrival times, ns.
        ticks: int64[m, 2, K], best first; NO_TICK where there is no level.
        sizes: int64[m, 2, K], pips.
        forced: bool[m]: repair without asking whether it agrees.
        outcome: int64[m, 4], written: use, levels compared, wrong, changed.
        edge_sequence: int64[e], ascending: from the first message ≥ it, `edge_doubt` holds.
        edge_doubt: int64[e]: flag bits (and `model.doubt.PROVEN_LOSS`).
    """

    sequence: NDArray[np.int64]
    origin: NDArray[np.int64]
    received: NDArray[np.int64]
    ticks: NDArray[np.int64]
    sizes: NDArray[np.int64]
    forced: NDArray[np.bool_]
    outcome: NDArray[np.int64]
    edge_sequence: NDArray[np.int64]
    edge_doubt: NDArray[np.int64]


NO_TICK = -1

_I8 = types.int64[::1]
_U8 = types.uint64[::1]
_I8_2 = types.int64[:, ::1]
_I8_3 = types.int64[:, :, ::1]
LADDER = types.NamedTuple((_I8, _U8, _U8, _I8_3, _I8_3, _I8_3, _I8_2, _I8_2, _I8, _I8, _I8, _I8, _I8), Ladder)
"""numba's type of a `Ladder`."""
MEMORY = types.NamedTuple((_I8, _I8, _I8, _I8, _I8_2, _I8), Memory)
"""numba's type of a `Memory`."""
STEPS = types.NamedTuple((_I8, _I8, _I8, _I8_3, _I8_3, types.boolean[::1], _I8_2, _I8, _I8), ReplaySchedule)
"""numba's type of `ReplaySchedule`."""
