"""The simulated market: order flow on two dense ladders of integer ticks, message by message.

Everything is integer arithmetic on inverse distribution tables and a splitmix64 generator, so equal input gives equal
output on every machine. A market lives in int64 and uint64 arrays that `simulate.market` allocates and names:

- A side is 0 (bid) or 1 (ask). Inside, a level has a *coordinate* that grows away from the market on both sides:
  `tick` for asks, `ticks - 1 - tick` for bids. The best level of a side is its lowest occupied coordinate, and the
  spread is one tick exactly when `best[0] + best[1] == ticks`.
- `sizes` int64[2, ticks] in lots; `bits` uint64[4, ticks/64], one bit a level: rows 0 and 1 the occupied ones, rows 2
  and 3 those changed by the message being built, which `touched` int64[2, …] lists.
- A table is `KNOTS` quantiles at equal probability steps; a draw interpolates between two of them. `tables` holds one
  a row; below them stand the distance buckets, sizes first, then what happens there.

Arrays travel whole, without views, and few of them: counting references took a third of the time. All of it is in one
file because numba's cache only notices changes of the file a function is in.
"""

from __future__ import annotations

import numpy as np

from order_book_platform.kernels.compiled import kernel

KNOTS = 129
_SHIFT = 9
_MASK = 511

MAX_EVENTS = 4096
"""Events a message may have; each adds at most one ticker row and `MAX_SWEEP` trades."""
MAX_SWEEP = 8
"""Levels that one event of a price move may take at most."""
MAX_ROWS = 2048
"""Rows a message may have before its last event, which touches at most `MAX_SWEEP` + 1 more levels."""
BOOK_LEVELS = 20
BOOK_EVERY_MS = 100

# state int64[STATE_FIELDS]: the book and where the price is going, activity, clocks and ids, how full the outputs are
S_BEST_BID, S_BEST_ASK, S_TARGET_BID, S_TARGET_ASK, S_MOVE_SIDE, S_MOVE_TO, S_LAST_SIDE = range(7)
S_RANK, S_SPELL_RANK, S_WAS_BEST, S_TOUCHED_BIDS, S_TOUCHED_ASKS = range(7, 12)
S_TIME_MS, S_EVENT_MS, S_BOOK_MS, S_RECEIPT_NS, S_TICKER_RECEIPT_NS, S_TRADE_RECEIPT_NS = range(12, 18)
S_ID, S_PREV_ID, S_TRADE_ID = range(18, 21)
S_MESSAGES, S_ROWS, S_TICKERS, S_TRADES, S_BOOKS, STATE_FIELDS = range(21, 27)

# law int64[LAW_FIELDS]; probabilities in 1/65536
L_START_TICK, L_ROAM_TICKS, L_BEST_FIRST, L_TRANSACTION_LAG_MS, L_ID_STEP = range(5)
L_BEST_AGAIN, L_BEST_START, L_INSIDE, L_MOVE_STEP, L_TRIGGER, L_TRADE = range(5, 11)
L_MOMENTUM, L_AGGRESSIVE, L_SWEEP, L_DIRECT = range(11, 15)
L_RANK_KEEP, L_RANK_RETURN, L_SPELL_END, LAW_FIELDS = range(15, 19)

# tables int64[TABLES + n, TABLE_COLUMNS], n buckets
(
    T_INTERVAL_MS,
    T_ROWS,
    T_DISTANCE,
    T_INSIDE,
    T_JUMP,
    T_QUEUE_CHANGE,
    T_BEST_SIZE,
    T_TRADE,
    T_LATENCY_NS,
    TABLES,
) = range(10)

# columns of a bucket's row, after its sizes: what happens at a distance from the best price below `upper`
B_UPPER, B_DENSITY, B_ABSENT, B_SAME, B_DELETE, B_REACH, TABLE_COLUMNS = range(KNOTS, KNOTS + 7)

