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

from order_book_platform.kernels.book import replay_arrays as m
from order_book_platform.kernels.book.bits import exact_quotient
from order_book_platform.kernels.book.ladder import has_room, level_at, set_level, set_slot, settle
from order_book_platform.kernels.book.ladder_arrays import LADDER, NO_KEY, NOTHING_KNOWN
from order_book_platform.kernels.book.replay_arrays import MEMORY, SCHEDULE
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
    """Seed, repair or extend the book from the next snapshot of the schedule, and record the outcome there.

    The first snapshot seeds. A later one repairs where it differs from what the book claimed to know, or where a repair
    is forced; otherwise it extends the known range. The ladder is settled before and after, and has overflow blocks for
    the snapshot's levels.
    """
    state, comparison = memory.state, memory.comparison
    at = state[m.STATE_NEXT_SNAPSHOT]
    compare_snapshot(ladder, schedule.ticks[at], schedule.sizes[at], comparison)
    use = m.USE_EXTENDED
    if state[m.STATE_SEEDED] == 0:
        use = m.USE_SEEDED
    elif comparison[1] > 0 or schedule.forced[at] or state[m.STATE_FORCE_REPAIR] != 0:
        use = m.USE_REPAIRED
    # What the book showed at its top before, so that a change by the snapshot can be told from market activity.
    best_bid, best_ask = ladder.best[0], ladder.best[1]
    bid_size, ask_size = level_at(ladder, 0, best_bid)[0], level_at(ladder, 1, best_ask)[0]
    outcome = schedule.outcome[at]
    outcome[m.OUTCOME_USE] = use
    outcome[m.OUTCOME_COMPARED] = comparison[0]
    outcome[m.OUTCOME_WRONG] = comparison[1]
    outcome[m.OUTCOME_CHANGED] = merge_snapshot(
        ladder, schedule.ticks[at], schedule.sizes[at], use != m.USE_EXTENDED, state[m.STATE_MESSAGES]
    )
    state[m.STATE_SEEDED] = 1
    state[m.STATE_FORCE_REPAIR] = 0
    # An extension may move a best price that was not known, and a seed one that the warm-up showed. Neither is market
    # activity, so the row says so, as it does for a repair.
    moved = best_bid != ladder.best[0] or best_ask != ladder.best[1]
    moved |= bid_size != level_at(ladder, 0, best_bid)[0] or ask_size != level_at(ladder, 1, best_ask)[0]
    if use == m.USE_REPAIRED or (moved and (use == m.USE_EXTENDED or state[m.STATE_WARMED_UP] != 0)):
        state[m.STATE_REPAIRED_DUE] = 1
    state[m.STATE_WARMED_UP] = 0
    state[m.STATE_ROW_DUE] = 1
    state[m.STATE_NEXT_SNAPSHOT] = at + 1


@kernel(types.void(LADDER, MEMORY))
def evict_crossed(ladder, memory):  # type: ignore[no-untyped-def]
    """Remove levels until the book is not crossed: of the two best ones always the one set longest ago.

    A book that has stood crossed for long has lost a message, so none of it is called known until the next snapshot,
    which repairs. The ladder is settled before and after.
    """
    best, known_until = ladder.best, ladder.known_until
    while best[0] != NO_KEY and best[1] != NO_KEY and -best[0] > best[1]:
        bid_seen = level_at(ladder, 0, best[0])[1]
        ask_seen = level_at(ladder, 1, best[1])[1]
        # The level set last is the news; the other one is what a lost message should have removed.
        s = 0 if bid_seen <= ask_seen else 1
        set_level(ladder, s, best[s], 0, 0)
        settle(ladder, s)
        memory.counts[m.COUNT_EVICTED] += 1
    known_until[0] = NOTHING_KNOWN
    known_until[1] = NOTHING_KNOWN
    memory.state[m.STATE_FORCE_REPAIR] = 1
    memory.state[m.STATE_REPAIRED_DUE] = 1
    memory.state[m.STATE_ROW_DUE] = 1


