"""Statistics of a book from its own rows alone: how many are flagged, how long it was crossed, which range it spans."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model import BookFlag
from order_book_platform.model.arrays import MISSING_PIPS

(
    ROWS,  # rows taken in
    SEEDED,  # 1 once a seeded row has come
    FIRST_SEED,  # sequence number of the first seeded row
    FIRST_TIME,  # earliest and latest plausible time, ns
    LAST_TIME,
    FLAGGED,  # rows with GAP or HINDSIGHT
    OUT_OF_ORDER,  # rows whose sequence number is below an earlier one
    SEEDED_ROWS,  # rows from the first seeded one on
    CROSSED_NS,  # time for which the best bid was above the best ask, and equal to it
    LOCKED_NS,
    SPAN_NS,  # time from the first seeded row to the last row
    LOWEST,  # lowest best bid and highest best ask of the seeded rows, pips
    HIGHEST,
    MISTIMED,  # rows whose time cannot be
    LATEST,  # highest sequence number
    TIMED,  # 1 once a seeded row with a plausible time has come
    HELD_TIME,  # time from which the row before holds, ns
    HELD_BID,  # best bid and ask of the row before, pips
    HELD_ASK,
) = range(19)
"""Columns of the state: counts, sums and limits of all rows, and the row before the next one."""
STATE_SIZE = 19

_TIMES = types.Array(types.int64, 1, "A", readonly=True)
_FLAGS = types.Array(types.uint8, 1, "A", readonly=True)
_SEEDED_FLAG, _DOUBTFUL_FLAGS = int(BookFlag.SEEDED), int(BookFlag.GAP | BookFlag.HINDSIGHT)


@kernel(
    types.void(
        *(_TIMES, _TIMES, _FLAGS, types.Array(types.int64, 2, "A", readonly=True)),
        *(types.int64, types.int64, types.int64[::1]),
    )
)
def add_book_rows(sequence, time, flags, best, earliest_ns, latest_ns, state):  # type: ignore[no-untyped-def]
    """Take the next rows of a book into its statistics.

    Rows before the first seeded one are counted, and no prices or durations are taken from them.

    Args:
        sequence: int64[n].
        time: int64[n], ns.
        flags: uint8[n], `BookFlag`.
        best: int64[n, 2] pips, best bid and ask; `MISSING_PIPS` where there is none.
        earliest_ns, latest_ns: earliest and latest plausible time, ns. A row of another time is counted as mistimed,
            and counts as of the time of the row before it.
        state: int64[STATE_SIZE], the caller's, all 0 at first; changed.
    """
    for r in range(sequence.shape[0]):
        if state[ROWS] == 0:
            state[LATEST] = sequence[r]
            state[LOWEST] = state[HIGHEST] = MISSING_PIPS
        timed = earliest_ns <= time[r] <= latest_ns
        if not timed:
            state[MISTIMED] += 1
        elif state[ROWS] == state[MISTIMED]:
            state[FIRST_TIME] = state[LAST_TIME] = time[r]
        else:
            state[LAST_TIME] = max(state[LAST_TIME], time[r])
        state[ROWS] += 1
        if sequence[r] < state[LATEST]:
            state[OUT_OF_ORDER] += 1
        state[LATEST] = max(state[LATEST], sequence[r])
        if flags[r] & _DOUBTFUL_FLAGS:
            state[FLAGGED] += 1
        bid, ask = best[r, 0], best[r, 1]
        if state[SEEDED] == 1:
            # The prices of the row before have held until now; time that runs backwards holds nothing.
            held = max(time[r] - state[HELD_TIME], 0) if timed and state[TIMED] else 0
            state[SPAN_NS] += held
            if state[HELD_BID] != MISSING_PIPS and state[HELD_ASK] != MISSING_PIPS:
                if state[HELD_BID] > state[HELD_ASK]:
                    state[CROSSED_NS] += held
                elif state[HELD_BID] == state[HELD_ASK]:
                    state[LOCKED_NS] += held
        elif flags[r] & _SEEDED_FLAG:
            state[SEEDED], state[FIRST_SEED] = 1, sequence[r]
        else:
            continue
        state[SEEDED_ROWS] += 1
        if bid != MISSING_PIPS and (state[LOWEST] == MISSING_PIPS or bid < state[LOWEST]):
            state[LOWEST] = bid
        if ask != MISSING_PIPS and (state[HIGHEST] == MISSING_PIPS or ask > state[HIGHEST]):
            state[HIGHEST] = ask
        if timed:
            state[HELD_TIME] = max(time[r], state[HELD_TIME]) if state[TIMED] else time[r]
            state[TIMED] = 1
        state[HELD_BID], state[HELD_ASK] = bid, ask