# columns of the outputs int64[columns, capacity]
M_TIME_MS, M_TRANSACTION_MS, M_RECEIPT_NS, M_FIRST_ID, M_FINAL_ID, M_PREV_ID, M_ROW_STOP, MESSAGE_COLUMNS = (
    range(8)
)
R_IS_BID, R_TICK, R_LOTS, ROW_COLUMNS = range(4)
K_TIME_MS, K_RECEIPT_NS, K_ID, K_BID_TICK, K_BID_LOTS, K_ASK_TICK, K_ASK_LOTS, TICKER_COLUMNS = range(8)
D_TIME_MS, D_RECEIPT_NS, D_ID, D_IS_BUY, D_TICK, D_LOTS, TRADE_COLUMNS = range(7)
BOOK_COLUMNS = 1 + 4 * BOOK_LEVELS
"""A book row: the message's index in this call, then tick and lots of bid 0 … 19 and ask 0 … 19; tick -1: no level."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_U0, _U1, _U16, _U27, _U30, _U31, _U32, _U48 = (np.uint64(n) for n in (0, 1, 16, 27, 30, 31, 32, 48))
_U16_MASK = np.uint64(0xFFFF)
_ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_LOW_32 = np.uint64(0xFFFFFFFF)
_LOW_8 = np.uint64(0xFF)
_LOW_4 = np.uint64(0xF)
_LOW_2 = np.uint64(0x3)
_U8, _U4, _U2 = np.uint64(8), np.uint64(4), np.uint64(2)

_STATE, _LAW, _TABLES, _BITS, _RNG = (
    "int64[::1]",
    "int64[::1]",
    "int64[:, ::1]",
    "uint64[:, ::1]",
    "uint64[::1]",
)
_GRID = "int64[:, ::1]"


@kernel(f"uint64({_RNG})")
def next_random(rng):  # type: ignore[no-untyped-def]
    """64 random bits (splitmix64); the multiplications wrap around on purpose.

    Args:
        rng: uint64[1], the state; moves on.

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
    """Sixteen of the 64 bits as an int64 in 0 … 65535."""
    return np.int64((word >> shift) & _U16_MASK)


@kernel("int64(int64[:, ::1], int64, int64)")
def draw(tables, table, u16):  # type: ignore[no-untyped-def]
    """Value of a quantile table at probability `u16` / 65536, linear between knots."""
    index = u16 >> _SHIFT
    low = tables[table, index]
    return low + (((tables[table, index + 1] - low) * (u16 & _MASK)) >> _SHIFT)


@kernel("int64(uint64)")
def lowest_bit(word):  # type: ignore[no-untyped-def]
    """Index of the lowest set bit of a word that is not zero."""
    index = 0
    if word & _LOW_32 == _U0:
        word >>= _U32
        index += 32
    if word & _U16_MASK == _U0:
        word >>= _U16
        index += 16
    if word & _LOW_8 == _U0:
        word >>= _U8
        index += 8
    if word & _LOW_4 == _U0:
        word >>= _U4
        index += 4
    if word & _LOW_2 == _U0:
        word >>= _U2
        index += 2
    if word & _U1 == _U0:
        index += 1
    return index


@kernel("int64(uint64[:, ::1], int64, int64, int64)")
def next_level(bits, side, start, stop):  # type: ignore[no-untyped-def]
    """First occupied coordinate of a side in `start` … `stop`, both included; -1 where there is none."""
    stop = min(stop, bits.shape[1] * 64 - 1)
    if start > stop:
        return -1
    index = start >> 6
    word = bits[side, index] & (_ALL_ONES << np.uint64(start & 63))
    while word == _U0:
        index += 1
        if index << 6 > stop:
            return -1
        word = bits[side, index]
    found = (index << 6) + lowest_bit(word)
    return found if found <= stop else -1


@kernel(f"void({_STATE}, {_GRID}, {_BITS}, {_GRID}, int64, int64, int64)")
def set_level(state, sizes, bits, touched, side, coordinate, lots):  # type: ignore[no-untyped-def]
    """Set one level's size (0 removes it) and remember that this message touched it."""
    bit = _U1 << np.uint64(coordinate & 63)
    sizes[side, coordinate] = lots
    if lots > 0:
        bits[side, coordinate >> 6] |= bit
    else:
        bits[side, coordinate >> 6] &= ~bit
    if bits[2 + side, coordinate >> 6] & bit == _U0:
        bits[2 + side, coordinate >> 6] |= bit
        touched[side, state[S_TOUCHED_BIDS + side]] = coordinate
        state[S_TOUCHED_BIDS + side] += 1