@kernel(types.boolean(LADDER, MEMORY), forceinline=True)
def watch_crossed(ladder, memory):  # type: ignore[no-untyped-def]
    """Count a crossed message, and clear a book that has been crossed for longer than PARAM_CROSSED_NS.

    What is done depends on the past alone: whether a snapshot will come soon is not asked, so that a live replay, which
    cannot know it, gives the same rows.

    Returns:
        Whether levels were evicted.
    """
    state, counts = memory.state, memory.counts
    best_bid, best_ask = ladder.best[0], ladder.best[1]
    if best_bid == NO_KEY or best_ask == NO_KEY or -best_bid <= best_ask:
        state[m.STATE_CROSSED_SINCE] = m.NO_TIME
        return False
    now = state[m.STATE_LAST_ORIGIN]
    counts[m.COUNT_CROSSED_MESSAGES] += 1
    if state[m.STATE_CROSSED_SINCE] == m.NO_TIME:
        counts[m.COUNT_CROSSED_EPISODES] += 1
        state[m.STATE_CROSSED_SINCE] = now
    # A short spell is only counted: the next messages may put it right.
    if now - state[m.STATE_CROSSED_SINCE] <= memory.params[m.PARAM_CROSSED_NS]:
        return False
    evict_crossed(ladder, memory)
    state[m.STATE_CROSSED_SINCE] = m.NO_TIME
    return True


@kernel(
    types.UniTuple(types.int64, 2)(
        LADDER, MEMORY, SCHEDULE, _I8_2, types.int64, types.int64, types.int64, types.int64
    ),
    forceinline=True,
)
def prepare_message(ladder, memory, schedule, rows, n_rows, sequence, origin_time, levels):  # type: ignore[no-untyped-def]
    """Do what is due before a message of at most so many levels, and make sure that nothing can run out within it.

    Returns:
        Status, rows in use. After ROWS_FULL and LEVELS_FULL it is called again; what has been done is not done twice,
        because each step moves the state on before the next one may stop.
    """
    state = memory.state
    if memory.params[m.PARAM_CADENCE] == m.CADENCE_GRID:
        grid = memory.params[m.PARAM_GRID_NS]
        # The grid begins at the first whole multiple of its step from the first message on that has a time.
        if state[m.STATE_NEXT_GRID] == m.NO_TIME and origin_time > 0:
            state[m.STATE_NEXT_GRID] = (origin_time + grid - 1) // grid * grid
        while m.NO_TIME < state[m.STATE_NEXT_GRID] < origin_time:
            if n_rows == rows.shape[0]:
                return m.ROWS_FULL, n_rows
            write_row(ladder, memory, rows, n_rows, False, True)
            rows[n_rows, m.ROW_ORIGIN] = state[m.STATE_NEXT_GRID]
            if state[m.STATE_NEXT_GRID] - state[m.STATE_LAST_ORIGIN] > memory.params[m.PARAM_SILENCE_NS]:
                rows[n_rows, m.ROW_FLAGS] |= _GAP  # a feed silent for so long may have lost messages
            n_rows += 1
            state[m.STATE_NEXT_GRID] += grid
    elif n_rows == rows.shape[0]:
        return m.ROWS_FULL, n_rows  # one free row is enough: without a grid a message gives one row at most
    while (
        state[m.STATE_NEXT_SNAPSHOT] < schedule.sequence.shape[0]
        and schedule.sequence[state[m.STATE_NEXT_SNAPSHOT]] < sequence
    ):
        if not has_room(ladder, schedule.ticks.shape[2]):
            return m.LEVELS_FULL, n_rows
        take_due_snapshot(ladder, memory, schedule)
    # Room for the message and for all snapshots right after it, which are merged before the loop can stop again.
    due = state[m.STATE_NEXT_SNAPSHOT]
    while due < schedule.sequence.shape[0] and schedule.sequence[due] == sequence:
        levels += schedule.ticks.shape[2]
        due += 1
    if not has_room(ladder, levels):
        return m.LEVELS_FULL, n_rows
    while (
        state[m.STATE_NEXT_EDGE] < schedule.edge_sequence.shape[0]
        and schedule.edge_sequence[state[m.STATE_NEXT_EDGE]] <= sequence
    ):
        state[m.STATE_FLAG_BITS] = schedule.edge_flag_bits[state[m.STATE_NEXT_EDGE]]
        state[m.STATE_NEXT_EDGE] += 1
        state[m.STATE_ROW_DUE] = 1
    if state[m.STATE_SEEDED] == 0 and state[m.STATE_WARMED_UP] == 0:
        if state[m.STATE_FIRST_ORIGIN] == m.NO_TIME:
            state[m.STATE_FIRST_ORIGIN] = origin_time
        # Every level near the price has been named by now, so the book may be used; still none of it is known.
        if origin_time - state[m.STATE_FIRST_ORIGIN] >= memory.params[m.PARAM_WARM_UP_NS]:
            state[m.STATE_WARMED_UP] = 1
            state[m.STATE_ROW_DUE] = 1
    return m.DONE, n_rows


