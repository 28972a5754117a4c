"""The replay loop: messages in, rows of the visible book out, snapshots merged on the way.

One pass over the deltas. Within a message, a delta only sets its level and lowers the mark `changed_from` of its side.
What the message did to the best prices and to the visible book is worked out once, at its end, from that mark, so a
message that touched nothing visible costs no more than its deltas.

The order of events is fixed, because rows and their hash depend on it:

1. Before a message: rows of the grid up to its time, which show the book as it stood until then. Then the snapshots
   numbered below it, which no message bears: they show the book after the message before. Then the flag bits that hold
   from this message on, and the end of the warm-up, since both concern the row that the message will give.
2. Within it: its deltas, in their order. A later delta of the same level wins.
3. After it: the snapshots of its own number, since a snapshot of number n shows the book after message n. Then the
   watch for a crossed book, so that one which a snapshot has just put right is not cleared. The row comes last and
   shows all of this.

Whether the buffers have room is asked before a message changes anything, so no message is ever half applied: the loop
comes back with a status, the caller makes room and calls again.
"""

from __future__ import annotations

import numpy as np
from numba import types

from order_book_platform.kernels.book.bits import exact_quotient
from order_book_platform.kernels.book.ladder import has_room, level_at, set_level, set_slot, settle
from order_book_platform.kernels.book.ladder_arrays import LADDER, NO_KEY, NOTHING_KNOWN
from order_book_platform.kernels.book.replay_arrays import (
    CADENCE_GRID,
    CADENCE_MESSAGE,
    COUNT_CROSSED_EPISODES,
    COUNT_CROSSED_MESSAGES,
    COUNT_DELTAS,
    COUNT_EVICTED,
    COUNT_NO_EFFECT,
    DONE,
    LEVELS_FULL,
    MEMORY,
    NO_TIME,
    OUTCOME_CHANGED,
    OUTCOME_COMPARED,
    OUTCOME_USE,
    OUTCOME_WRONG,
    PARAM_CADENCE,
    PARAM_CROSSED_NS,
    PARAM_GRID_NS,
    PARAM_SILENCE_NS,
    PARAM_WARM_UP_NS,
    ROW_FLAGS,
    ROW_ORIGIN,
    ROWS_FULL,
    SCHEDULE,
    STATE_CROSSED_SINCE,
    STATE_FIRST_ORIGIN,
    STATE_FLAG_BITS,
    STATE_FORCE_REPAIR,
    STATE_LAST_ORIGIN,
    STATE_LAST_RECEIVED,
    STATE_LAST_SEQUENCE,
    STATE_MESSAGES,
    STATE_NEXT_EDGE,
    STATE_NEXT_GRID,
    STATE_NEXT_SNAPSHOT,
    STATE_REPAIRED_DUE,
    STATE_ROW_DUE,
    STATE_SEEDED,
    STATE_WARMED_UP,
    USE_EXTENDED,
    USE_REPAIRED,
    USE_SEEDED,
)
from order_book_platform.kernels.book.snapshot_merge import compare_snapshot, merge_snapshot
from order_book_platform.kernels.book.visible_rows import write_row
from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.flags import BookFlag

_GAP = int(BookFlag.GAP)
_ONE = np.uint64(1)

_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_B1_IN = types.Array(types.boolean, 1, "C", readonly=True)
_I8 = types.int64[::1]
_I8_2 = types.int64[:, ::1]


@kernel(types.void(LADDER, MEMORY, SCHEDULE))
def take_due_snapshot(ladder, memory, schedule):  # type: ignore[no-untyped-def]
    """Seed, repair or extend the book from the next snapshot of the schedule, and record the outcome.

    The first snapshot seeds. A later one repairs where it differs from what the book claimed to know, or where a repair
    is forced; otherwise it extends the known range.

    Args:
        ladder: the book, settled, with overflow blocks for the snapshot's levels; changed and settled again.
        memory: of the replay, changed.
        schedule: its `outcome` is written at the snapshot's index.
    """
    state, comparison = memory.state, memory.comparison
    at = state[STATE_NEXT_SNAPSHOT]
    compare_snapshot(ladder, schedule.ticks[at], schedule.sizes[at], comparison)
    use = USE_EXTENDED
    if state[STATE_SEEDED] == 0:
        use = USE_SEEDED
    elif comparison[1] > 0 or schedule.forced[at] or state[STATE_FORCE_REPAIR] != 0:
        use = USE_REPAIRED
    # What the book showed at its top before, so that a change by the snapshot can be told from market activity.
    best_bid, best_ask = ladder.best[0], ladder.best[1]
    bid_size, ask_size = level_at(ladder, 0, best_bid)[0], level_at(ladder, 1, best_ask)[0]
    outcome = schedule.outcome[at]
    outcome[OUTCOME_USE] = use
    outcome[OUTCOME_COMPARED] = comparison[0]
    outcome[OUTCOME_WRONG] = comparison[1]
    outcome[OUTCOME_CHANGED] = merge_snapshot(
        ladder, schedule.ticks[at], schedule.sizes[at], use != USE_EXTENDED, state[STATE_MESSAGES]
    )
    state[STATE_SEEDED] = 1
    state[STATE_FORCE_REPAIR] = 0
    # An extension may move a best price that was not known, and a seed one that the warm-up showed. Neither is market
    # activity, so the row says so, as it does for a repair.
    moved = best_bid != ladder.best[0] or best_ask != ladder.best[1]
    moved |= bid_size != level_at(ladder, 0, best_bid)[0] or ask_size != level_at(ladder, 1, best_ask)[0]
    if use == USE_REPAIRED or (moved and (use == USE_EXTENDED or state[STATE_WARMED_UP] != 0)):
        state[STATE_REPAIRED_DUE] = 1
    state[STATE_WARMED_UP] = 0
    state[STATE_ROW_DUE] = 1
    state[STATE_NEXT_SNAPSHOT] = at + 1