@kernel(f"void({_STATE}, {_TABLES}, {_RNG}, {_GRID}, {_GRID})")
def record_ticker(state, tables, rng, sizes, tickers):  # type: ignore[no-untyped-def]
    """Append the best bid and ask as they are now."""
    n = state[S_TICKERS]
    received = state[S_EVENT_MS] * 1_000_000 + draw(tables, T_LATENCY_NS, bits16(next_random(rng), _U0))
    received = max(received, state[S_TICKER_RECEIPT_NS] + 100)
    state[S_TICKER_RECEIPT_NS] = received
    tickers[K_TIME_MS, n] = state[S_EVENT_MS]
    tickers[K_RECEIPT_NS, n] = received
    tickers[K_ID, n] = state[S_ID]
    tickers[K_BID_TICK, n] = sizes.shape[1] - 1 - state[S_BEST_BID]
    tickers[K_BID_LOTS, n] = sizes[0, state[S_BEST_BID]]
    tickers[K_ASK_TICK, n] = state[S_BEST_ASK]
    tickers[K_ASK_LOTS, n] = sizes[1, state[S_BEST_ASK]]
    state[S_TICKERS] = n + 1


@kernel(f"void({_STATE}, {_TABLES}, {_RNG}, int64, int64, int64, {_GRID})")
def record_trade(state, tables, rng, side, tick, lots, trades):  # type: ignore[no-untyped-def]
    """Append a trade against `side`: an aggressor that buys takes asks."""
    n = state[S_TRADES]
    received = state[S_EVENT_MS] * 1_000_000 + draw(tables, T_LATENCY_NS, bits16(next_random(rng), _U0))
    received = max(received, state[S_TRADE_RECEIPT_NS] + 100)
    state[S_TRADE_RECEIPT_NS] = received
    state[S_TRADE_ID] += 1
    trades[D_TIME_MS, n] = state[S_EVENT_MS]
    trades[D_RECEIPT_NS, n] = received
    trades[D_ID, n] = state[S_TRADE_ID]
    trades[D_IS_BUY, n] = side
    trades[D_TICK, n] = tick
    trades[D_LOTS, n] = lots
    state[S_TRADES] = n + 1


@kernel(f"void({_LAW}, {_TABLES}, {_STATE}, {_RNG}, {_GRID}, {_BITS})")
def fill_book(law, tables, state, rng, sizes, bits):  # type: ignore[no-untyped-def]
    """Put the first book on empty ladders: a spread of one tick, every other tick occupied with its bucket's density.

    Args:
        law: int64[LAW_FIELDS].
        tables: int64[TABLES + n, TABLE_COLUMNS]; the buckets' upper ends ascend.
        state: int64[STATE_FIELDS]; best prices and target sizes are set.
        rng: uint64[1].
        sizes: int64[2, ticks], zeros.
        bits: uint64[4, ticks/64], zeros.
    """
    ticks = sizes.shape[1]
    state[S_BEST_ASK] = law[L_START_TICK]
    state[S_BEST_BID] = ticks - law[L_START_TICK]
    for side in range(2):
        best = state[S_BEST_BID + side]
        random = next_random(rng)
        sizes[side, best] = max(1, draw(tables, T_BEST_SIZE, bits16(random, _U0)))
        state[S_TARGET_BID + side] = max(1, draw(tables, T_BEST_SIZE, bits16(random, _U16)))
        bits[side, best >> 6] |= _U1 << np.uint64(best & 63)
        coordinate = best
        for k in range(tables.shape[0] - TABLES):
            stop = min(best + tables[TABLES + k, B_UPPER], ticks - 1)
            while coordinate + 1 < stop:
                coordinate += 1
                random = next_random(rng)
                if bits16(random, _U0) < tables[TABLES + k, B_DENSITY]:
                    sizes[side, coordinate] = max(1, draw(tables, TABLES + k, bits16(random, _U16)))
                    bits[side, coordinate >> 6] |= _U1 << np.uint64(coordinate & 63)


