"""Playing the simulated market: events are gathered into messages, and messages written to the outputs.

The arrays are those of `market_arrays`.
"""

from __future__ import annotations

import numpy as np

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.simulation.market_arrays import (
    BOOK_EVERY_MS,
    BOOK_LEVELS,
    I8,
    I8_2,
    MAX_EVENTS,
    MAX_ROWS,
    MAX_SWEEP,
    MESSAGE_FINAL_ID,
    MESSAGE_FIRST_ID,
    MESSAGE_PREV_ID,
    MESSAGE_RECEIPT_NS,
    MESSAGE_ROW_STOP,
    MESSAGE_TIME_MS,
    MESSAGE_TRANSACTION_MS,
    PARAM_BEST_AGAIN,
    PARAM_BEST_FIRST,
    PARAM_BEST_START,
    PARAM_ID_STEP,
    PARAM_INSIDE,
    PARAM_MOVE_STEP,
    PARAM_RANK_KEEP,
    PARAM_RANK_RETURN,
    PARAM_SPELL_END,
    PARAM_TRANSACTION_LAG_MS,
    PARAM_TRIGGER,
    ROW_IS_BID,
    ROW_LOTS,
    ROW_TICK,
    STATE_BEST_BID,
    STATE_BOOK_MS,
    STATE_BOOKS,
    STATE_EVENT_MS,
    STATE_ID,
    STATE_MESSAGES,
    STATE_MOVE_SIDE,
    STATE_PREV_ID,
    STATE_RANK,
    STATE_RECEIPT_NS,
    STATE_ROWS,
    STATE_SPELL_RANK,
    STATE_TICKERS,
    STATE_TIME_MS,
    STATE_TOUCHED_ASKS,
    STATE_TOUCHED_BIDS,
    STATE_TRADES,
    STATE_WAS_BEST,
    TABLE_INSIDE,
    TABLE_INTERVAL_MS,
    TABLE_LATENCY_NS,
    TABLE_ROWS,
    U8,
    U8_2,
)
from order_book_platform.kernels.simulation.market_events import (
    deep_event,
    move_step,
    queue_event,
    start_move,
)
from order_book_platform.kernels.simulation.market_ladder import next_level, set_level
from order_book_platform.kernels.simulation.random_draws import (
    SHIFT_0,
    SHIFT_16,
    SHIFT_32,
    SHIFT_48,
    bits16,
    draw,
    next_random,
)

_ZERO = np.uint64(0)


@kernel(f"int64({I8}, {I8}, {U8})")
def next_rank(params, state, rng):  # type: ignore[no-untyped-def]
    """Choose how busy the next message is: like the last one, like the present spell, or independent of both.

    Each choice keeps ranks uniform, because steps are reflected at both ends. So the numbers of rows keep their
    distribution, while busy messages come in runs.

    Returns:
        Rank among all messages, 0 … 65535.
    """
    random = next_random(rng)
    rank = np.int64(random >> SHIFT_48)
    if bits16(next_random(rng), SHIFT_0) < params[PARAM_SPELL_END]:
        state[STATE_SPELL_RANK] = rank
    choice = bits16(random, SHIFT_0)
    if choice < params[PARAM_RANK_KEEP]:
        rank = state[STATE_RANK] + (bits16(random, SHIFT_16) >> 2) - 8192
    elif bits16(random, SHIFT_32) < params[PARAM_RANK_RETURN]:
        rank = state[STATE_SPELL_RANK] + (bits16(random, SHIFT_16) >> 1) - 16384
    # Reflected at 0 and 65535.
    rank = -1 - rank if rank < 0 else rank
    rank = 131071 - rank if rank > 65535 else rank
    state[STATE_RANK] = rank
    return rank


