"""The replay loop: messages in, rows of the visible book out, snapshots taken over on the way.

One pass over the deltas. Inside a message a delta only sets its level and lowers a mark; what the message did to the
best prices and to the visible book is worked out once, at its end, from that mark. A message that touched nothing
visible costs no more than its deltas.
"""

from __future__ import annotations

import numpy as np
from numba import types

from order_book_platform.kernels.book.bits import exact_quotient
from order_book_platform.kernels.book.ladder import has_room, level_at, set_level, set_slot, settle
from order_book_platform.kernels.book.ladder_arrays import LADDER, MEMORY, NO_KEY, NOTHING_KNOWN, STEPS
from order_book_platform.kernels.book.snapshot_merge import compare_snapshot, take_snapshot
from order_book_platform.kernels.book.visible_rows import (
    PARAM_CADENCE,
    PARAM_CROSSED_NS,
    PARAM_GRID_NS,
    PARAM_SILENCE_NS,
    PARAM_WARM_UP_NS,
    STATE_CANDIDATE,
    STATE_CROSSED_SINCE,
    STATE_DOUBT,
    STATE_EDGE,
    STATE_EVALUATE,
    STATE_FIRST_ORIGIN,
    STATE_FORCE,
    STATE_LAST_ORIGIN,
    STATE_LAST_RECEIVED,
    STATE_LAST_SEQUENCE,
    STATE_MESSAGES,
    STATE_NEXT_GRID,
    STATE_REPAIR_PENDING,
    STATE_SEEDED,
    STATE_WARM,
    write_row,
)
from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.flags import BookFlag

DONE, ROWS_FULL, LEVELS_FULL = 0, 1, 2
"""Why the loop came back: input used up; drain the rows; make room for levels."""

CADENCE_CHANGE, CADENCE_MESSAGE, CADENCE_GRID = 0, 1, 2

NO_TIME = -(2**62)

_GAP = int(BookFlag.GAP)

_ONE = np.uint64(1)

USE_NONE, USE_SEEDED, USE_EXTENDED, USE_REPAIRED = 0, 1, 2, 3
OUTCOME_USE, OUTCOME_COMPARED, OUTCOME_WRONG, OUTCOME_CHANGED = range(4)

COUNT_DELTAS, COUNT_NO_EFFECT, COUNT_CROSSED_MESSAGES, COUNT_CROSSED_EPISODES, COUNT_EVICTED = range(5)
COUNTS = 5

_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_B1_IN = types.Array(types.boolean, 1, "C", readonly=True)
_I8 = types.int64[::1]
_I8_2 = types.int64[:, ::1]


@kernel(types.void(LADDER, MEMORY, STEPS))
def take_candidate(ladder, memory, steps):  # type: ignore[no-untyped-def]
    """Seed, extend or repair the book from the next snapshot of the plan; the ladder has room for it."""
    state, scratch = memory.state, memory.scratch
    at = state[STATE_CANDIDATE]
    compare_snapshot(ladder, steps.ticks[at], steps.sizes[at], scratch)
    use = USE_EXTENDED
    if state[STATE_SEEDED] == 0:
        use = USE_SEEDED
    elif scratch[1] > 0 or steps.forced[at] or state[STATE_FORCE] != 0:
        use = USE_REPAIRED
    best_bid, best_ask = ladder.best[0], ladder.best[1]
    bid_size, ask_size = level_at(ladder, 0, best_bid)[0], level_at(ladder, 1, best_ask)[0]
    outcome = steps.outcome[at]
    outcome[OUTCOME_USE] = use
    outcome[OUTCOME_COMPARED] = scratch[0]
    outcome[OUTCOME_WRONG] = scratch[1]
    outcome[OUTCOME_CHANGED] = take_snapshot(
        ladder, steps.ticks[at], steps.sizes[at], use != USE_EXTENDED, state[STATE_MESSAGES]
    )
    state[STATE_SEEDED] = 1
    state[STATE_FORCE] = 0
    # An extension may move a best price that was not known; that is no market activity either.
    moved = best_bid != ladder.best[0] or best_ask != ladder.best[1]
    moved |= bid_size != level_at(ladder, 0, best_bid)[0] or ask_size != level_at(ladder, 1, best_ask)[0]
    if use == USE_REPAIRED or (moved and (use == USE_EXTENDED or state[STATE_WARM] != 0)):
        state[STATE_REPAIR_PENDING] = 1
    state[STATE_WARM] = 0
    state[STATE_EVALUATE] = 1
    state[STATE_CANDIDATE] = at + 1


