"""The arrays that a replay carries from call to call beside the ladder, with the names of their columns.

A compiled loop keeps nothing between two calls, so all that it has to remember stands in these arrays. They belong to
one `replay.book.Book`, which allocates them, hands them to the loops and writes them into checkpoints.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from order_book_platform.kernels.book.ladder_arrays import NO_KEY
from order_book_platform.model.arrays import MISSING_PIPS

DONE, ROWS_FULL, LEVELS_FULL = 0, 1, 2
"""Statuses of a replay loop: the input is used up; the row buffer is full and has to be taken; overflow blocks may run
out and have to be added. After the last two the loop is called again and goes on where it stopped."""

CADENCE_CHANGE, CADENCE_MESSAGE, CADENCE_GRID = 0, 1, 2
"""When a row is written: after a message that changed the visible book, after every message, at fixed times."""

NO_TIME = -(2**62)
"""Stands for a time or a sequence number that there is none of yet."""

ROW_ORIGIN, ROW_RECEIVED, ROW_SEQUENCE, ROW_FLAGS, ROW_KNOWN_BIDS, ROW_KNOWN_ASKS, ROW_HEAD = range(7)
"""Columns of a row before its levels, and their number."""

PARAM_STEP, PARAM_CADENCE, PARAM_GRID_NS, PARAM_CROSSED_NS, PARAM_WARM_UP_NS, PARAM_SILENCE_NS = range(6)
PARAMS = 6
"""Columns of `Memory.params`: pips of a key's step; a cadence; ns between rows of the grid; ns after which a crossed
book is cleared; ns after which a book without a snapshot counts as seeded; ns without a message after which a row of
the grid carries GAP."""

(
    STATE_LAST_ORIGIN,  # origin time of the last message applied, ns
    STATE_LAST_RECEIVED,  # its time of arrival, ns
    STATE_LAST_SEQUENCE,  # its sequence number
    STATE_NEXT_GRID,  # time of the next row of the grid, ns; NO_TIME before the first
    STATE_ROW_DUE,  # 1: flags or known levels may have changed, so a row has to be compared even if no level moved
    STATE_REPAIRED_DUE,  # 1: the next row is written in any case and carries REPAIRED
    STATE_SEEDED,  # 1: a snapshot or a closing state stands under the book
    STATE_FLAG_BITS,  # flag bits in force from the schedule's edges, PROVEN_LOSS among them
    STATE_NEXT_SNAPSHOT,  # index in the schedule of the next snapshot to merge
    STATE_NEXT_EDGE,  # index in the schedule of the next edge of flag bits
    STATE_MESSAGES,  # messages applied, which is also the number of the last one
    STATE_CROSSED_SINCE,  # origin time of the message that crossed the book, ns; NO_TIME: not crossed
    STATE_FORCE_REPAIR,  # 1: the next snapshot repairs, whether it agrees or not
    STATE_FIRST_ORIGIN,  # origin time of the first message before any seed, ns, from which the warm-up counts
    STATE_WARMED_UP,  # 1: there is no snapshot, but the warm-up is over
) = range(15)
STATES = 15
"""Columns of `Memory.state`, all int64. Their order is part of the format of checkpoints."""

COUNT_DELTAS, COUNT_NO_EFFECT, COUNT_CROSSED_MESSAGES, COUNT_CROSSED_EPISODES, COUNT_EVICTED = range(5)
COUNTS = 5
"""Columns of `Memory.counts`: deltas applied; those that changed no level; messages after which the book was crossed,
and runs of such messages; levels removed because they held the book crossed."""

USE_NONE, USE_SEEDED, USE_EXTENDED, USE_REPAIRED = 0, 1, 2, 3
OUTCOME_USE, OUTCOME_COMPARED, OUTCOME_WRONG, OUTCOME_CHANGED = range(4)
"""Columns of `ReplaySchedule.outcome`: a USE_… value; levels that book and snapshot both claimed to know; those of them
on which they differed; levels that the merge changed."""


class Memory(NamedTuple):
    """The memory of a replay between batches, beside the ladder.

    Attributes:
        params: int64[PARAMS], fixed for the life of the book.
        state: int64[STATES], changed by the loops.
        counts: int64[COUNTS], added to.
        visible_row: int64[ROW_HEAD + 4·depth]: the visible book as it was when last compared, in the layout of a row.
            The first three columns are not kept.
        visible_keys: int64[2, depth]: keys of its levels, NO_KEY where there are fewer.
        comparison: int64[2], workspace of the snapshot comparison.
    """

    params: NDArray[np.int64]
    state: NDArray[np.int64]
    counts: NDArray[np.int64]
    visible_row: NDArray[np.int64]
    visible_keys: NDArray[np.int64]
    comparison: NDArray[np.int64]

    @classmethod
    def before_first_message(cls, params: list[int], depth: int) -> Memory:
        """Return the memory of a book that has seen no message.

        Args:
            params: Values of the PARAM_ columns, in their order.
            depth: Visible levels a side.
        """
        memory = cls(
            np.array(params, np.int64),
            np.zeros(STATES, np.int64),
            np.zeros(COUNTS, np.int64),
            np.zeros(ROW_HEAD + 4 * depth, np.int64),
            np.full((2, depth), NO_KEY, np.int64),
            np.zeros(2, np.int64),
        )
        unset = [STATE_LAST_SEQUENCE, STATE_NEXT_GRID, STATE_CROSSED_SINCE, STATE_FIRST_ORIGIN]
        memory.state[unset] = NO_TIME
        memory.state[STATE_ROW_DUE] = 1  # the first message gives a row, whatever it says
        memory.visible_row[ROW_HEAD::2] = MISSING_PIPS  # an empty visible book: no price, size 0
        memory.visible_row[ROW_FLAGS] = -1  # no flags: the first row always differs
        return memory


class ReplaySchedule(NamedTuple):
    """Snapshots and flag bits for a replay, chosen before the deltas are replayed, and the outcome of each snapshot.

    Attributes:
        sequence: int64[m], ascending: sequence numbers of the snapshots to merge. A snapshot shows the book after the
            message of its number, or after the last message below it.
        origin: int64[m], origin times of the snapshots, ns.
        received: int64[m], their times of arrival, ns.
        ticks: int64[m, 2, K], their prices in steps, best first; NO_TICK where there is no level.
        sizes: int64[m, 2, K], encoded; 0 at the last level of a side where it is gone and only marks how far the side
            is known.
        forced: bool[m]: the snapshot repairs, whether the book agrees with it or not.
        outcome: int64[m, 4], written by the loop, see OUTCOME_USE and the columns after it.
        edge_sequence: int64[e], ascending: from the first message of at least this number on …
        edge_flag_bits: int64[e]: … these bits hold: `BookFlag`, and `model.flags.PROVEN_LOSS` above them.
    """

    sequence: NDArray[np.int64]
    origin: NDArray[np.int64]
    received: NDArray[np.int64]
    ticks: NDArray[np.int64]
    sizes: NDArray[np.int64]
    forced: NDArray[np.bool_]
    outcome: NDArray[np.int64]
    edge_sequence: NDArray[np.int64]
    edge_flag_bits: NDArray[np.int64]


_I8 = types.int64[::1]
_I8_2 = types.int64[:, ::1]
_I8_3 = types.int64[:, :, ::1]
MEMORY = types.NamedTuple((_I8, _I8, _I8, _I8, _I8_2, _I8), Memory)
"""numba's type of a `Memory`."""
SCHEDULE = types.NamedTuple(
    (_I8, _I8, _I8, _I8_3, _I8_3, types.boolean[::1], _I8_2, _I8, _I8), ReplaySchedule
)
"""numba's type of a `ReplaySchedule`."""