@kernel(types.UniTuple(types.int64, 3)(
        LADDER, MEMORY, SCHEDULE, _I8_2, types.int64, types.uint64, types.int64,
        _I8, _I8_IN, _I8_IN, _I8_IN, _B1_IN, _I8_IN, _I8_IN, types.int64, types.int64,
    ))  # fmt: skip
def replay(  # type: ignore[no-untyped-def]
    ladder, memory, schedule, rows, n_rows, inverse, twos,
    starts, origin_time, received_time, sequence_number, is_bid, encoded_price, encoded_size, message, stop,
):  # fmt: skip
    """Apply whole messages to the book and append rows.

    All arrays are the caller's. The batch has been checked by `find_messages` and `find_bad_level`.

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
    cadence = memory.params[m.PARAM_CADENCE]
    last_level = visible_keys.shape[1] - 1
    slots = ladder.cells.shape[0] >> 2
    mask = slots - 1
    no_effect = 0
    status = m.DONE
    applied_from = message
    while message < stop:
        start, end = starts[message], starts[message + 1]
        sequence = sequence_number[start]
        status, n_rows = prepare_message(
            ladder, memory, schedule, rows, n_rows, sequence, origin_time[start], end - start
        )
        if status != m.DONE:
            break
        number = state[m.STATE_MESSAGES] + 1
        state[m.STATE_MESSAGES] = number
        state[m.STATE_LAST_SEQUENCE] = sequence
        state[m.STATE_LAST_ORIGIN] = origin_time[start]
        state[m.STATE_LAST_RECEIVED] = received_time[start]

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

        at = state[m.STATE_NEXT_SNAPSHOT]
        while at < schedule.sequence.shape[0] and schedule.sequence[at] == sequence:
            take_due_snapshot(ladder, memory, schedule)
            single_change = False
            at += 1
        if watch_crossed(ladder, memory):
            single_change = False
        if cadence == m.CADENCE_GRID:
            continue  # the marks are kept for the next row of the grid
        due = state[m.STATE_ROW_DUE] != 0 or cadence == m.CADENCE_MESSAGE
        due |= changed_from[0] <= visible_keys[0, last_level] and changed_from[0] != NO_KEY
        due |= changed_from[1] <= visible_keys[1, last_level] and changed_from[1] != NO_KEY
        if due:
            n_rows += write_row(ladder, memory, rows, n_rows, single_change, cadence == m.CADENCE_MESSAGE)
        # What changed beyond the visible levels needs no mark: it is looked up when it comes into view.
        changed_from[0] = NO_KEY
        changed_from[1] = NO_KEY
    if message > applied_from:
        memory.counts[m.COUNT_DELTAS] += starts[message] - starts[applied_from]
        memory.counts[m.COUNT_NO_EFFECT] += no_effect
    return status, message, n_rows


@kernel(types.UniTuple(types.int64, 2)(LADDER, MEMORY, SCHEDULE, _I8_2, types.int64, types.int64))
def replay_snapshots(ladder, memory, schedule, rows, n_rows, stop):  # type: ignore[no-untyped-def]
    """Give the rows of a book that is made of the schedule's first `stop` snapshots alone, each the whole book.

    The book is emptied before each snapshot, which then seeds it. A snapshot counts as one message of its number and
    times.

    Returns:
        Status, rows in use. After ROWS_FULL and LEVELS_FULL it is called again, as `replay` is.
    """
    state = memory.state
    cadence = memory.params[m.PARAM_CADENCE]
    while state[m.STATE_NEXT_SNAPSHOT] < stop:
        at = state[m.STATE_NEXT_SNAPSHOT]
        status, n_rows = prepare_message(
            ladder, memory, schedule, rows, n_rows, schedule.sequence[at], schedule.origin[at], 0
        )
        if status != m.DONE:
            return status, n_rows
        state[m.STATE_MESSAGES] += 1
        state[m.STATE_LAST_SEQUENCE] = schedule.sequence[at]
        state[m.STATE_LAST_ORIGIN] = schedule.origin[at]
        state[m.STATE_LAST_RECEIVED] = schedule.received[at]
        # Emptied by removals and not by zeroing the arrays: a snapshot has few levels, the window half a million slots.
        for s in range(2):
            while ladder.best[s] != NO_KEY:
                set_level(ladder, s, ladder.best[s], 0, 0)
                settle(ladder, s)
            ladder.known_until[s] = NOTHING_KNOWN
        state[m.STATE_SEEDED] = 0
        take_due_snapshot(ladder, memory, schedule)
        if cadence != m.CADENCE_GRID:
            n_rows += write_row(ladder, memory, rows, n_rows, False, cadence == m.CADENCE_MESSAGE)
    return m.DONE, n_rows


@kernel(types.int64(_I8_IN, types.int64[::1]))
def find_messages(sequence_number, starts):  # type: ignore[no-untyped-def]
    """Find the first row of each message, which is a run of equal sequence numbers; there is one row at least.

    `starts` int64[at least n + 1] is the caller's; written: the first row of each message, then n.

    Returns:
        Number of messages; or −1 − row of the first row whose sequence number is smaller than the one before it.
    """
    n = sequence_number.shape[0]
    messages = 0
    previous = sequence_number[0] - 1
    back = False
    for i in range(n):
        number = sequence_number[i]
        starts[messages] = i
        # The count goes up where this row starts a message; else the next row writes over what was just written.
        # Without a branch, messages of any length cost the same.
        messages += number != previous
        back |= number < previous
        previous = number
    if back:
        for i in range(1, n):
            if sequence_number[i] < sequence_number[i - 1]:
                return -1 - i
    starts[messages] = n
    return messages


@kernel(types.int64(_I8_IN, _I8_IN, types.uint64, types.int64, types.int64))
def find_bad_level(encoded_price, encoded_size, inverse, twos, largest_tick):  # type: ignore[no-untyped-def]
    """Find the first row whose price is not a positive multiple of the step, or too large, or whose size is negative.

    Prices and sizes are encoded, int64[n]; `inverse` and `twos` are `bits.divisor_inverse` of the step.

    Returns:
        The row, or −1 where there is none.
    """
    n = encoded_price.shape[0]
    bad = False
    for i in range(n):
        # A price that the step does not divide comes out negative or above the largest tick.
        tick = exact_quotient(encoded_price[i], inverse, twos)
        bad |= (tick < 1) | (tick > largest_tick) | (encoded_size[i] < 0)
    # Which row it was is asked only of a bad batch, so that the loop over good ones has no exit to be guessed.
    if bad:
        for i in range(n):
            tick = exact_quotient(encoded_price[i], inverse, twos)
            if tick < 1 or tick > largest_tick or encoded_size[i] < 0:
                return i
    return -1