@kernel(types.void(LADDER, MEMORY))
def evict_crossed(ladder, memory):  # type: ignore[no-untyped-def]
    """Remove the levels that hold a book crossed: of the two best ones the one named longest ago, until it is not.

    Whoever has stood crossed for long has lost a message, so nothing is called known until the next snapshot.
    """
    best, bound = ladder.best, ladder.bound
    while best[0] != NO_KEY and best[1] != NO_KEY and -best[0] > best[1]:
        bid_seen = level_at(ladder, 0, best[0])[1]
        ask_seen = level_at(ladder, 1, best[1])[1]
        s = 0 if bid_seen <= ask_seen else 1
        set_level(ladder, s, best[s], 0, 0)
        settle(ladder, s)
        memory.counts[COUNT_EVICTED] += 1
    bound[0] = NOTHING_KNOWN
    bound[1] = NOTHING_KNOWN
    memory.state[STATE_FORCE] = 1
    memory.state[STATE_REPAIR_PENDING] = 1
    memory.state[STATE_EVALUATE] = 1


@kernel(types.boolean(LADDER, MEMORY), forceinline=True)
def watch_crossed(ladder, memory):  # type: ignore[no-untyped-def]
    """Count crossed messages, and act on a book that stays crossed: levels are evicted, and the next snapshot repairs.

    What is done depends on the past alone; whether a snapshot will come soon is not asked.

    Returns:
        Whether levels were evicted.
    """
    state, counts = memory.state, memory.counts
    best_bid, best_ask = ladder.best[0], ladder.best[1]
    if best_bid == NO_KEY or best_ask == NO_KEY or -best_bid <= best_ask:
        state[STATE_CROSSED_SINCE] = NO_TIME
        return False
    now = state[STATE_LAST_ORIGIN]
    counts[COUNT_CROSSED_MESSAGES] += 1
    if state[STATE_CROSSED_SINCE] == NO_TIME:
        counts[COUNT_CROSSED_EPISODES] += 1
        state[STATE_CROSSED_SINCE] = now
    if now - state[STATE_CROSSED_SINCE] <= memory.params[PARAM_CROSSED_NS]:
        return False
    evict_crossed(ladder, memory)
    state[STATE_CROSSED_SINCE] = NO_TIME
    return True


