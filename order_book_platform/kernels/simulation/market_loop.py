"""The simulated market: random draws, levels, events, and messages that gather events and are written to the outputs.

The arrays are those of `market_arrays`. A random number is drawn whole, and its four sixteen-bit parts decide an event.
"""

from __future__ import annotations

import numpy as np

from order_book_platform.kernels.book.bits import lowest_bit
from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.simulation import market_arrays as m
from order_book_platform.kernels.simulation.market_arrays import I8, I8_2, U8, U8_2

SHIFT_0, SHIFT_16, SHIFT_32, SHIFT_48 = (np.uint64(n) for n in (0, 16, 32, 48))
"""Where the four independent numbers of sixteen bits begin that one random number gives; see `bits16`."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U27, _U30, _U31 = (np.uint64(n) for n in (27, 30, 31))
_LOW_16 = np.uint64(0xFFFF)
_KNOT_SHIFT = 9
_KNOT_MASK = 511
"""A probability in 1/65536 is a knot in its upper 7 bits and a place between two knots in its lower 9."""


@kernel(f"uint64({U8})")
def next_random(rng):  # type: ignore[no-untyped-def]
    """Give 64 random bits by splitmix64, whose multiplications wrap around on purpose; `rng` uint64[1] is its state.

    Source:
        Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    rng[0] += _GOLDEN
    mixed = rng[0]
    mixed = (mixed ^ (mixed >> _U30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _U27)) * _MIX_2
    return mixed ^ (mixed >> _U31)


@kernel("int64(uint64, uint64)")
def bits16(word, shift):  # type: ignore[no-untyped-def]
    """Give sixteen of 64 bits, from bit `shift` on, as an int64 in 0 … 65535."""
    return np.int64((word >> shift) & _LOW_16)


@kernel("int64(int64[:, ::1], int64, int64)")
def draw(tables, table, u16):  # type: ignore[no-untyped-def]
    """Give the value of row `table` of `tables` at a probability of `u16`/65536, linear between two knots."""
    index = u16 >> _KNOT_SHIFT
    low = tables[table, index]
    return low + (((tables[table, index + 1] - low) * (u16 & _KNOT_MASK)) >> _KNOT_SHIFT)


_ZERO, _ONE = np.uint64(0), np.uint64(1)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel("int64(uint64[:, ::1], int64, int64, int64)")
def next_level(bits, side, start, stop):  # type: ignore[no-untyped-def]
    """Give the first occupied coordinate of a side in `start` … `stop`, both included, or −1 where there is none.

    `start` is at least 0, `stop` may lie beyond the ladder. The search goes word by word; there is no summary of the
    words as `book.ladder` has one.
    """
    stop = min(stop, bits.shape[1] * 64 - 1)
    if start > stop:
        return -1
    index = start >> 6
    word = bits[side, index] & (_ALL << np.uint64(start & 63))
    while word == _ZERO:
        index += 1
        if index << 6 > stop:
            return -1
        word = bits[side, index]
    found = (index << 6) + lowest_bit(word)
    return found if found <= stop else -1


@kernel(f"void({I8}, {I8_2}, {U8_2}, {I8_2}, int64, int64, int64)")
def set_level(state, sizes, bits, touched, side, coordinate, lots):  # type: ignore[no-untyped-def]
    """Set the size in lots of one level (0 removes it), and remember that the present message has touched it."""
    bit = _ONE << np.uint64(coordinate & 63)
    sizes[side, coordinate] = lots
    if lots > 0:
        bits[side, coordinate >> 6] |= bit
    else:
        bits[side, coordinate >> 6] &= ~bit
    # A level is listed once a message, however often it changes: the message shows its last size.
    if bits[2 + side, coordinate >> 6] & bit == _ZERO:
        bits[2 + side, coordinate >> 6] |= bit
        touched[side, state[m.STATE_TOUCHED_BIDS + side]] = coordinate
        state[m.STATE_TOUCHED_BIDS + side] += 1


@kernel(f"int64({I8}, {I8_2}, {U8}, int64, int64)")
def receive(state, tables, rng, sent, received):  # type: ignore[no-untyped-def]
    """Draw the time of arrival, ns, of what was sent at `state[sent]`, ms; `state[received]` is the last one."""
    latency = draw(tables, m.TABLE_LATENCY_NS, bits16(next_random(rng), SHIFT_0))
    # Latencies are drawn one by one, but a stream arrives in order.
    state[received] = max(state[sent] * 1_000_000 + latency, state[received] + 100)
    return state[received]