@kernel(f"void({_TABLES}, {_STATE}, {_RNG}, {_GRID}, {_BITS}, {_GRID}, uint64)")
def deep_event(tables, state, rng, sizes, bits, touched, random):  # type: ignore[no-untyped-def]
    """One change away from the best price: a level is added, resized, removed, or reported without having changed."""
    side = np.int64(random >> _U48) & 1
    distance = draw(tables, T_DISTANCE, bits16(random, _U0))
    coordinate = state[S_BEST_BID + side] + max(1, distance)
    if coordinate >= sizes.shape[1]:
        return
    k = 0
    while distance >= tables[TABLES + k, B_UPPER] and TABLES + k < tables.shape[0] - 1:
        k += 1
    choice = bits16(random, _U16)
    if choice < tables[TABLES + k, B_ABSENT]:
        if sizes[side, coordinate] == 0:  # came and went within one message: a removal of what nobody saw
            set_level(state, sizes, bits, touched, side, coordinate, 0)
        return
    found = next_level(bits, side, coordinate, coordinate + tables[TABLES + k, B_REACH])
    if found < 0:
        lots = max(1, draw(tables, TABLES + k, bits16(random, _U32)))
        set_level(state, sizes, bits, touched, side, coordinate, lots)
        return
    lots = sizes[side, found]
    if choice >= tables[TABLES + k, B_ABSENT] + tables[TABLES + k, B_SAME]:
        if bits16(next_random(rng), _U0) < tables[TABLES + k, B_DELETE]:
            lots = 0
        else:
            drawn = max(1, draw(tables, TABLES + k, bits16(random, _U32)))
            lots = drawn if drawn != lots else lots + 1
    set_level(state, sizes, bits, touched, side, found, lots)


@kernel(f"void({_LAW}, {_TABLES}, {_STATE}, {_RNG}, {_GRID}, {_BITS}, {_GRID}, {_GRID}, {_GRID})")
def move_step(law, tables, state, rng, sizes, bits, touched, tickers, trades):  # type: ignore[no-untyped-def]
    """One step of a price move: take the attacked side's best level, or follow with the other side."""
    ticks = sizes.shape[1]
    side = state[S_MOVE_SIDE]
    best = state[S_BEST_BID + side]
    random = next_random(rng)
    if best < state[S_MOVE_TO]:
        aggressive = bits16(random, _U0) < law[L_AGGRESSIVE]
        for swept in range(MAX_SWEEP):
            if swept > 0 and (best >= state[S_MOVE_TO] or bits16(next_random(rng), _U0) >= law[L_SWEEP]):
                break
            if aggressive:
                lots = min(sizes[side, best], max(1, draw(tables, T_TRADE, bits16(random, _U16))))
                record_trade(state, tables, rng, side, best if side else ticks - 1 - best, lots, trades)
            set_level(state, sizes, bits, touched, side, best, 0)
            best = next_level(bits, side, best + 1, state[S_MOVE_TO])
            best = state[S_MOVE_TO] if best < 0 else best
        lots = max(1, draw(tables, T_BEST_SIZE, bits16(random, _U32)))
        if best < state[S_MOVE_TO]:  # large orders on the way are pulled before they are reached
            lots = min(lots, sizes[side, best])
        set_level(state, sizes, bits, touched, side, best, lots)
        state[S_BEST_BID + side] = best
        state[S_TARGET_BID + side] = max(1, draw(tables, T_BEST_SIZE, bits16(random, _U48)))
    else:
        other = 1 - side
        old = state[S_BEST_BID + other]
        goal = ticks - best
        new = goal if bits16(random, _U0) < law[L_DIRECT] else old - ((old - goal + 1) >> 1)
        lots = max(1, draw(tables, T_BEST_SIZE, bits16(random, _U16)))
        set_level(state, sizes, bits, touched, other, new, lots)
        left = draw(tables, TABLES, bits16(random, _U32)) if bits16(random, _U48) & 1 else 0
        set_level(state, sizes, bits, touched, other, old, left)  # its owners moved along
        state[S_BEST_BID + other] = new
        state[S_TARGET_BID + other] = max(1, draw(tables, T_BEST_SIZE, bits16(random, _U48)))
        if new == goal:
            state[S_MOVE_SIDE] = -1
    record_ticker(state, tables, rng, sizes, tickers)