@kernel(
    types.UniTuple(types.int64, 2)(
        LADDER, MEMORY, STEPS, _I8_2, types.int64, types.int64, types.int64, types.int64
    ),
    forceinline=True,
)
def before_message(ladder, memory, steps, rows, n_rows, sequence, origin_time, levels):  # type: ignore[no-untyped-def]
    """What is due before a message: grid rows of the book before it, snapshots of messages never seen, doubt, warm-up.

    Args:
        ladder, memory, steps, rows, n_rows: see `replay`.
        sequence, origin_time: of the message.
        levels: that it may bring.

    Returns:
        status, rows in use. With ROWS_FULL and LEVELS_FULL call again; what was done is not done twice.
    """
    state = memory.state
    # What the grid still has to show of the book before this message comes first.
    if memory.params[PARAM_CADENCE] == CADENCE_GRID:
        grid = memory.params[PARAM_GRID_NS]
        if state[STATE_NEXT_GRID] == NO_TIME and origin_time > 0:
            state[STATE_NEXT_GRID] = (origin_time + grid - 1) // grid * grid
        while NO_TIME < state[STATE_NEXT_GRID] < origin_time:
            if n_rows == rows.shape[0]:
                return ROWS_FULL, n_rows
            write_row(ladder, memory, rows, n_rows, False, True)
            rows[n_rows, 0] = state[STATE_NEXT_GRID]
            if state[STATE_NEXT_GRID] - state[STATE_LAST_ORIGIN] > memory.params[PARAM_SILENCE_NS]:
                rows[n_rows, 3] |= _GAP  # for so long nobody has spoken
            n_rows += 1
            state[STATE_NEXT_GRID] += grid
    elif n_rows == rows.shape[0]:
        return ROWS_FULL, n_rows
    # Snapshots of sequence numbers that no message bears are due before it.
    while (
        state[STATE_CANDIDATE] < steps.sequence.shape[0] and steps.sequence[state[STATE_CANDIDATE]] < sequence
    ):
        if not has_room(ladder, steps.ticks.shape[2]):
            return LEVELS_FULL, n_rows
        take_candidate(ladder, memory, steps)
    due = state[STATE_CANDIDATE]
    while due < steps.sequence.shape[0] and steps.sequence[due] == sequence:
        levels += steps.ticks.shape[2]
        due += 1
    if not has_room(ladder, levels):
        return LEVELS_FULL, n_rows
    while (
        state[STATE_EDGE] < steps.edge_sequence.shape[0]
        and steps.edge_sequence[state[STATE_EDGE]] <= sequence
    ):
        state[STATE_DOUBT] = steps.edge_doubt[state[STATE_EDGE]]
        state[STATE_EDGE] += 1
        state[STATE_EVALUATE] = 1
    if state[STATE_SEEDED] == 0 and state[STATE_WARM] == 0:
        if state[STATE_FIRST_ORIGIN] == NO_TIME:
            state[STATE_FIRST_ORIGIN] = origin_time
        # Every level near the price has been named by now, so the book may be used; still none of it is known.
        if origin_time - state[STATE_FIRST_ORIGIN] >= memory.params[PARAM_WARM_UP_NS]:
            state[STATE_WARM] = 1
            state[STATE_EVALUATE] = 1
    return DONE, n_rows


@kernel(types.UniTuple(types.int64, 3)(
        LADDER, MEMORY, STEPS, _I8_2, types.int64, types.uint64, types.int64,
        _I8, _I8_IN, _I8_IN, _I8_IN, _B1_IN, _I8_IN, _I8_IN, types.int64, types.int64,
    ))  # fmt: skip