@kernel(f"int64({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, {I8_2}, {I8_2})")
def build_message(params, tables, state, rng, sizes, bits, touched, tickers, trades):  # type: ignore[no-untyped-def]
    """Play the events of one message until they have touched as many levels as it shall have rows.

    Returns:
        Update id of the first event.
    """
    rows = min(max(1, draw(tables, TABLE_ROWS, next_rank(params, state, rng))), MAX_ROWS)
    interval = max(1, draw(tables, TABLE_INTERVAL_MS, bits16(next_random(rng), SHIFT_0)))
    begin = max(state[STATE_EVENT_MS], state[STATE_TIME_MS] - params[PARAM_TRANSACTION_LAG_MS])
    # Events are spread evenly over the interval, in milliseconds with 20 binary places.
    pace = (interval << 20) // rows
    state[STATE_TIME_MS] += interval
    first_id = np.int64(0)
    events = 0
    touched_count = 0
    while touched_count < rows and events < MAX_EVENTS:
        random = next_random(rng)
        state[STATE_ID] += 1 + (bits16(random, SHIFT_0) * params[PARAM_ID_STEP] >> 16)
        first_id = state[STATE_ID] if events == 0 else first_id
        # Changes of best levels come in bursts within a millisecond, in which the time of events stands still.
        again = state[STATE_WAS_BEST] == 1 and bits16(random, SHIFT_16) < params[PARAM_BEST_AGAIN]
        if not again:
            state[STATE_EVENT_MS] = max(state[STATE_EVENT_MS], begin + (pace * touched_count >> 20))
        state[STATE_WAS_BEST] = 0
        if state[STATE_MOVE_SIDE] >= 0 and bits16(random, SHIFT_32) < params[PARAM_MOVE_STEP]:
            state[STATE_WAS_BEST] = 1
            move_step(params, tables, state, rng, sizes, bits, touched, tickers, trades)
        elif again or bits16(random, SHIFT_16) < params[PARAM_BEST_START]:
            state[STATE_WAS_BEST] = 1
            random = next_random(rng)
            if state[STATE_MOVE_SIDE] < 0 and bits16(random, SHIFT_0) < params[PARAM_TRIGGER]:
                start_move(params, tables, state, rng, sizes.shape[1])
                move_step(params, tables, state, rng, sizes, bits, touched, tickers, trades)
            else:
                queue_event(params, tables, state, rng, sizes, bits, touched, tickers, trades, random)
        elif bits16(random, SHIFT_48) < params[PARAM_INSIDE]:
            random = next_random(rng)
            side = np.int64(random >> SHIFT_48) & 1
            inside = state[STATE_BEST_BID + side] - max(
                1, draw(tables, TABLE_INSIDE, bits16(random, SHIFT_0))
            )
            if inside >= 0:  # an order that came and went within one message, better than the best price
                set_level(state, sizes, bits, touched, side, inside, 0)
        else:
            random = next_random(rng)
            deep_event(tables, state, rng, sizes, bits, touched, random)
        events += 1
        touched_count = state[STATE_TOUCHED_BIDS] + state[STATE_TOUCHED_ASKS]
    # A message has a row at least; one that repeats a best level changes nothing.
    if touched_count == 0:
        best = state[STATE_BEST_BID]
        set_level(state, sizes, bits, touched, 0, best, sizes[0, best])
    return first_id


@kernel("void(int64[:, ::1], int64, int64)")
def sort_coordinates(values, side, count):  # type: ignore[no-untyped-def]
    """Sort the first `count` values of a row of int64[2, m] in place, ascending; a shell sort of a few dozen values."""
    gap = 1
    while gap < count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, count):
            value = values[side, i]
            j = i
            while j >= gap and values[side, j - gap] > value:
                values[side, j] = values[side, j - gap]
                j -= gap
            values[side, j] = value
        gap //= 3


@kernel(f"void({I8}, {I8}, {I8_2}, {U8_2}, {I8_2}, {I8_2})")
def emit_rows(params, state, sizes, bits, touched, rows):  # type: ignore[no-untyped-def]
    """Append the touched levels with their sizes to `rows`, bids before asks, and forget that they were touched."""
    ticks = sizes.shape[1]
    n = state[STATE_ROWS]
    for side in range(2):
        count = state[STATE_TOUCHED_BIDS + side]
        sort_coordinates(touched, side, count)
        backwards = side == 0 and params[PARAM_BEST_FIRST] == 0
        for i in range(count):
            coordinate = touched[side, count - 1 - i if backwards else i]
            # The whole word: its other touched levels are in the list, too.
            bits[2 + side, coordinate >> 6] = _ZERO
            rows[ROW_IS_BID, n] = 1 - side
            rows[ROW_TICK, n] = coordinate if side else ticks - 1 - coordinate
            rows[ROW_LOTS, n] = sizes[side, coordinate]
            n += 1
        state[STATE_TOUCHED_BIDS + side] = 0
    state[STATE_ROWS] = n