@kernel(types.void(LADDER, MEMORY))
def evict_crossed(ladder, memory):  # type: ignore[no-untyped-def]
    """Remove levels until the book is not crossed: of the two best ones always the one set longest ago.

    A book that has stood crossed for long has lost a message, so none of it is called known until the next snapshot,
    which repairs.

    Args:
        ladder: the book, settled; changed and settled again.
        memory: of the replay; its state and counts are changed.
    """
    best, known_until = ladder.best, ladder.known_until
    while best[0] != NO_KEY and best[1] != NO_KEY and -best[0] > best[1]:
        bid_seen = level_at(ladder, 0, best[0])[1]
        ask_seen = level_at(ladder, 1, best[1])[1]
        # The level set last is the news; the other one is what a lost message should have removed.
        s = 0 if bid_seen <= ask_seen else 1
        set_level(ladder, s, best[s], 0, 0)
        settle(ladder, s)
        memory.counts[COUNT_EVICTED] += 1
    known_until[0] = NOTHING_KNOWN
    known_until[1] = NOTHING_KNOWN
    memory.state[STATE_FORCE_REPAIR] = 1
    memory.state[STATE_REPAIRED_DUE] = 1
    memory.state[STATE_ROW_DUE] = 1


@kernel(types.boolean(LADDER, MEMORY), forceinline=True)
def watch_crossed(ladder, memory):  # type: ignore[no-untyped-def]
    """Count a crossed message, and clear a book that has been crossed for longer than PARAM_CROSSED_NS.

    What is done depends on the past alone: whether a snapshot will come soon is not asked, so that a live replay, which
    cannot know it, gives the same rows.

    Args:
        ladder: the book, settled.
        memory: of the replay; its state and counts are changed.

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
    # A short spell is only counted: the next messages may put it right.
    if now - state[STATE_CROSSED_SINCE] <= memory.params[PARAM_CROSSED_NS]:
        return False
    evict_crossed(ladder, memory)
    state[STATE_CROSSED_SINCE] = NO_TIME
    return True


@kernel(
    types.UniTuple(types.int64, 2)(
        LADDER, MEMORY, SCHEDULE, _I8_2, types.int64, types.int64, types.int64, types.int64
    ),
    forceinline=True,
)
def prepare_message(ladder, memory, schedule, rows, n_rows, sequence, origin_time, levels):  # type: ignore[no-untyped-def]
    """Do what is due before a message, and make sure that nothing can run out within it.

    Args:
        ladder, memory, schedule, rows, n_rows: see `replay`.
        sequence: sequence number of the message.
        origin_time: its origin time, ns.
        levels: how many levels it may bring.

    Returns:
        Status, rows in use. After ROWS_FULL and LEVELS_FULL it is called again; what has been done is not done twice,
        because each step moves the state on before the next one may stop.
    """
    state = memory.state
    if memory.params[PARAM_CADENCE] == CADENCE_GRID:
        grid = memory.params[PARAM_GRID_NS]
        # The grid begins at the first whole multiple of its step from the first message on that has a time.
        if state[STATE_NEXT_GRID] == NO_TIME and origin_time > 0:
            state[STATE_NEXT_GRID] = (origin_time + grid - 1) // grid * grid
        while NO_TIME < state[STATE_NEXT_GRID] < origin_time:
            if n_rows == rows.shape[0]:
                return ROWS_FULL, n_rows
            write_row(ladder, memory, rows, n_rows, False, True)
            rows[n_rows, ROW_ORIGIN] = state[STATE_NEXT_GRID]
            if state[STATE_NEXT_GRID] - state[STATE_LAST_ORIGIN] > memory.params[PARAM_SILENCE_NS]:
                rows[n_rows, ROW_FLAGS] |= _GAP  # a feed silent for so long may have lost messages
            n_rows += 1
            state[STATE_NEXT_GRID] += grid
    elif n_rows == rows.shape[0]:
        return ROWS_FULL, n_rows  # one free row is enough: without a grid a message gives one row at most
    while (
        state[STATE_NEXT_SNAPSHOT] < schedule.sequence.shape[0]
        and schedule.sequence[state[STATE_NEXT_SNAPSHOT]] < sequence
    ):
        if not has_room(ladder, schedule.ticks.shape[2]):
            return LEVELS_FULL, n_rows
        take_due_snapshot(ladder, memory, schedule)
    # Room for the message and for all snapshots right after it, which are merged before the loop can stop again.
    due = state[STATE_NEXT_SNAPSHOT]
    while due < schedule.sequence.shape[0] and schedule.sequence[due] == sequence:
        levels += schedule.ticks.shape[2]
        due += 1
    if not has_room(ladder, levels):
        return LEVELS_FULL, n_rows
    while (
        state[STATE_NEXT_EDGE] < schedule.edge_sequence.shape[0]
        and schedule.edge_sequence[state[STATE_NEXT_EDGE]] <= sequence
    ):
        state[STATE_FLAG_BITS] = schedule.edge_flag_bits[state[STATE_NEXT_EDGE]]
        state[STATE_NEXT_EDGE] += 1
        state[STATE_ROW_DUE] = 1
    if state[STATE_SEEDED] == 0 and state[STATE_WARMED_UP] == 0:
        if state[STATE_FIRST_ORIGIN] == NO_TIME:
            state[STATE_FIRST_ORIGIN] = origin_time
        # Every level near the price has been named by now, so the book may be used; still none of it is known.
        if origin_time - state[STATE_FIRST_ORIGIN] >= memory.params[PARAM_WARM_UP_NS]:
            state[STATE_WARMED_UP] = 1
            state[STATE_ROW_DUE] = 1
    return DONE, n_rows


@kernel(types.UniTuple(types.int64, 3)(
        LADDER, MEMORY, SCHEDULE, _I8_2, types.int64, types.uint64, types.int64,
        _I8, _I8_IN, _I8_IN, _I8_IN, _B1_IN, _I8_IN, _I8_IN, types.int64, types.int64,
    ))  # fmt: skip
def replay(  # type: ignore[no-untyped-def]
    ladder, memory, schedule, rows, n_rows, inverse, twos,
    starts, origin_time, received_time, sequence_number, is_bid, encoded_price, encoded_size, message, stop,
):  # fmt: skip
    """Apply whole messages to the book and append rows.

    All arrays are the caller's. The batch has been checked (`message_starts`): nothing here looks for bad numbers.

    Args:
        ladder: the book, changed.
        memory: of the replay, changed.
        schedule: snapshots and flag bits; its `outcome` is written.
        rows: int64[capacity, ROW_HEAD + 4·depth], the layout of `visible_rows`; written from row n_rows on.
        n_rows: rows in use.
        inverse, twos: `bits.divisor_inverse` of the step, which divides every price.
        starts: int64[at least stop + 1]: first row of each message, then the end of the last one.
        origin_time: int64[n], ns.
        received_time: int64[n], ns.
        sequence_number: int64[n], ascending.
        is_bid: bool[n].
        encoded_price: int64[n], pips or codes of prices, above 0.
        encoded_size: int64[n], pips or codes of sizes; 0 removes the level.
        message: index of the first message to apply.
        stop: index after the last one.

    Returns:
        Status DONE, ROWS_FULL or LEVELS_FULL; the next message to apply; rows in use. After the last two statuses the
        loop is called again with that message: with the rows taken, or with more overflow blocks.
    """
    cells, words, summary = ladder.cells, ladder.words, ladder.summary
    state, visible_keys = memory.state, memory.visible_keys
    base, changed_from = ladder.base, ladder.changed_from
    cadence = memory.params[PARAM_CADENCE]
    last_level = visible_keys.shape[1] - 1
    slots = ladder.cells.shape[0] >> 2
    mask = slots - 1
    no_effect = 0
    status = DONE
    applied_from = message
    while message < stop:
        start, end = starts[message], starts[message + 1]
        sequence = sequence_number[start]
        status, n_rows = prepare_message(
            ladder, memory, schedule, rows, n_rows, sequence, origin_time[start], end - start
        )
        if status != DONE:
            break
        number = state[STATE_MESSAGES] + 1
        state[STATE_MESSAGES] = number
        state[STATE_LAST_SEQUENCE] = sequence
        state[STATE_LAST_ORIGIN] = origin_time[start]
        state[STATE_LAST_RECEIVED] = received_time[start]

        # One delta since the last row: the visible levels behind it can be moved instead of looked up.
        single_change = end - start == 1 and changed_from[0] == NO_KEY and changed_from[1] == NO_KEY
        # Unsigned row numbers: a signed index is tested each time for counting from the end of the array.
        i, stop_row = np.uint64(start), np.uint64(end)
        while i < stop_row:
            # Two loops, so that the inner one, which nearly every delta takes, calls nothing and keeps what it needs in
            # registers. It ends at a delta outside the window, which may move the base.
            bid_base, ask_base = base[0], base[1]
            while i < stop_row:
                size = encoded_size[i]
                bid = is_bid[i]
                tick = exact_quotient(encoded_price[i], inverse, twos)
                key = -tick if bid else tick
                offset = key - (bid_base if bid else ask_base)
                if not 0 <= offset < slots:
                    break
                # Side, key and mark are chosen by arithmetic, not by branches: which side a delta is on and whether it
                # changes anything cannot be guessed.
                at = np.uint64((key & mask) + (0 if bid else slots))
                changed = set_slot(cells, words, summary, at, size, number) != size
                no_effect += not changed
                side = np.uint64(0 if bid else 1)
                changed_from[side] = min(changed_from[side], key if changed else NO_KEY)
                i += _ONE
            if i < stop_row:
                s = 0 if is_bid[i] else 1
                tick = exact_quotient(encoded_price[i], inverse, twos)
                no_effect += not set_level(ladder, s, -tick if s == 0 else tick, encoded_size[i], number)
                i += _ONE
        settle(ladder, 0)
        settle(ladder, 1)
        message += 1

        at = state[STATE_NEXT_SNAPSHOT]
        while at < schedule.sequence.shape[0] and schedule.sequence[at] == sequence:
            take_due_snapshot(ladder, memory, schedule)
            single_change = False
            at += 1
        if watch_crossed(ladder, memory):
            single_change = False
        if cadence == CADENCE_GRID:
            continue  # the marks are kept for the next row of the grid
        due = state[STATE_ROW_DUE] != 0 or cadence == CADENCE_MESSAGE
        due |= changed_from[0] <= visible_keys[0, last_level] and changed_from[0] != NO_KEY
        due |= changed_from[1] <= visible_keys[1, last_level] and changed_from[1] != NO_KEY
        if due:
            n_rows += write_row(ladder, memory, rows, n_rows, single_change, cadence == CADENCE_MESSAGE)
        # What changed beyond the visible levels needs no mark: it is looked up when it comes into view.
        changed_from[0] = NO_KEY
        changed_from[1] = NO_KEY
    if message > applied_from:
        memory.counts[COUNT_DELTAS] += starts[message] - starts[applied_from]
        memory.counts[COUNT_NO_EFFECT] += no_effect
    return status, message, n_rows


@kernel(types.UniTuple(types.int64, 2)(LADDER, MEMORY, SCHEDULE, _I8_2, types.int64, types.int64))
def replay_snapshots(ladder, memory, schedule, rows, n_rows, stop):  # type: ignore[no-untyped-def]
    """Give the rows of a book that is made of snapshots alone: each one is the whole book until the next.

    The book is emptied before each snapshot, which then seeds it. A snapshot counts as one message of its number and
    times.

    Args:
        ladder, memory, schedule, rows, n_rows: see `replay`.
        stop: number of snapshots of the schedule to show in all.

    Returns:
        Status, rows in use. After ROWS_FULL and LEVELS_FULL it is called again, as `replay` is.
    """
    state = memory.state
    cadence = memory.params[PARAM_CADENCE]
    while state[STATE_NEXT_SNAPSHOT] < stop:
        at = state[STATE_NEXT_SNAPSHOT]
        status, n_rows = prepare_message(
            ladder, memory, schedule, rows, n_rows, schedule.sequence[at], schedule.origin[at], 0
        )
        if status != DONE:
            return status, n_rows
        state[STATE_MESSAGES] += 1
        state[STATE_LAST_SEQUENCE] = schedule.sequence[at]
        state[STATE_LAST_ORIGIN] = schedule.origin[at]
        state[STATE_LAST_RECEIVED] = schedule.received[at]
        # Emptied by removals and not by zeroing the arrays: a snapshot has few levels, the window half a million slots.
        for s in range(2):
            while ladder.best[s] != NO_KEY:
                set_level(ladder, s, ladder.best[s], 0, 0)
                settle(ladder, s)
            ladder.known_until[s] = NOTHING_KNOWN
        state[STATE_SEEDED] = 0
        take_due_snapshot(ladder, memory, schedule)
        if cadence != CADENCE_GRID:
            n_rows += write_row(ladder, memory, rows, n_rows, False, cadence == CADENCE_MESSAGE)
    return DONE, n_rows