def replay(  # type: ignore[no-untyped-def]
    ladder, memory, steps, rows, n_rows, inverse, twos,
    starts, origin_time, received_time, sequence_number, is_bid, encoded_price, encoded_size, message, stop,
):  # fmt: skip
    """Apply whole messages and append rows.

    Args:
        ladder: the book.
        memory, steps: of the replay.
        rows: int64[capacity, ROW_HEAD + 4·depth].
        n_rows: rows in use.
        inverse, twos: `bits.divisor_inverse` of the step in pips, which divides every price (checked before).
        starts: int64[≥ stop + 1]: first row of each message, then the end of the last one.
        origin_time … encoded_size: [n], the deltas.
        message, stop: first message to apply, and the end.

    Returns:
        status, next message to apply, rows in use. With ROWS_FULL and LEVELS_FULL call again from there.
    """
    cells, words, summary = ladder.cells, ladder.words, ladder.summary
    state, top = memory.state, memory.top
    base, low = ladder.base, ladder.low
    cadence = memory.params[PARAM_CADENCE]
    last_level = top.shape[1] - 1
    slots = ladder.cells.shape[0] >> 2
    mask = slots - 1
    no_effect = 0
    status = DONE
    applied_from = message
    while message < stop:
        start, end = starts[message], starts[message + 1]
        sequence = sequence_number[start]
        status, n_rows = before_message(
            ladder, memory, steps, rows, n_rows, sequence, origin_time[start], end - start
        )
        if status != DONE:
            break
        number = state[STATE_MESSAGES] + 1
        state[STATE_MESSAGES] = number
        state[STATE_LAST_SEQUENCE] = sequence
        state[STATE_LAST_ORIGIN] = origin_time[start]
        state[STATE_LAST_RECEIVED] = received_time[start]

        one = end - start == 1 and low[0] == NO_KEY and low[1] == NO_KEY
        i, stop_row = np.uint64(start), np.uint64(end)
        while i < stop_row:
            # Two loops, so that the inner one calls nothing and keeps what it needs in registers.
            bid_base, ask_base = base[0], base[1]
            while i < stop_row:
                size = encoded_size[i]
                bid = is_bid[i]
                tick = exact_quotient(encoded_price[i], inverse, twos)
                key = -tick if bid else tick
                offset = key - (bid_base if bid else ask_base)
                if not 0 <= offset < slots:
                    break
                at = np.uint64((key & mask) + (0 if bid else slots))
                changed = set_slot(cells, words, summary, at, size, number) != size
                no_effect += not changed
                which = np.uint64(0 if bid else 1)
                low[which] = min(low[which], key if changed else NO_KEY)
                i += _ONE
            if i < stop_row:
                s = 0 if is_bid[i] else 1
                tick = exact_quotient(encoded_price[i], inverse, twos)
                no_effect += not set_level(ladder, s, -tick if s == 0 else tick, encoded_size[i], number)
                i += _ONE
        settle(ladder, 0)
        settle(ladder, 1)
        message += 1

        at = state[STATE_CANDIDATE]
        while at < steps.sequence.shape[0] and steps.sequence[at] == sequence:
            take_candidate(ladder, memory, steps)
            one = False
            at += 1
        if watch_crossed(ladder, memory):
            one = False
        if cadence == CADENCE_GRID:
            continue
        due = state[STATE_EVALUATE] != 0 or cadence == CADENCE_MESSAGE
        due |= low[0] <= top[0, last_level] and low[0] != NO_KEY
        due |= low[1] <= top[1, last_level] and low[1] != NO_KEY
        if due:
            n_rows += write_row(ladder, memory, rows, n_rows, one, cadence == CADENCE_MESSAGE)
        low[0] = NO_KEY
        low[1] = NO_KEY
    if message > applied_from:
        memory.counts[COUNT_DELTAS] += starts[message] - starts[applied_from]
        memory.counts[COUNT_NO_EFFECT] += no_effect
    return status, message, n_rows


@kernel(types.UniTuple(types.int64, 2)(LADDER, MEMORY, STEPS, _I8_2, types.int64, types.int64))
def replay_snapshots(ladder, memory, steps, rows, n_rows, stop):  # type: ignore[no-untyped-def]
    """Rows of snapshots alone: each one is the whole book until the next.

    Args:
        ladder, memory, steps, rows, n_rows: see `replay`.
        stop: number of snapshots of the plan to show in all.

    Returns:
        status, rows in use. With ROWS_FULL and LEVELS_FULL call again.
    """
    state = memory.state
    cadence = memory.params[PARAM_CADENCE]
    while state[STATE_CANDIDATE] < stop:
        at = state[STATE_CANDIDATE]
        status, n_rows = before_message(
            ladder, memory, steps, rows, n_rows, steps.sequence[at], steps.origin[at], 0
        )
        if status != DONE:
            return status, n_rows
        state[STATE_MESSAGES] += 1
        state[STATE_LAST_SEQUENCE] = steps.sequence[at]
        state[STATE_LAST_ORIGIN] = steps.origin[at]
        state[STATE_LAST_RECEIVED] = steps.received[at]
        for s in range(2):
            while ladder.best[s] != NO_KEY:
                set_level(ladder, s, ladder.best[s], 0, 0)
                settle(ladder, s)
            ladder.bound[s] = NOTHING_KNOWN
        state[STATE_SEEDED] = 0
        take_candidate(ladder, memory, steps)
        if cadence != CADENCE_GRID:
            n_rows += write_row(ladder, memory, rows, n_rows, False, cadence == CADENCE_MESSAGE)
    return DONE, n_rows
