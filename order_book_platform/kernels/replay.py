"""The replay loop: messages in, rows of the visible book out, snapshots taken over on the way.

One pass over the deltas. After each message the loop knows whether anything visible was touched; if not, it goes on at
once. Rows are written side by side as int64[ROW_HEAD + 4·K]: origin_time, received_time, sequence_number, flags,
known_bid_levels, known_ask_levels, then price and size of each bid and each ask level, best first, as pips;
(`MISSING_PIPS`, 0) where there is no level. That is also the form `replay_hash` is taken over.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from order_book_platform.kernels.ladder import (
    BASE,
    BEST,
    BEST_LEFT,
    BOUND,
    CHANGED,
    COUNT,
    FAR,
    NO_KEY,
    NO_ROOM,
    find_next_best,
    next_slot,
    set_level,
    set_near,
    size_at,
)
from order_book_platform.kernels.snapshot import compare_snapshot, take_snapshot
from order_book_platform.model.doubt import PROVEN_LOSS
from order_book_platform.model.flags import BookFlag
from order_book_platform.model.schemas import MISSING_PIPS

ROW_HEAD = 6

DONE, ROWS_FULL, LEVELS_FULL, OFF_TICK = 0, 1, 2, 3
"""Why the loop came back: input used up; drain the rows; grow the far arrays; a price is not on the tick grid."""

CADENCE_CHANGE, CADENCE_MESSAGE, CADENCE_GRID = 0, 1, 2

PARAM_STEP, PARAM_DEPTH, PARAM_CADENCE, PARAM_GRID_NS = range(4)
PARAMS = 4

(
    STATE_LAST_ORIGIN,
    STATE_LAST_RECEIVED,
    STATE_LAST_SEQUENCE,
    STATE_NEXT_GRID,
    STATE_DIRTY_BID,
    STATE_DIRTY_ASK,
    STATE_EVALUATE,
    STATE_REPAIR_PENDING,
    STATE_SEEDED,
    STATE_DOUBT,
    STATE_CANDIDATE,
    STATE_EDGE,
    STATE_MESSAGES,
    STATE_CROSSED,
) = range(14)
STATES = 14
"""What the loop remembers between calls; int64 each. STATE_CANDIDATE and STATE_EDGE are positions in the plan."""

NO_TIME = -(2**62)

USE_NONE, USE_SEEDED, USE_EXTENDED, USE_REPAIRED = 0, 1, 2, 3
OUTCOME_USE, OUTCOME_COMPARED, OUTCOME_WRONG, OUTCOME_CHANGED = range(4)

COUNT_DELTAS, COUNT_NO_EFFECT, COUNT_CROSSED_MESSAGES, COUNT_CROSSED_EPISODES = range(4)
COUNTS = 4

_SEEDED = int(BookFlag.SEEDED)
_REPAIRED = int(BookFlag.REPAIRED)
_CROSSED = int(BookFlag.CROSSED)
_LOCKED = int(BookFlag.LOCKED)
_UNKNOWN = int(BookFlag.UNKNOWN_DEPTH)
_MISSING = MISSING_PIPS

_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_B1_IN = types.Array(types.boolean, 1, "C", readonly=True)
_I8 = types.int64[::1]
_I8_2 = types.int64[:, ::1]
_U8_2 = types.uint64[:, ::1]
_PLAN_LEVELS = types.Array(types.int64, 3, "C", readonly=True)
_LADDER = (_I8_2, _U8_2, _U8_2, _I8_2, _I8_2, _I8_2)
_CANDIDATES = (_PLAN_LEVELS, _PLAN_LEVELS, _B1_IN, _I8_2)


@njit(types.int64(*_LADDER, types.int64, types.int64, types.int64, _I8, types.int64), cache=True, nogil=True)
def write_side(sizes, words, summary, far_keys, far_sizes, side, s, step, depth, row, at):  # type: ignore[no-untyped-def]
    """Write the best `depth` levels of side s to row[at:], in pips.

    Returns:
        How many of the levels written are known: inside the range the book vouches for.
    """
    sign = -step if s == 0 else step
    base = side[s, BASE]
    bound = side[s, BOUND]
    key = side[s, BEST]
    known = 0
    n = 0
    if key != NO_KEY and key - base < sizes.shape[1]:
        slot = key - base
        while slot >= 0 and n < depth:
            row[at + 2 * n] = (base + slot) * sign
            row[at + 2 * n + 1] = sizes[s, slot]
            if base + slot <= bound:
                known += 1
            n += 1
            slot = next_slot(words, summary, s, slot + 1)
    far = 0
    while n < depth and far < side[s, FAR]:
        row[at + 2 * n] = far_keys[s, far] * sign
        row[at + 2 * n + 1] = far_sizes[s, far]
        if far_keys[s, far] <= bound:
            known += 1
        n += 1
        far += 1
    while n < depth:
        row[at + 2 * n] = _MISSING
        row[at + 2 * n + 1] = 0
        n += 1
    return known


@njit(
    types.boolean(*_LADDER, _I8, _I8, _I8, _I8_2, types.int64, _I8, types.boolean),
    cache=True,
    nogil=True,
)
def write_row(  # type: ignore[no-untyped-def]
    sizes, words, summary, far_keys, far_sizes, side, params, state, last, rows, n_rows, visible, always
):
    """Bring the last row up to date and append it if it changed (or `always`).

    Args:
        sizes … side: the ladder.
        params, state: of the replay.
        last: int64[ROW_HEAD + 4·depth]: the book as last written; updated.
        rows: int64[capacity, ROW_HEAD + 4·depth].
        n_rows: rows in use.
        visible: int64[2]: key of the last visible level of each side, NO_KEY where there are fewer than `depth`.
        always: append even if nothing changed.

    Returns:
        Whether a row was appended.
    """
    depth = params[PARAM_DEPTH]
    row = rows[n_rows]
    changed = False
    for s in range(2):
        at = ROW_HEAD + 2 * depth * s
        if state[STATE_DIRTY_BID + s] != 0:
            known = write_side(
                sizes, words, summary, far_keys, far_sizes, side, s, params[PARAM_STEP], depth, row, at
            )
            for i in range(at, at + 2 * depth):
                changed |= row[i] != last[i]
                last[i] = row[i]
            price = row[at + 2 * depth - 2]
            visible[s] = NO_KEY if price == _MISSING else price // params[PARAM_STEP] * (2 * s - 1)
            state[STATE_DIRTY_BID + s] = 0
        else:
            known = 0
            for i in range(depth):
                price = last[at + 2 * i]
                if price == _MISSING:
                    break
                if price // params[PARAM_STEP] * (2 * s - 1) > side[s, BOUND]:
                    break
                known += 1
            for i in range(at, at + 2 * depth):
                row[i] = last[i]
        row[4 + s] = 0 if state[STATE_DOUBT] & PROVEN_LOSS else known
    flags = state[STATE_DOUBT] & 0xFF
    if state[STATE_SEEDED] != 0:
        flags |= _SEEDED
    if row[4] < depth or row[5] < depth:
        flags |= _UNKNOWN
    if side[0, BEST] != NO_KEY and side[1, BEST] != NO_KEY:
        if -side[0, BEST] > side[1, BEST]:
            flags |= _CROSSED
        elif -side[0, BEST] == side[1, BEST]:
            flags |= _LOCKED
    state[STATE_EVALUATE] = 0
    changed |= row[4] != last[4] or row[5] != last[5] or flags != last[3] or state[STATE_REPAIR_PENDING] != 0
    last[3] = flags
    last[4] = row[4]
    last[5] = row[5]
    if not (changed or always):
        return False
    if state[STATE_REPAIR_PENDING] != 0:
        flags |= _REPAIRED
        state[STATE_REPAIR_PENDING] = 0
    row[0] = state[STATE_LAST_ORIGIN]
    row[1] = state[STATE_LAST_RECEIVED]
    row[2] = state[STATE_LAST_SEQUENCE]
    row[3] = flags
    return True


@njit(types.boolean(*_LADDER, _I8, _I8, *_CANDIDATES), cache=True, nogil=True)
def take_candidate(  # type: ignore[no-untyped-def]
    sizes, words, summary, far_keys, far_sizes, side, state, scratch, plan_ticks, plan_sizes, plan_forced, outcome
):  # fmt: skip
    """Seed, extend or repair the book from the next snapshot of the plan.

    Returns:
        False if the far arrays have no room for it; nothing was changed.
    """
    at = state[STATE_CANDIDATE]
    depth = plan_ticks.shape[2]
    for s in range(2):
        if side[s, COUNT] + side[s, FAR] + depth > far_keys.shape[1]:
            return False
    compare_snapshot(
        sizes, words, summary, far_keys, far_sizes, side, plan_ticks[at], plan_sizes[at], scratch
    )
    use = USE_EXTENDED
    if state[STATE_SEEDED] == 0:
        use = USE_SEEDED
    elif scratch[1] > 0 or plan_forced[at]:
        use = USE_REPAIRED
    best_bid, best_ask = side[0, BEST], side[1, BEST]
    bid_size = size_at(sizes, far_keys, far_sizes, side, 0, best_bid)
    ask_size = size_at(sizes, far_keys, far_sizes, side, 1, best_ask)
    outcome[at, OUTCOME_USE] = use
    outcome[at, OUTCOME_COMPARED] = scratch[0]
    outcome[at, OUTCOME_WRONG] = scratch[1]
    outcome[at, OUTCOME_CHANGED] = take_snapshot(
        sizes, words, summary, far_keys, far_sizes, side, plan_ticks[at], plan_sizes[at], use != USE_EXTENDED
    )
    state[STATE_SEEDED] = 1
    # An extension may move a best price that was not known; that is no market activity either.
    moved = best_bid != side[0, BEST] or best_ask != side[1, BEST]
    moved |= bid_size != size_at(sizes, far_keys, far_sizes, side, 0, best_bid)
    moved |= ask_size != size_at(sizes, far_keys, far_sizes, side, 1, best_ask)
    if use == USE_REPAIRED or (use == USE_EXTENDED and moved):
        state[STATE_REPAIR_PENDING] = 1
    state[STATE_DIRTY_BID] = 1
    state[STATE_DIRTY_ASK] = 1
    state[STATE_CANDIDATE] = at + 1
    return True


@njit(
    types.UniTuple(types.int64, 2)(
        *_LADDER, _I8, _I8, _I8, _I8_2, _I8, _I8,
        _I8_IN, *_CANDIDATES, _I8_IN, _I8_IN,
        types.int64, types.int64, types.int64, types.int64,
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def begin_message(  # type: ignore[no-untyped-def]
    sizes, words, summary, far_keys, far_sizes, side, params, state, last, rows, visible, scratch,
    plan_sequence, plan_ticks, plan_sizes, plan_forced, outcome, edge_sequence, edge_doubt,
    sequence, origin_time, received_time, n_rows,
):  # fmt: skip
    """What is due before a message: grid rows of the book before it, snapshots of messages never seen, doubt.

    Args:
        sizes … edge_doubt: see `replay`.
        sequence, origin_time, received_time: of the message.
        n_rows: rows in use.

    Returns:
        status, rows in use. With ROWS_FULL and LEVELS_FULL call again; what was done is not done twice.
    """
    capacity = rows.shape[0]
    # What the grid still has to show of the book before this message comes first.
    if params[PARAM_CADENCE] == CADENCE_GRID:
        if state[STATE_NEXT_GRID] == NO_TIME and origin_time > 0:
            grid = params[PARAM_GRID_NS]
            state[STATE_NEXT_GRID] = (origin_time + grid - 1) // grid * grid
        while NO_TIME < state[STATE_NEXT_GRID] < origin_time:
            if n_rows == capacity:
                return ROWS_FULL, n_rows
            if write_row(
                sizes, words, summary, far_keys, far_sizes, side, params, state, last, rows, n_rows,
                visible, True,
            ):  # fmt: skip
                rows[n_rows, 0] = state[STATE_NEXT_GRID]
                n_rows += 1
            state[STATE_NEXT_GRID] += params[PARAM_GRID_NS]
    elif n_rows == capacity:
        return ROWS_FULL, n_rows
    # Snapshots of sequence numbers that no message bears are due before it.
    while (
        state[STATE_CANDIDATE] < plan_sequence.shape[0] and plan_sequence[state[STATE_CANDIDATE]] < sequence
    ):
        if not take_candidate(
            sizes, words, summary, far_keys, far_sizes, side, state, scratch,
            plan_ticks, plan_sizes, plan_forced, outcome,
        ):  # fmt: skip
            return LEVELS_FULL, n_rows
    while state[STATE_EDGE] < edge_sequence.shape[0] and edge_sequence[state[STATE_EDGE]] <= sequence:
        state[STATE_DOUBT] = edge_doubt[state[STATE_EDGE]]
        state[STATE_EDGE] += 1
        state[STATE_EVALUATE] = 1
    state[STATE_LAST_SEQUENCE] = sequence
    state[STATE_LAST_ORIGIN] = origin_time
    state[STATE_LAST_RECEIVED] = received_time
    state[STATE_MESSAGES] += 1
    return DONE, n_rows


@njit(
    types.UniTuple(types.int64, 3)(
        *_LADDER, _I8, _I8, _I8, _I8, _I8_2, _I8, _I8,
        _I8_IN, *_CANDIDATES, _I8_IN, _I8_IN,
        _I8_IN, _I8_IN, _I8_IN, _B1_IN, _I8_IN, _I8_IN, types.int64, types.int64, types.int64,
    ),
    cache=True,
    nogil=True,
)  # fmt: skip
def replay(  # type: ignore[no-untyped-def]
    sizes, words, summary, far_keys, far_sizes, side, params, state, counts, last, rows, visible, scratch,
    plan_sequence, plan_ticks, plan_sizes, plan_forced, outcome, edge_sequence, edge_doubt,
    origin_time, received_time, sequence_number, is_bid, price_pips, size_pips, start, stop, n_rows,
):  # fmt: skip
    """Apply whole messages and append rows.

    Args:
        sizes … side: the ladder.
        params, state, counts, last, rows, visible: see `write_row`.
        scratch: int64[2].
        plan_sequence: int64[m], ascending: snapshots to take over, each right after the last message ≤ it.
        plan_ticks, plan_sizes: int64[m, 2, K].
        plan_forced: bool[m]: repair without asking whether it agrees.
        outcome: int64[m, 4], written: use, levels compared, wrong, changed.
        edge_sequence: int64[e], ascending: from the first message ≥ it, `edge_doubt` holds.
        edge_doubt: int64[e]: flag bits (and PROVEN_LOSS).
        origin_time … size_pips: [n], the deltas; a message is a run of equal sequence numbers.
        start, stop: rows to apply; `start` may be in the middle of a message only after LEVELS_FULL.
        n_rows: rows in use.

    Returns:
        status, next row to apply, rows in use. With ROWS_FULL and LEVELS_FULL call again from there.
    """
    step = params[PARAM_STEP]
    inverse = 1.0 / step
    cadence = params[PARAM_CADENCE]
    slots = sizes.shape[1]
    i = start
    while i < stop:
        sequence = sequence_number[i]
        if sequence != state[STATE_LAST_SEQUENCE]:
            status, n_rows = begin_message(
                sizes, words, summary, far_keys, far_sizes, side, params, state, last, rows, visible, scratch,
                plan_sequence, plan_ticks, plan_sizes, plan_forced, outcome, edge_sequence, edge_doubt,
                sequence, origin_time[i], received_time[i], n_rows,
            )  # fmt: skip
            if status != DONE:
                return status, i, n_rows

        while i < stop and sequence_number[i] == sequence:
            price = price_pips[i]
            # A multiplication instead of a division; exact below 2**52, checked, and decided by a division else.
            tick = np.int64(price * inverse + 0.5)
            if tick * step != price:
                tick = price // step
                if tick * step != price or price <= 0:
                    return OFF_TICK, i, n_rows
            s = 0 if is_bid[i] else 1
            key = -tick if s == 0 else tick
            slot = key - side[s, BASE]
            if 0 <= slot < slots:
                status = set_near(sizes, words, summary, far_keys, side, s, slot, size_pips[i])
                if status == BEST_LEFT:
                    find_next_best(sizes, words, summary, far_keys, far_sizes, side, s)
                    status = CHANGED
            else:
                status = set_level(sizes, words, summary, far_keys, far_sizes, side, s, key, size_pips[i])
            if status == CHANGED:
                if key <= visible[s]:
                    state[STATE_DIRTY_BID + s] = 1
            elif status == NO_ROOM:
                return LEVELS_FULL, i, n_rows
            else:
                counts[COUNT_NO_EFFECT] += 1
            counts[COUNT_DELTAS] += 1
            i += 1

        at = state[STATE_CANDIDATE]
        due_now = at < plan_sequence.shape[0] and plan_sequence[at] == sequence
        if due_now and not take_candidate(
            sizes, words, summary, far_keys, far_sizes, side, state, scratch,
            plan_ticks, plan_sizes, plan_forced, outcome,
        ):  # fmt: skip
            # All levels of the message are in; go through its last one again (no effect) after growing.
            counts[COUNT_DELTAS] -= 1
            counts[COUNT_NO_EFFECT] -= 1
            return LEVELS_FULL, i - 1, n_rows
        crossed = 0
        if side[0, BEST] != NO_KEY and side[1, BEST] != NO_KEY and -side[0, BEST] > side[1, BEST]:
            crossed = 1
            counts[COUNT_CROSSED_MESSAGES] += 1
            counts[COUNT_CROSSED_EPISODES] += 1 - state[STATE_CROSSED]
        state[STATE_CROSSED] = crossed

        if cadence != CADENCE_GRID:
            due = state[STATE_DIRTY_BID] | state[STATE_DIRTY_ASK] | state[STATE_EVALUATE]
            if (due != 0 or cadence == CADENCE_MESSAGE) and write_row(
                sizes, words, summary, far_keys, far_sizes, side, params, state, last, rows, n_rows,
                visible, cadence == CADENCE_MESSAGE,
            ):  # fmt: skip
                n_rows += 1
    return DONE, i, n_rows
