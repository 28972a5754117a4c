"""The events of a simulated market: trades, queue changes, price moves, and changes away from the best price.

The arrays are those of `market_arrays`; `random` is a number whose sixteen-bit parts decide an event.
"""

from __future__ import annotations

import numpy as np

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.simulation.market_arrays import (
    BUCKET_ABSENT,
    BUCKET_DELETE,
    BUCKET_DENSITY,
    BUCKET_REACH,
    BUCKET_SAME,
    BUCKET_UPPER,
    I8,
    I8_2,
    MAX_SWEEP,
    PARAM_AGGRESSIVE,
    PARAM_DIRECT,
    PARAM_MOMENTUM,
    PARAM_ROAM_TICKS,
    PARAM_START_TICK,
    PARAM_SWEEP,
    PARAM_TRADE,
    STATE_BEST_ASK,
    STATE_BEST_BID,
    STATE_EVENT_MS,
    STATE_ID,
    STATE_LAST_SIDE,
    STATE_MOVE_SIDE,
    STATE_MOVE_TO,
    STATE_TARGET_BID,
    STATE_TICKER_RECEIPT_NS,
    STATE_TICKERS,
    STATE_TRADE_ID,
    STATE_TRADE_RECEIPT_NS,
    STATE_TRADES,
    TABLE_BEST_SIZE,
    TABLE_DISTANCE,
    TABLE_JUMP,
    TABLE_LATENCY_NS,
    TABLE_QUEUE_CHANGE,
    TABLE_TRADE,
    TABLES,
    TICKER_ASK_LOTS,
    TICKER_ASK_TICK,
    TICKER_BID_LOTS,
    TICKER_BID_TICK,
    TICKER_ID,
    TICKER_RECEIPT_NS,
    TICKER_TIME_MS,
    TRADE_ID,
    TRADE_IS_BUY,
    TRADE_LOTS,
    TRADE_RECEIPT_NS,
    TRADE_TICK,
    TRADE_TIME_MS,
    U8,
    U8_2,
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

_ONE = np.uint64(1)


@kernel(f"void({I8}, {I8_2}, {U8}, {I8_2}, {I8_2})")
def record_ticker(state, tables, rng, sizes, tickers):  # type: ignore[no-untyped-def]
    """Append the best bid and ask as they are now to `tickers`."""
    n = state[STATE_TICKERS]
    received = state[STATE_EVENT_MS] * 1_000_000 + draw(
        tables, TABLE_LATENCY_NS, bits16(next_random(rng), SHIFT_0)
    )
    # Latencies are drawn one by one, but a stream arrives in order.
    received = max(received, state[STATE_TICKER_RECEIPT_NS] + 100)
    state[STATE_TICKER_RECEIPT_NS] = received
    tickers[TICKER_TIME_MS, n] = state[STATE_EVENT_MS]
    tickers[TICKER_RECEIPT_NS, n] = received
    tickers[TICKER_ID, n] = state[STATE_ID]
    tickers[TICKER_BID_TICK, n] = sizes.shape[1] - 1 - state[STATE_BEST_BID]
    tickers[TICKER_BID_LOTS, n] = sizes[0, state[STATE_BEST_BID]]
    tickers[TICKER_ASK_TICK, n] = state[STATE_BEST_ASK]
    tickers[TICKER_ASK_LOTS, n] = sizes[1, state[STATE_BEST_ASK]]
    state[STATE_TICKERS] = n + 1


@kernel(f"void({I8}, {I8_2}, {U8}, int64, int64, int64, {I8_2})")
def record_trade(state, tables, rng, side, tick, lots, trades):  # type: ignore[no-untyped-def]
    """Append a trade against `side` to `trades`: an aggressor that buys takes asks, which are side 1."""
    n = state[STATE_TRADES]
    received = state[STATE_EVENT_MS] * 1_000_000 + draw(
        tables, TABLE_LATENCY_NS, bits16(next_random(rng), SHIFT_0)
    )
    received = max(received, state[STATE_TRADE_RECEIPT_NS] + 100)
    state[STATE_TRADE_RECEIPT_NS] = received
    state[STATE_TRADE_ID] += 1
    trades[TRADE_TIME_MS, n] = state[STATE_EVENT_MS]
    trades[TRADE_RECEIPT_NS, n] = received
    trades[TRADE_ID, n] = state[STATE_TRADE_ID]
    trades[TRADE_IS_BUY, n] = side
    trades[TRADE_TICK, n] = tick
    trades[TRADE_LOTS, n] = lots
    state[STATE_TRADES] = n + 1


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2})")
def fill_book(params, tables, state, rng, sizes, bits):  # type: ignore[no-untyped-def]
    """Put the first book on empty ladders.

    The spread is one tick; each other tick is occupied with the probability of its bucket.

    Args:
        params: int64[PARAMS].
        tables: int64[TABLES + n, TABLE_COLUMNS]; the buckets' upper ends ascend.
        state: int64[STATE_FIELDS]; best coordinates and target sizes are written.
        rng: uint64[1]; changed.
        sizes: int64[2, ticks], zeros; lots are written.
        bits: uint64[4, ticks/64], zeros; rows 0 and 1 are written.
    """
    ticks = sizes.shape[1]
    state[STATE_BEST_ASK] = params[PARAM_START_TICK]
    state[STATE_BEST_BID] = ticks - params[PARAM_START_TICK]
    for side in range(2):
        best = state[STATE_BEST_BID + side]
        random = next_random(rng)
        sizes[side, best] = max(1, draw(tables, TABLE_BEST_SIZE, bits16(random, SHIFT_0)))
        state[STATE_TARGET_BID + side] = max(1, draw(tables, TABLE_BEST_SIZE, bits16(random, SHIFT_16)))
        bits[side, best >> 6] |= _ONE << np.uint64(best & 63)
        # The buckets follow one another outwards; the last one may end beyond the ladder.
        coordinate = best
        for k in range(tables.shape[0] - TABLES):
            stop = min(best + tables[TABLES + k, BUCKET_UPPER], ticks - 1)
            while coordinate + 1 < stop:
                coordinate += 1
                random = next_random(rng)
                if bits16(random, SHIFT_0) < tables[TABLES + k, BUCKET_DENSITY]:
                    sizes[side, coordinate] = max(1, draw(tables, TABLES + k, bits16(random, SHIFT_16)))
                    bits[side, coordinate >> 6] |= _ONE << np.uint64(coordinate & 63)