@kernel(f"void({_LAW}, {_TABLES}, {_STATE}, {_RNG}, int64)")
def start_move(law, tables, state, rng, ticks):  # type: ignore[no-untyped-def]
    """Choose where the price goes next: the attacked side and the coordinate its best level shall reach."""
    random = next_random(rng)
    side = state[S_LAST_SIDE]
    if bits16(random, _U0) >= law[L_MOMENTUM]:
        side = 1 - side
    away = state[S_BEST_ASK] - law[L_START_TICK]
    home = 0 if away > 0 else 1
    share = min(65535, abs(away) * 65536 // law[L_ROAM_TICKS])
    if bits16(random, _U16) < (share * share) >> 16 or abs(away) >= law[L_ROAM_TICKS]:
        side = home  # keeps the price on the ladder; the pull grows with the square of the distance
    state[S_LAST_SIDE] = side
    state[S_MOVE_SIDE] = side
    state[S_MOVE_TO] = state[S_BEST_BID + side] + max(1, draw(tables, T_JUMP, bits16(random, _U32)))


@kernel(f"void({_LAW}, {_TABLES}, {_STATE}, {_RNG}, {_GRID}, {_BITS}, {_GRID}, {_GRID}, {_GRID}, uint64)")
def queue_event(law, tables, state, rng, sizes, bits, touched, tickers, trades, random):  # type: ignore[no-untyped-def]
    """One change of a best level's size: a trade, or orders that come and go around its target size."""
    side = np.int64(random >> _U48) & 1
    trades_now = bits16(random, _U16) < law[L_TRADE]
    if trades_now:  # aggressors push where the price went last, and often goes next
        side = (
            state[S_LAST_SIDE] if bits16(next_random(rng), _U0) < law[L_MOMENTUM] else 1 - state[S_LAST_SIDE]
        )
    best = state[S_BEST_BID + side]
    lots = sizes[side, best]
    if trades_now:
        amount = min(lots - 1, max(1, draw(tables, T_TRADE, bits16(random, _U32))))
        if amount == 0:
            return
        record_trade(state, tables, rng, side, best if side else sizes.shape[1] - 1 - best, amount, trades)
        left = lots - amount
    else:
        change = max(1, draw(tables, T_QUEUE_CHANGE, bits16(random, _U32)))
        target = state[S_TARGET_BID + side]
        grows = np.int64(next_random(rng) >> _U32) % (target + lots) < target
        left = lots + change if grows else max(1, lots - change)
    if left != lots:
        set_level(state, sizes, bits, touched, side, best, left)
        record_ticker(state, tables, rng, sizes, tickers)


@kernel(f"int64({_LAW}, {_STATE}, {_RNG})")
def next_rank(law, state, rng):  # type: ignore[no-untyped-def]
    """How busy the next message is, as a rank 0 … 65535: like the last one, like the current spell, or independent.

    Each choice keeps ranks uniform (steps are reflected at both ends), so the rows of messages keep their distribution
    while busy messages come in runs.
    """
    random = next_random(rng)
    rank = np.int64(random >> _U48)
    if bits16(next_random(rng), _U0) < law[L_SPELL_END]:
        state[S_SPELL_RANK] = rank
    choice = bits16(random, _U0)
    if choice < law[L_RANK_KEEP]:
        rank = state[S_RANK] + (bits16(random, _U16) >> 2) - 8192
    elif bits16(random, _U32) < law[L_RANK_RETURN]:
        rank = state[S_SPELL_RANK] + (bits16(random, _U16) >> 1) - 16384
    rank = -1 - rank if rank < 0 else rank
    rank = 131071 - rank if rank > 65535 else rank
    state[S_RANK] = rank
    return rank


@kernel(f"int64({_LAW}, {_TABLES}, {_STATE}, {_RNG}, {_GRID}, {_BITS}, {_GRID}, {_GRID}, {_GRID})")
def build_message(law, tables, state, rng, sizes, bits, touched, tickers, trades):  # type: ignore[no-untyped-def]
    """Play the events of one message; returns the id of the first one."""
    rows = min(max(1, draw(tables, T_ROWS, next_rank(law, state, rng))), MAX_ROWS)
    interval = max(1, draw(tables, T_INTERVAL_MS, bits16(next_random(rng), _U0)))
    begin = max(state[S_EVENT_MS], state[S_TIME_MS] - law[L_TRANSACTION_LAG_MS])
    pace = (interval << 20) // rows
    state[S_TIME_MS] += interval
    first_id = np.int64(0)
    events = 0
    touched_count = 0
    while touched_count < rows and events < MAX_EVENTS:
        random = next_random(rng)
        state[S_ID] += 1 + (bits16(random, _U0) * law[L_ID_STEP] >> 16)
        first_id = state[S_ID] if events == 0 else first_id
        again = state[S_WAS_BEST] == 1 and bits16(random, _U16) < law[L_BEST_AGAIN]
        if not again:
            state[S_EVENT_MS] = max(state[S_EVENT_MS], begin + (pace * touched_count >> 20))
        state[S_WAS_BEST] = 0
        if state[S_MOVE_SIDE] >= 0 and bits16(random, _U32) < law[L_MOVE_STEP]:
            state[S_WAS_BEST] = 1
            move_step(law, tables, state, rng, sizes, bits, touched, tickers, trades)
        elif again or bits16(random, _U16) < law[L_BEST_START]:
            state[S_WAS_BEST] = 1
            random = next_random(rng)
            if state[S_MOVE_SIDE] < 0 and bits16(random, _U0) < law[L_TRIGGER]:
                start_move(law, tables, state, rng, sizes.shape[1])
                move_step(law, tables, state, rng, sizes, bits, touched, tickers, trades)
            else:
                queue_event(law, tables, state, rng, sizes, bits, touched, tickers, trades, random)
        elif bits16(random, _U48) < law[L_INSIDE]:
            random = next_random(rng)
            side = np.int64(random >> _U48) & 1
            inside = state[S_BEST_BID + side] - max(1, draw(tables, T_INSIDE, bits16(random, _U0)))
            if inside >= 0:  # an order that came and went within one message, better than the best price
                set_level(state, sizes, bits, touched, side, inside, 0)
        else:
            random = next_random(rng)
            deep_event(tables, state, rng, sizes, bits, touched, random)
        events += 1
        touched_count = state[S_TOUCHED_BIDS] + state[S_TOUCHED_ASKS]
    if touched_count == 0:
        best = state[S_BEST_BID]
        set_level(state, sizes, bits, touched, 0, best, sizes[0, best])
    return first_id


@kernel("void(int64[:, ::1], int64, int64)")
def sort_coordinates(values, side, count):  # type: ignore[no-untyped-def]
    """Sort the first `count` values of a side ascending, in place: a shell sort, for a few dozen values."""
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


@kernel(f"void({_LAW}, {_STATE}, {_GRID}, {_BITS}, {_GRID}, {_GRID})")
def emit_rows(law, state, sizes, bits, touched, rows):  # type: ignore[no-untyped-def]
    """Write the touched levels with their sizes, bids before asks, and forget that they were touched."""
    ticks = sizes.shape[1]
    n = state[S_ROWS]
    for side in range(2):
        count = state[S_TOUCHED_BIDS + side]
        sort_coordinates(touched, side, count)
        backwards = side == 0 and law[L_BEST_FIRST] == 0
        for i in range(count):
            coordinate = touched[side, count - 1 - i if backwards else i]
            bits[2 + side, coordinate >> 6] = _U0
            rows[R_IS_BID, n] = 1 - side
            rows[R_TICK, n] = coordinate if side else ticks - 1 - coordinate
            rows[R_LOTS, n] = sizes[side, coordinate]
            n += 1
        state[S_TOUCHED_BIDS + side] = 0
    state[S_ROWS] = n


@kernel(f"void({_STATE}, {_GRID}, {_BITS}, int64, {_GRID})")
def emit_book(state, sizes, bits, message, books):  # type: ignore[no-untyped-def]
    """Write the best levels of both sides."""
    ticks = sizes.shape[1]
    n = state[S_BOOKS]
    books[n, 0] = message
    for side in range(2):
        coordinate = state[S_BEST_BID + side]
        for level in range(BOOK_LEVELS):
            cell = 1 + 2 * (side * BOOK_LEVELS + level)
            if coordinate < 0:
                books[n, cell] = -1
                books[n, cell + 1] = 0
                continue
            books[n, cell] = coordinate if side else ticks - 1 - coordinate
            books[n, cell + 1] = sizes[side, coordinate]
            coordinate = next_level(bits, side, coordinate + 1, ticks - 1)
    state[S_BOOKS] = n + 1


@kernel(
    f"int64({_LAW}, {_TABLES}, {_STATE}, {_RNG}, {_GRID}, {_BITS}, {_GRID}, int64,"
    f" {_GRID}, {_GRID}, {_GRID}, {_GRID}, {_GRID})"
)
def run_market(  # type: ignore[no-untyped-def]
    law,
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
    """Play messages until `max_messages` are done or an output has no room for one more.

    Args:
        law: int64[LAW_FIELDS].
        tables: int64[TABLES + n, TABLE_COLUMNS].
        state: int64[STATE_FIELDS]; carries the market from call to call. The output counts start at 0 in each call.
        rng: uint64[1].
        sizes: int64[2, ticks], lots.
        bits: uint64[4, ticks/64]; rows 2 and 3 are zeros between messages.
        touched: int64[2, 2 * MAX_ROWS].
        max_messages: how many to play at most.
        messages: int64[MESSAGE_COLUMNS, at least 1], filled; `M_ROW_STOP` is one past the message's last row.
        rows: int64[ROW_COLUMNS, at least 2 * MAX_ROWS], filled.
        tickers: int64[TICKER_COLUMNS, at least MAX_EVENTS], filled.
        trades: int64[TRADE_COLUMNS, at least MAX_EVENTS * MAX_SWEEP], filled.
        books: int64[at least 1, BOOK_COLUMNS], filled.

    Returns:
        Messages played; `state` holds how much of each output is filled.
    """
    state[S_ROWS] = state[S_TICKERS] = state[S_TRADES] = state[S_BOOKS] = 0
    done = 0
    while (
        done < max_messages
        and done < messages.shape[1]
        and state[S_ROWS] + 2 * MAX_ROWS <= rows.shape[1]
        and state[S_TICKERS] + MAX_EVENTS <= tickers.shape[1]
        and state[S_TRADES] + MAX_EVENTS * MAX_SWEEP <= trades.shape[1]
        and state[S_BOOKS] < books.shape[0]
    ):
        first_id = build_message(law, tables, state, rng, sizes, bits, touched, tickers, trades)
        emit_rows(law, state, sizes, bits, touched, rows)
        received = state[S_TIME_MS] * 1_000_000 + draw(tables, T_LATENCY_NS, bits16(next_random(rng), _U0))
        state[S_RECEIPT_NS] = max(received, state[S_RECEIPT_NS] + 100)
        messages[M_TIME_MS, done] = state[S_TIME_MS]
        messages[M_TRANSACTION_MS, done] = state[S_EVENT_MS]
        messages[M_RECEIPT_NS, done] = state[S_RECEIPT_NS]
        messages[M_FIRST_ID, done] = first_id
        messages[M_FINAL_ID, done] = state[S_ID]
        messages[M_PREV_ID, done] = state[S_PREV_ID]
        messages[M_ROW_STOP, done] = state[S_ROWS]
        state[S_PREV_ID] = state[S_ID]
        state[S_MESSAGES] += 1
        if state[S_TIME_MS] - state[S_BOOK_MS] >= BOOK_EVERY_MS:
            state[S_BOOK_MS] = state[S_TIME_MS]
            emit_book(state, sizes, bits, done, books)
        done += 1
    return done