@kernel(f"void({I8}, {I8_2}, {U8}, {I8_2}, {I8_2})")
def record_ticker(state, tables, rng, sizes, tickers):  # type: ignore[no-untyped-def]
    """Append the best bid and ask as they are now to `tickers`."""
    n = state[m.STATE_TICKERS]
    received = receive(state, tables, rng, m.STATE_EVENT_MS, m.STATE_TICKER_RECEIPT_NS)
    tickers[m.TICKER_TIME_MS, n] = state[m.STATE_EVENT_MS]
    tickers[m.TICKER_RECEIPT_NS, n] = received
    tickers[m.TICKER_ID, n] = state[m.STATE_ID]
    tickers[m.TICKER_BID_TICK, n] = sizes.shape[1] - 1 - state[m.STATE_BEST_BID]
    tickers[m.TICKER_BID_LOTS, n] = sizes[0, state[m.STATE_BEST_BID]]
    tickers[m.TICKER_ASK_TICK, n] = state[m.STATE_BEST_ASK]
    tickers[m.TICKER_ASK_LOTS, n] = sizes[1, state[m.STATE_BEST_ASK]]
    state[m.STATE_TICKERS] = n + 1


@kernel(f"void({I8}, {I8_2}, {U8}, int64, int64, int64, {I8_2})")
def record_trade(state, tables, rng, side, tick, lots, trades):  # type: ignore[no-untyped-def]
    """Append a trade against `side` to `trades`: an aggressor that buys takes asks, which are side 1."""
    n = state[m.STATE_TRADES]
    received = receive(state, tables, rng, m.STATE_EVENT_MS, m.STATE_TRADE_RECEIPT_NS)
    state[m.STATE_TRADE_ID] += 1
    trades[m.TRADE_TIME_MS, n] = state[m.STATE_EVENT_MS]
    trades[m.TRADE_RECEIPT_NS, n] = received
    trades[m.TRADE_ID, n] = state[m.STATE_TRADE_ID]
    trades[m.TRADE_IS_BUY, n] = side
    trades[m.TRADE_TICK, n] = tick
    trades[m.TRADE_LOTS, n] = lots
    state[m.STATE_TRADES] = n + 1


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2})")
def fill_book(params, tables, state, rng, sizes, bits):  # type: ignore[no-untyped-def]
    """Put the first book on empty ladders: sizes, occupied bits, best coordinates and target sizes.

    The spread is one tick; each other tick is occupied with the probability of its bucket.
    """
    ticks = sizes.shape[1]
    state[m.STATE_BEST_ASK] = params[m.PARAM_START_TICK]
    state[m.STATE_BEST_BID] = ticks - params[m.PARAM_START_TICK]
    for side in range(2):
        best = state[m.STATE_BEST_BID + side]
        random = next_random(rng)
        sizes[side, best] = max(1, draw(tables, m.TABLE_BEST_SIZE, bits16(random, SHIFT_0)))
        state[m.STATE_TARGET_BID + side] = max(1, draw(tables, m.TABLE_BEST_SIZE, bits16(random, SHIFT_16)))
        bits[side, best >> 6] |= _ONE << np.uint64(best & 63)
        # The buckets follow one another outwards; the last one may end beyond the ladder.
        coordinate = best
        for k in range(tables.shape[0] - m.TABLES):
            stop = min(best + tables[m.TABLES + k, m.BUCKET_UPPER], ticks - 1)
            while coordinate + 1 < stop:
                coordinate += 1
                random = next_random(rng)
                if bits16(random, SHIFT_0) < tables[m.TABLES + k, m.BUCKET_DENSITY]:
                    sizes[side, coordinate] = max(1, draw(tables, m.TABLES + k, bits16(random, SHIFT_16)))
                    bits[side, coordinate >> 6] |= _ONE << np.uint64(coordinate & 63)