@kernel(f"void({I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, uint64)")
def deep_event(tables, state, rng, sizes, bits, touched, random):  # type: ignore[no-untyped-def]
    """Play one change away from the best price: a level is added, resized, removed, or reported unchanged.

    A change looks for a level to meet within the bucket's reach before it adds one, so that the density of levels stays
    what was measured, however long the market runs.
    """
    side = np.int64(random >> SHIFT_48) & 1
    distance = draw(tables, TABLE_DISTANCE, bits16(random, SHIFT_0))
    coordinate = state[STATE_BEST_BID + side] + max(1, distance)
    if coordinate >= sizes.shape[1]:
        return
    k = 0
    while distance >= tables[TABLES + k, BUCKET_UPPER] and TABLES + k < tables.shape[0] - 1:
        k += 1
    choice = bits16(random, SHIFT_16)
    if choice < tables[TABLES + k, BUCKET_ABSENT]:
        if sizes[side, coordinate] == 0:  # came and went within one message: a removal of what nobody saw
            set_level(state, sizes, bits, touched, side, coordinate, 0)
        return
    # The change meets the next level outwards within reach; where there is none, it adds one.
    found = next_level(bits, side, coordinate, coordinate + tables[TABLES + k, BUCKET_REACH])
    if found < 0:
        lots = max(1, draw(tables, TABLES + k, bits16(random, SHIFT_32)))
        set_level(state, sizes, bits, touched, side, coordinate, lots)
        return
    lots = sizes[side, found]
    if choice >= tables[TABLES + k, BUCKET_ABSENT] + tables[TABLES + k, BUCKET_SAME]:
        if bits16(next_random(rng), SHIFT_0) < tables[TABLES + k, BUCKET_DELETE]:
            lots = 0
        else:
            drawn = max(1, draw(tables, TABLES + k, bits16(random, SHIFT_32)))
            lots = drawn if drawn != lots else lots + 1  # a change never repeats the size
    set_level(state, sizes, bits, touched, side, found, lots)


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, {I8_2}, {I8_2})")
def move_step(params, tables, state, rng, sizes, bits, touched, tickers, trades):  # type: ignore[no-untyped-def]
    """Play one step of a price move: take the attacked side's best levels, or let the other side follow.

    The attacked side goes first until it has reached its goal, so the spread opens and then closes again, and the sides
    never cross.
    """
    ticks = sizes.shape[1]
    side = state[STATE_MOVE_SIDE]
    best = state[STATE_BEST_BID + side]
    random = next_random(rng)
    if best < state[STATE_MOVE_TO]:
        aggressive = bits16(random, SHIFT_0) < params[PARAM_AGGRESSIVE]
        for swept in range(MAX_SWEEP):
            if swept > 0 and (
                best >= state[STATE_MOVE_TO] or bits16(next_random(rng), SHIFT_0) >= params[PARAM_SWEEP]
            ):
                break
            if aggressive:
                lots = min(sizes[side, best], max(1, draw(tables, TABLE_TRADE, bits16(random, SHIFT_16))))
                record_trade(state, tables, rng, side, best if side else ticks - 1 - best, lots, trades)
            set_level(state, sizes, bits, touched, side, best, 0)
            best = next_level(bits, side, best + 1, state[STATE_MOVE_TO])
            best = state[STATE_MOVE_TO] if best < 0 else best
        lots = max(1, draw(tables, TABLE_BEST_SIZE, bits16(random, SHIFT_32)))
        if best < state[STATE_MOVE_TO]:  # large orders on the way are pulled before they are reached
            lots = min(lots, sizes[side, best])
        set_level(state, sizes, bits, touched, side, best, lots)
        state[STATE_BEST_BID + side] = best
        state[STATE_TARGET_BID + side] = max(1, draw(tables, TABLE_BEST_SIZE, bits16(random, SHIFT_48)))
    else:
        other = 1 - side
        old = state[STATE_BEST_BID + other]
        # The coordinate that faces the attacked side's new best level at one tick; half the way is rounded up, so it
        # ends.
        goal = ticks - best
        new = goal if bits16(random, SHIFT_0) < params[PARAM_DIRECT] else old - ((old - goal + 1) >> 1)
        lots = max(1, draw(tables, TABLE_BEST_SIZE, bits16(random, SHIFT_16)))
        set_level(state, sizes, bits, touched, other, new, lots)
        left = draw(tables, TABLES, bits16(random, SHIFT_32)) if bits16(random, SHIFT_48) & 1 else 0
        set_level(state, sizes, bits, touched, other, old, left)  # its owners moved along
        state[STATE_BEST_BID + other] = new
        state[STATE_TARGET_BID + other] = max(1, draw(tables, TABLE_BEST_SIZE, bits16(random, SHIFT_48)))
        if new == goal:
            state[STATE_MOVE_SIDE] = -1
    record_ticker(state, tables, rng, sizes, tickers)


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, int64)")
def start_move(params, tables, state, rng, ticks):  # type: ignore[no-untyped-def]
    """Choose where the price goes next: the side that is attacked, and the coordinate its best level shall reach."""
    random = next_random(rng)
    side = state[STATE_LAST_SIDE]
    if bits16(random, SHIFT_0) >= params[PARAM_MOMENTUM]:
        side = 1 - side
    away = state[STATE_BEST_ASK] - params[PARAM_START_TICK]
    home = 0 if away > 0 else 1
    share = min(65535, abs(away) * 65536 // params[PARAM_ROAM_TICKS])
    if bits16(random, SHIFT_16) < (share * share) >> 16 or abs(away) >= params[PARAM_ROAM_TICKS]:
        side = home  # keeps the price on the ladder; the pull grows with the square of the distance
    state[STATE_LAST_SIDE] = side
    state[STATE_MOVE_SIDE] = side
    state[STATE_MOVE_TO] = state[STATE_BEST_BID + side] + max(
        1, draw(tables, TABLE_JUMP, bits16(random, SHIFT_32))
    )


@kernel(f"void({I8}, {I8_2}, {I8}, {U8}, {I8_2}, {U8_2}, {I8_2}, {I8_2}, {I8_2}, uint64)")
def queue_event(params, tables, state, rng, sizes, bits, touched, tickers, trades, random):  # type: ignore[no-untyped-def]
    """Play one change of a best level's size: a trade, or orders that come and go around its target size."""
    side = np.int64(random >> SHIFT_48) & 1
    trades_now = bits16(random, SHIFT_16) < params[PARAM_TRADE]
    if trades_now:  # aggressors push where the price went last, and often goes next
        side = (
            state[STATE_LAST_SIDE]
            if bits16(next_random(rng), SHIFT_0) < params[PARAM_MOMENTUM]
            else 1 - state[STATE_LAST_SIDE]
        )
    best = state[STATE_BEST_BID + side]
    lots = sizes[side, best]
    if trades_now:
        # One lot stays: a best level is taken by moves alone, which the profile counts.
        amount = min(lots - 1, max(1, draw(tables, TABLE_TRADE, bits16(random, SHIFT_32))))
        if amount == 0:
            return
        record_trade(state, tables, rng, side, best if side else sizes.shape[1] - 1 - best, amount, trades)
        left = lots - amount
    else:
        change = max(1, draw(tables, TABLE_QUEUE_CHANGE, bits16(random, SHIFT_32)))
        target = state[STATE_TARGET_BID + side]
        # Sizes return to their target: the larger the level is, the likelier it shrinks.
        grows = np.int64(next_random(rng) >> SHIFT_32) % (target + lots) < target
        left = lots + change if grows else max(1, lots - change)
    if left != lots:
        set_level(state, sizes, bits, touched, side, best, left)
        record_ticker(state, tables, rng, sizes, tickers)
