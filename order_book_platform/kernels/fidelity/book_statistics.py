"""What the rows of a book say of themselves, added up row by row."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model import BookFlag
from order_book_platform.model.levels import MISSING_PIPS

ROWS, SEEDED, FIRST_SEED, FIRST_TIME, LAST_TIME, FLAGGED, OUT_OF_ORDER, SEEDED_ROWS = range(8)
CROSSED_NS, LOCKED_NS, SPAN_NS, LOWEST, HIGHEST, MISTIMED = range(8, 14)
LATEST, TIMED, HELD_TIME, HELD_BID, HELD_ASK = range(14, 19)
"""Places of the state: counts, sums and limits as in `fidelity.metrics.BookFacts`, and the row before."""
STATE_SIZE = 19

_TIMES = types.Array(types.int64, 1, "A", readonly=True)
_FLAGS = types.Array(types.uint8, 1, "A", readonly=True)
_MISSING = MISSING_PIPS
_SEEDED_FLAG, _DOUBT_FLAGS = int(BookFlag.SEEDED), int(BookFlag.GAP | BookFlag.HINDSIGHT)


@kernel(
    types.void(
        *(_TIMES, _TIMES, _FLAGS, types.Array(types.int64, 2, "A", readonly=True)),
        *(types.int64, types.int64, types.int64[::1]),
    )
)
def add_facts(sequence, time, flags, best, earliest_ns, latest_ns, state):  # type: ignore[no-untyped-def]
    """Take in the next rows; those before the first seeded one are counted, and not judged.

    Args:
        sequence: int64[n].
        time: int64[n], ns.
        flags: uint8[n], `BookFlag`.
        best: int64[n, 2] pips, best bid and ask; `MISSING_PIPS` where there is none.
        earliest_ns: first time that can be, ns; a row of another time is counted, and has the time of the one before.
        latest_ns: last time that can be, ns.
        state: int64[STATE_SIZE], all 0 at first.
    """
    for r in range(sequence.shape[0]):
        if state[ROWS] == 0:
            state[LATEST] = sequence[r]
            state[LOWEST] = state[HIGHEST] = _MISSING
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
        if flags[r] & _DOUBT_FLAGS:
            state[FLAGGED] += 1
        bid, ask = best[r, 0], best[r, 1]
        if state[SEEDED] == 1:
            held = max(time[r] - state[HELD_TIME], 0) if timed and state[TIMED] else 0
            state[SPAN_NS] += held
            if state[HELD_BID] != _MISSING and state[HELD_ASK] != _MISSING:
                if state[HELD_BID] > state[HELD_ASK]:
                    state[CROSSED_NS] += held
                elif state[HELD_BID] == state[HELD_ASK]:
                    state[LOCKED_NS] += held
        elif flags[r] & _SEEDED_FLAG:
            state[SEEDED], state[FIRST_SEED] = 1, sequence[r]
        else:
            continue
        state[SEEDED_ROWS] += 1
        if bid != _MISSING and (state[LOWEST] == _MISSING or bid < state[LOWEST]):
            state[LOWEST] = bid
        if ask != _MISSING and (state[HIGHEST] == _MISSING or ask > state[HIGHEST]):
            state[HIGHEST] = ask
        if timed:
            state[HELD_TIME] = max(time[r], state[HELD_TIME]) if state[TIMED] else time[r]
            state[TIMED] = 1
        state[HELD_BID], state[HELD_ASK] = bid, ask