@kernel(f"void({I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, uint64)")
def deep_event(tables, state, rng, sizes, bits, touched, random):  # type: ignore[no-untyped-def]
    """Play one change away from the best price: a level is added, resized, removed, or reported unchanged.

    A change looks for a level to meet within the bucket's reach before it adds one, so that the density of levels stays
    what was measured, however long the market runs.
    """
    side = np.int64(random >> SHIFT_48) & 1
    distance = draw(tables, m.TABLE_DISTANCE, bits16(random, SHIFT_0))
    coordinate = state[m.STATE_BEST_BID + side] + max(1, distance)
    if coordinate >= sizes.shape[1]:
        return
    k = 0
    while distance >= tables[m.TABLES + k, m.BUCKET_UPPER] and m.TABLES + k < tables.shape[0] - 1:
        k += 1
    choice = bits16(random, SHIFT_16)
    if choice < tables[m.TABLES + k, m.BUCKET_ABSENT]:
        if sizes[side, coordinate] == 0:  # came and went within one message: a removal of what nobody saw
            set_level(state, sizes, bits, touched, side, coordinate, 0)
        return
    # The change meets the next level outwards within reach; where there is none, it adds one.
    found = next_level(bits, side, coordinate, coordinate + tables[m.TABLES + k, m.BUCKET_REACH])
    if found < 0:
        lots = max(1, draw(tables, m.TABLES + k, bits16(random, SHIFT_32)))
        set_level(state, sizes, bits, touched, side, coordinate, lots)
        return
    lots = sizes[side, found]
    if choice >= tables[m.TABLES + k, m.BUCKET_ABSENT] + tables[m.TABLES + k, m.BUCKET_SAME]:
        if bits16(next_random(rng), SHIFT_0) < tables[m.TABLES + k, m.BUCKET_DELETE]:
            lots = 0
        else:
            drawn = max(1, draw(tables, m.TABLES + k, bits16(random, SHIFT_32)))
            lots = drawn if drawn != lots else lots + 1  # a change never repeats the size
    set_level(state, sizes, bits, touched, side, found, lots)


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, {I8_2}, {I8_2})")
def move_step(params, tables, state, rng, sizes, bits, touched, tickers, trades):  # type: ignore[no-untyped-def]
    """Play one step of a price move: take the attacked side's best levels, or let the other side follow.

    The attacked side goes first until it has reached its goal, so the spread opens and then closes again, and the sides
    never cross.
    """
    ticks = sizes.shape[1]
    side = state[m.STATE_MOVE_SIDE]
    best = state[m.STATE_BEST_BID + side]
    random = next_random(rng)
    if best < state[m.STATE_MOVE_TO]:
        aggressive = bits16(random, SHIFT_0) < params[m.PARAM_AGGRESSIVE]
        for swept in range(m.MAX_SWEEP):
            if swept > 0 and (
                best >= state[m.STATE_MOVE_TO] or bits16(next_random(rng), SHIFT_0) >= params[m.PARAM_SWEEP]
            ):
                break
            if aggressive:
                lots = min(sizes[side, best], max(1, draw(tables, m.TABLE_TRADE, bits16(random, SHIFT_16))))
                record_trade(state, tables, rng, side, best if side else ticks - 1 - best, lots, trades)
            set_level(state, sizes, bits, touched, side, best, 0)
            best = next_level(bits, side, best + 1, state[m.STATE_MOVE_TO])
            best = state[m.STATE_MOVE_TO] if best < 0 else best
        lots = max(1, draw(tables, m.TABLE_BEST_SIZE, bits16(random, SHIFT_32)))
        if best < state[m.STATE_MOVE_TO]:  # large orders on the way are pulled before they are reached
            lots = min(lots, sizes[side, best])
        set_level(state, sizes, bits, touched, side, best, lots)
        state[m.STATE_BEST_BID + side] = best
        state[m.STATE_TARGET_BID + side] = max(1, draw(tables, m.TABLE_BEST_SIZE, bits16(random, SHIFT_48)))
    else:
        other = 1 - side
        old = state[m.STATE_BEST_BID + other]
        # The coordinate that faces the attacked side's new best level at one tick; half the way is rounded up, so it
        # ends.
        goal = ticks - best
        new = goal if bits16(random, SHIFT_0) < params[m.PARAM_DIRECT] else old - ((old - goal + 1) >> 1)
        lots = max(1, draw(tables, m.TABLE_BEST_SIZE, bits16(random, SHIFT_16)))
        set_level(state, sizes, bits, touched, other, new, lots)
        left = draw(tables, m.TABLES, bits16(random, SHIFT_32)) if bits16(random, SHIFT_48) & 1 else 0
        set_level(state, sizes, bits, touched, other, old, left)  # its owners moved along
        state[m.STATE_BEST_BID + other] = new
        state[m.STATE_TARGET_BID + other] = max(1, draw(tables, m.TABLE_BEST_SIZE, bits16(random, SHIFT_48)))
        if new == goal:
            state[m.STATE_MOVE_SIDE] = -1
    record_ticker(state, tables, rng, sizes, tickers)


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, int64)")
def start_move(params, tables, state, rng, ticks):  # type: ignore[no-untyped-def]
    """Choose where the price goes next: the side that is attacked, and the coordinate its best level shall reach."""
    random = next_random(rng)
    side = state[m.STATE_LAST_SIDE]
    if bits16(random, SHIFT_0) >= params[m.PARAM_MOMENTUM]:
        side = 1 - side
    away = state[m.STATE_BEST_ASK] - params[m.PARAM_START_TICK]
    home = 0 if away > 0 else 1
    share = min(65535, abs(away) * 65536 // params[m.PARAM_ROAM_TICKS])
    if bits16(random, SHIFT_16) < (share * share) >> 16 or abs(away) >= params[m.PARAM_ROAM_TICKS]:
        side = home  # keeps the price on the ladder; the pull grows with the square of the distance
    state[m.STATE_LAST_SIDE] = side
    state[m.STATE_MOVE_SIDE] = side
    state[m.STATE_MOVE_TO] = state[m.STATE_BEST_BID + side] + max(
        1, draw(tables, m.TABLE_JUMP, bits16(random, SHIFT_32))
    )


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, {I8_2}, {I8_2}, uint64)")
def queue_event(params, tables, state, rng, sizes, bits, touched, tickers, trades, random):  # type: ignore[no-untyped-def]
    """Play one change of a best level's size: a trade, or orders that come and go around its target size."""
    side = np.int64(random >> SHIFT_48) & 1
    trades_now = bits16(random, SHIFT_16) < params[m.PARAM_TRADE]
    if trades_now:  # aggressors push where the price went last, and often goes next
        side = (
            state[m.STATE_LAST_SIDE]
            if bits16(next_random(rng), SHIFT_0) < params[m.PARAM_MOMENTUM]
            else 1 - state[m.STATE_LAST_SIDE]
        )
    best = state[m.STATE_BEST_BID + side]
    lots = sizes[side, best]
    if trades_now:
        # One lot stays: a best level is taken by moves alone, which the profile counts.
        amount = min(lots - 1, max(1, draw(tables, m.TABLE_TRADE, bits16(random, SHIFT_32))))
        if amount == 0:
            return
        record_trade(state, tables, rng, side, best if side else sizes.shape[1] - 1 - best, amount, trades)
        left = lots - amount
    else:
        change = max(1, draw(tables, m.TABLE_QUEUE_CHANGE, bits16(random, SHIFT_32)))
        target = state[m.STATE_TARGET_BID + side]
        # Sizes return to their target: the larger the level is, the likelier it shrinks.
        grows = np.int64(next_random(rng) >> SHIFT_32) % (target + lots) < target
        left = lots + change if grows else max(1, lots - change)
    if left != lots:
        set_level(state, sizes, bits, touched, side, best, left)
        record_ticker(state, tables, rng, sizes, tickers)


