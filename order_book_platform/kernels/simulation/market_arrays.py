"""The arrays of a simulated market and the names of their columns.

All belong to a `simulate.simulated_market.Market`, which allocates them and hands them to each call.

- A side is 0 (bids) or 1 (asks). Within the loops a level has a *coordinate* that grows away from the market on both
  sides: its tick for an ask, `ticks − 1 − tick` for a bid. The best level of a side is its lowest occupied coordinate,
  and the spread is one tick exactly where the best coordinates of both sides add up to `ticks`.
- `sizes` int64[2, ticks] holds the size of each level in lots, 0 where there is none. `bits` uint64[4, ticks/64] has
  one bit a level: rows 0 and 1 the occupied levels of either side, rows 2 and 3 those that the present message has
  touched, which `touched` int64[2, 2·MAX_ROWS] lists.
- A row of `tables` int64[TABLES + n, TABLE_COLUMNS] begins with `KNOTS` quantiles of a distribution at equal steps of
  probability; a draw interpolates between two of them. The last n rows are buckets of distance from the best price: the
  quantiles of their sizes, then what happens there.
"""

from __future__ import annotations

KNOTS = 129
"""Quantiles of a table: steps of 1/128 from the smallest value to the largest."""

MAX_EVENTS = 4096
"""Events that a message may have; each adds at most one ticker row and `MAX_SWEEP` trades."""
MAX_SWEEP = 8
"""Levels that one event of a price move may take at most."""
MAX_ROWS = 2048
"""Rows that a message may have before its last event, which touches at most `MAX_SWEEP` + 1 more levels."""
BOOK_LEVELS = 20
"""Levels of each side in a row of the book."""
BOOK_EVERY_MS = 100
"""Least time between two rows of the book."""

(
    STATE_BEST_BID,  # coordinates of the best levels, bid and ask
    STATE_BEST_ASK,
    STATE_TARGET_BID,  # sizes in lots around which the best levels move
    STATE_TARGET_ASK,
    STATE_MOVE_SIDE,  # side that a price move attacks; −1: no move
    STATE_MOVE_TO,  # coordinate that the attacked best level shall reach
    STATE_LAST_SIDE,  # side that the last move attacked
    STATE_RANK,  # how busy the last message was, 0 … 65535
    STATE_SPELL_RANK,  # how busy the present spell of activity is
    STATE_WAS_BEST,  # 1: the last event was at a best level
    STATE_TOUCHED_BIDS,  # levels in `touched` of either side
    STATE_TOUCHED_ASKS,
    STATE_TIME_MS,  # exchange time of the message
    STATE_EVENT_MS,  # exchange time of the event
    STATE_BOOK_MS,  # time of the last row of the book
    STATE_RECEIPT_NS,  # last times of arrival of messages, tickers and trades
    STATE_TICKER_RECEIPT_NS,
    STATE_TRADE_RECEIPT_NS,
    STATE_ID,  # last update id
    STATE_PREV_ID,  # last update id of the message before
    STATE_TRADE_ID,  # last trade id
    STATE_MESSAGES,  # messages played since the market opened
    STATE_ROWS,  # how much of each output this call has filled
    STATE_TICKERS,
    STATE_TRADES,
    STATE_BOOKS,
    STATE_FIELDS,
) = range(27)
"""Columns of `state`, int64[STATE_FIELDS]."""

(
    PARAM_START_TICK,  # tick of the best ask at the start
    PARAM_ROAM_TICKS,  # how far the price goes from its start at most
    PARAM_BEST_FIRST,  # 1: bids of a message come best first; 0: by ascending price
    PARAM_TRANSACTION_LAG_MS,  # time of a depth message after that of its last event
    PARAM_ID_STEP,  # update ids that an event takes at most
    PARAM_BEST_AGAIN,  # the event after one at a best level is at a best level too
    PARAM_BEST_START,  # another event is at a best level
    PARAM_INSIDE,  # an event is an order better than the best price that came and went
    PARAM_MOVE_STEP,  # while the price moves, an event belongs to the move
    PARAM_TRIGGER,  # an event at a best level starts a move
    PARAM_TRADE,  # an event at a best level is a trade
    PARAM_MOMENTUM,  # a move or a trade goes the way of the last move
    PARAM_AGGRESSIVE,  # a level on the way of a move is taken by trades
    PARAM_SWEEP,  # the event that takes a level takes the next one too
    PARAM_DIRECT,  # the other side follows a move at once
    PARAM_RANK_KEEP,  # a message is about as busy as the one before
    PARAM_RANK_RETURN,  # otherwise it is about as busy as its spell
    PARAM_SPELL_END,  # a spell ends
    PARAMS,
) = range(19)
"""Columns of `params`, int64[PARAMS]; those from PARAM_BEST_AGAIN on are probabilities in 1/65536."""

(
    TABLE_INTERVAL_MS,
    TABLE_ROWS,
    TABLE_DISTANCE,
    TABLE_INSIDE,
    TABLE_JUMP,
    TABLE_QUEUE_CHANGE,
    TABLE_BEST_SIZE,
    TABLE_TRADE,
    TABLE_LATENCY_NS,
    TABLES,
) = range(10)
"""Rows of `tables` before the buckets; `simulate.market_profile.MarketProfile` says of what each is a distribution."""

(
    BUCKET_UPPER,
    BUCKET_DENSITY,
    BUCKET_ABSENT,
    BUCKET_SAME,
    BUCKET_DELETE,
    BUCKET_REACH,
    TABLE_COLUMNS,
) = range(KNOTS, KNOTS + 7)
"""Columns of a bucket behind its quantiles, as in `simulate.market_profile.Bucket`: its upper end in ticks,
probabilities in 1/65536, and a reach in ticks."""

(
    MESSAGE_TIME_MS,
    MESSAGE_TRANSACTION_MS,
    MESSAGE_RECEIPT_NS,
    MESSAGE_FIRST_ID,
    MESSAGE_FINAL_ID,
    MESSAGE_PREV_ID,
    MESSAGE_ROW_STOP,  # index after the last row of the message
    MESSAGE_COLUMNS,
) = range(8)
"""Rows of the output `messages`, int64[MESSAGE_COLUMNS, capacity]."""
ROW_IS_BID, ROW_TICK, ROW_LOTS, ROW_COLUMNS = range(4)
"""Rows of the output `rows`, int64[ROW_COLUMNS, capacity]: the level changes of all messages."""
(
    TICKER_TIME_MS,
    TICKER_RECEIPT_NS,
    TICKER_ID,
    TICKER_BID_TICK,
    TICKER_BID_LOTS,
    TICKER_ASK_TICK,
    TICKER_ASK_LOTS,
    TICKER_COLUMNS,
) = range(8)
"""Rows of the output `tickers`, int64[TICKER_COLUMNS, capacity]: best bid and ask after each change of them."""
TRADE_TIME_MS, TRADE_RECEIPT_NS, TRADE_ID, TRADE_IS_BUY, TRADE_TICK, TRADE_LOTS, TRADE_COLUMNS = range(7)
"""Rows of the output `trades`, int64[TRADE_COLUMNS, capacity]."""
BOOK_COLUMNS = 1 + 4 * BOOK_LEVELS
"""Columns of the output `books`, int64[capacity, BOOK_COLUMNS]: index of the message in this call, then tick and lots
of bid 0 … 19 and of ask 0 … 19; tick −1 where there is no level."""

I8, I8_2, U8, U8_2 = "int64[::1]", "int64[:, ::1]", "uint64[::1]", "uint64[:, ::1]"
"""numba's types of the arrays."""