@kernel(f"void({I8}, {I8_2}, {U8_2}, int64, {I8_2})")
def emit_book(state, sizes, bits, message, books):  # type: ignore[no-untyped-def]
    """Append the best levels of both sides to `books`, as of the message of that index."""
    ticks = sizes.shape[1]
    n = state[STATE_BOOKS]
    books[n, 0] = message
    for side in range(2):
        coordinate = state[STATE_BEST_BID + side]
        for level in range(BOOK_LEVELS):
            cell = 1 + 2 * (side * BOOK_LEVELS + level)
            if coordinate < 0:
                books[n, cell] = -1
                books[n, cell + 1] = 0
                continue
            books[n, cell] = coordinate if side else ticks - 1 - coordinate
            books[n, cell + 1] = sizes[side, coordinate]
            coordinate = next_level(bits, side, coordinate + 1, ticks - 1)
    state[STATE_BOOKS] = n + 1


@kernel(
    f"int64({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, int64, {I8_2}, {I8_2}, {I8_2}, {I8_2}, {I8_2})"
)
def run_market(  # type: ignore[no-untyped-def]
    params,
    tables,
    state,
    rng,
    sizes,
    bits,
    touched,
    max_messages,
    messages,
    rows,
    tickers,
    trades,
    books,
):
    """Play messages until `max_messages` are done or an output is too full for the largest possible one.

    Args:
        params: int64[PARAMS].
        tables: int64[TABLES + n, TABLE_COLUMNS].
        state: int64[STATE_FIELDS]; carries the market from call to call, and the fill of the outputs, which starts at 0
            in each call.
        rng: uint64[1]; changed.
        sizes: int64[2, ticks], lots; changed.
        bits: uint64[4, ticks/64]; changed; rows 2 and 3 are zeros between messages.
        touched: int64[2, 2·MAX_ROWS], workspace.
        max_messages: how many to play at most.
        messages: int64[MESSAGE_COLUMNS, at least 1], written from 0 on, as the outputs that follow.
        rows: int64[ROW_COLUMNS, at least 2·MAX_ROWS].
        tickers: int64[TICKER_COLUMNS, at least MAX_EVENTS].
        trades: int64[TRADE_COLUMNS, at least MAX_EVENTS·MAX_SWEEP].
        books: int64[at least 1, BOOK_COLUMNS].

    Returns:
        Messages played; `state` holds how much of each output is filled.
    """
    state[STATE_ROWS] = state[STATE_TICKERS] = state[STATE_TRADES] = state[STATE_BOOKS] = 0
    done = 0
    while (
        done < max_messages
        and done < messages.shape[1]
        and state[STATE_ROWS] + 2 * MAX_ROWS <= rows.shape[1]
        and state[STATE_TICKERS] + MAX_EVENTS <= tickers.shape[1]
        and state[STATE_TRADES] + MAX_EVENTS * MAX_SWEEP <= trades.shape[1]
        and state[STATE_BOOKS] < books.shape[0]
    ):
        # The conditions above leave room for the largest message, so nothing below has to look at the space left.
        first_id = build_message(params, tables, state, rng, sizes, bits, touched, tickers, trades)
        emit_rows(params, state, sizes, bits, touched, rows)
        received = state[STATE_TIME_MS] * 1_000_000 + draw(
            tables, TABLE_LATENCY_NS, bits16(next_random(rng), SHIFT_0)
        )
        state[STATE_RECEIPT_NS] = max(received, state[STATE_RECEIPT_NS] + 100)
        messages[MESSAGE_TIME_MS, done] = state[STATE_TIME_MS]
        messages[MESSAGE_TRANSACTION_MS, done] = state[STATE_EVENT_MS]
        messages[MESSAGE_RECEIPT_NS, done] = state[STATE_RECEIPT_NS]
        messages[MESSAGE_FIRST_ID, done] = first_id
        messages[MESSAGE_FINAL_ID, done] = state[STATE_ID]
        messages[MESSAGE_PREV_ID, done] = state[STATE_PREV_ID]
        messages[MESSAGE_ROW_STOP, done] = state[STATE_ROWS]
        state[STATE_PREV_ID] = state[STATE_ID]
        state[STATE_MESSAGES] += 1
        if state[STATE_TIME_MS] - state[STATE_BOOK_MS] >= BOOK_EVERY_MS:
            state[STATE_BOOK_MS] = state[STATE_TIME_MS]
            emit_book(state, sizes, bits, done, books)
        done += 1
    return done