@kernel(f"int64({I8}, {I8}, {U8})")
def next_rank(params, state, rng):  # type: ignore[no-untyped-def]
    """Choose how busy the next message is, 0 … 65535: like the last one, like its spell, or independent of both.

    Each choice keeps ranks uniform, because steps are reflected at both ends. So the numbers of rows keep their
    distribution, while busy messages come in runs.
    """
    random = next_random(rng)
    rank = np.int64(random >> SHIFT_48)
    if bits16(next_random(rng), SHIFT_0) < params[m.PARAM_SPELL_END]:
        state[m.STATE_SPELL_RANK] = rank
    choice = bits16(random, SHIFT_0)
    if choice < params[m.PARAM_RANK_KEEP]:
        rank = state[m.STATE_RANK] + (bits16(random, SHIFT_16) >> 2) - 8192
    elif bits16(random, SHIFT_32) < params[m.PARAM_RANK_RETURN]:
        rank = state[m.STATE_SPELL_RANK] + (bits16(random, SHIFT_16) >> 1) - 16384
    # Reflected at 0 and 65535.
    rank = -1 - rank if rank < 0 else rank
    rank = 131071 - rank if rank > 65535 else rank
    state[m.STATE_RANK] = rank
    return rank


@kernel(f"int64({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, {I8_2}, {I8_2})")
def build_message(params, tables, state, rng, sizes, bits, touched, tickers, trades):  # type: ignore[no-untyped-def]
    """Play events until they have touched as many levels as the message has rows; give the first update id."""
    rows = min(max(1, draw(tables, m.TABLE_ROWS, next_rank(params, state, rng))), m.MAX_ROWS)
    interval = max(1, draw(tables, m.TABLE_INTERVAL_MS, bits16(next_random(rng), SHIFT_0)))
    begin = max(state[m.STATE_EVENT_MS], state[m.STATE_TIME_MS] - params[m.PARAM_TRANSACTION_LAG_MS])
    # Events are spread evenly over the interval, in milliseconds with 20 binary places.
    pace = (interval << 20) // rows
    state[m.STATE_TIME_MS] += interval
    first_id = np.int64(0)
    events = 0
    touched_count = 0
    while touched_count < rows and events < m.MAX_EVENTS:
        random = next_random(rng)
        state[m.STATE_ID] += 1 + (bits16(random, SHIFT_0) * params[m.PARAM_ID_STEP] >> 16)
        first_id = state[m.STATE_ID] if events == 0 else first_id
        # Changes of best levels come in bursts within a millisecond, in which the time of events stands still.
        again = state[m.STATE_WAS_BEST] == 1 and bits16(random, SHIFT_16) < params[m.PARAM_BEST_AGAIN]
        if not again:
            state[m.STATE_EVENT_MS] = max(state[m.STATE_EVENT_MS], begin + (pace * touched_count >> 20))
        state[m.STATE_WAS_BEST] = 0
        if state[m.STATE_MOVE_SIDE] >= 0 and bits16(random, SHIFT_32) < params[m.PARAM_MOVE_STEP]:
            state[m.STATE_WAS_BEST] = 1
            move_step(params, tables, state, rng, sizes, bits, touched, tickers, trades)
        elif again or bits16(random, SHIFT_16) < params[m.PARAM_BEST_START]:
            state[m.STATE_WAS_BEST] = 1
            random = next_random(rng)
            if state[m.STATE_MOVE_SIDE] < 0 and bits16(random, SHIFT_0) < params[m.PARAM_TRIGGER]:
                start_move(params, tables, state, rng, sizes.shape[1])
                move_step(params, tables, state, rng, sizes, bits, touched, tickers, trades)
            else:
                queue_event(params, tables, state, rng, sizes, bits, touched, tickers, trades, random)
        elif bits16(random, SHIFT_48) < params[m.PARAM_INSIDE]:
            random = next_random(rng)
            side = np.int64(random >> SHIFT_48) & 1
            inside = state[m.STATE_BEST_BID + side] - max(
                1, draw(tables, m.TABLE_INSIDE, bits16(random, SHIFT_0))
            )
            if inside >= 0:  # an order that came and went within one message, better than the best price
                set_level(state, sizes, bits, touched, side, inside, 0)
        else:
            random = next_random(rng)
            deep_event(tables, state, rng, sizes, bits, touched, random)
        events += 1
        touched_count = state[m.STATE_TOUCHED_BIDS] + state[m.STATE_TOUCHED_ASKS]
    # A message has a row at least; one that repeats a best level changes nothing.
    if touched_count == 0:
        best = state[m.STATE_BEST_BID]
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
    n = state[m.STATE_ROWS]
    for side in range(2):
        count = state[m.STATE_TOUCHED_BIDS + side]
        sort_coordinates(touched, side, count)
        backwards = side == 0 and params[m.PARAM_BEST_FIRST] == 0
        for i in range(count):
            coordinate = touched[side, count - 1 - i if backwards else i]
            # The whole word: its other touched levels are in the list, too.
            bits[2 + side, coordinate >> 6] = _ZERO
            rows[m.ROW_IS_BID, n] = 1 - side
            rows[m.ROW_TICK, n] = coordinate if side else ticks - 1 - coordinate
            rows[m.ROW_LOTS, n] = sizes[side, coordinate]
            n += 1
        state[m.STATE_TOUCHED_BIDS + side] = 0
    state[m.STATE_ROWS] = n


@kernel(f"void({I8}, {I8_2}, {U8_2}, int64, {I8_2})")
def emit_book(state, sizes, bits, message, books):  # type: ignore[no-untyped-def]
    """Append the best levels of both sides to `books`, as of the message of that index."""
    ticks = sizes.shape[1]
    n = state[m.STATE_BOOKS]
    books[n, 0] = message
    for side in range(2):
        coordinate = state[m.STATE_BEST_BID + side]
        for level in range(m.BOOK_LEVELS):
            cell = 1 + 2 * (side * m.BOOK_LEVELS + level)
            if coordinate < 0:
                books[n, cell] = -1
                books[n, cell + 1] = 0
                continue
            books[n, cell] = coordinate if side else ticks - 1 - coordinate
            books[n, cell + 1] = sizes[side, coordinate]
            coordinate = next_level(bits, side, coordinate + 1, ticks - 1)
    state[m.STATE_BOOKS] = n + 1


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
        params, tables, sizes, bits, touched: the market, see `market_arrays`; the last three are changed.
        state: int64[STATE_FIELDS]; carries the market from call to call, and the fill of the outputs, which starts at 0
            in each call.
        rng: uint64[1]; changed.
        max_messages: how many to play at most.
        messages: int64[MESSAGE_COLUMNS, at least 1], written from 0 on, as the outputs that follow.
        rows: int64[ROW_COLUMNS, at least 2·MAX_ROWS].
        tickers: int64[TICKER_COLUMNS, at least MAX_EVENTS].
        trades: int64[TRADE_COLUMNS, at least MAX_EVENTS·MAX_SWEEP].
        books: int64[at least 1, BOOK_COLUMNS].

    Returns:
        Messages played.
    """
    state[m.STATE_ROWS] = state[m.STATE_TICKERS] = state[m.STATE_TRADES] = state[m.STATE_BOOKS] = 0
    done = 0
    while (
        done < max_messages
        and done < messages.shape[1]
        and state[m.STATE_ROWS] + 2 * m.MAX_ROWS <= rows.shape[1]
        and state[m.STATE_TICKERS] + m.MAX_EVENTS <= tickers.shape[1]
        and state[m.STATE_TRADES] + m.MAX_EVENTS * m.MAX_SWEEP <= trades.shape[1]
        and state[m.STATE_BOOKS] < books.shape[0]
    ):
        # The conditions above leave room for the largest message, so nothing below has to look at the space left.
        first_id = build_message(params, tables, state, rng, sizes, bits, touched, tickers, trades)
        emit_rows(params, state, sizes, bits, touched, rows)
        received = receive(state, tables, rng, m.STATE_TIME_MS, m.STATE_RECEIPT_NS)
        messages[m.MESSAGE_TIME_MS, done] = state[m.STATE_TIME_MS]
        messages[m.MESSAGE_TRANSACTION_MS, done] = state[m.STATE_EVENT_MS]
        messages[m.MESSAGE_RECEIPT_NS, done] = received
        messages[m.MESSAGE_FIRST_ID, done] = first_id
        messages[m.MESSAGE_FINAL_ID, done] = state[m.STATE_ID]
        messages[m.MESSAGE_PREV_ID, done] = state[m.STATE_PREV_ID]
        messages[m.MESSAGE_ROW_STOP, done] = state[m.STATE_ROWS]
        state[m.STATE_PREV_ID] = state[m.STATE_ID]
        state[m.STATE_MESSAGES] += 1
        if state[m.STATE_TIME_MS] - state[m.STATE_BOOK_MS] >= m.BOOK_EVERY_MS:
            state[m.STATE_BOOK_MS] = state[m.STATE_TIME_MS]
            emit_book(state, sizes, bits, done, books)
        done += 1
    return done
