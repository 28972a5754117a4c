"""A simulated market on one day: the arrays its loops work on, and what it plays as tables of files."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import astuple, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_DAY, NS_PER_MS, day_start_ns
from order_book_platform.kernels.simulation import market_arrays, market_loop
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.fixed_point import pips_to_float
from order_book_platform.simulate.lake_files import SCHEMAS
from order_book_platform.simulate.market_profile import MarketProfile

OPENING_MS = 5_000
"""A day's market opens this long after midnight, so that a clock a few seconds behind still writes the same day."""
IDS_PER_DAY = 10_000_000_000
"""Distance between the first update ids of two consecutive days, so that ids of a later day are larger."""

# Choices that the recordings do not give directly. They were set so that simulated markets agree with the recordings in
# the explanatory power of order flow, the 1 s and 10 s volatility, the share of ticker rows with another mid or a wide
# spread, and trades per second (the table in docs/simulator.md); the tests measure these again.
_MOVE_STEP = 0.9
"""Probability that an event belongs to the price move while there is one."""
_MOMENTUM = 0.72
"""Probability that a move goes the way of the last one, and that an aggressor trades in its direction."""
_AGGRESSIVE = 0.6
"""Probability that a level on the way of a move is taken by trades and not cancelled."""
_SWEEP = 0.7
"""Probability that the event that takes a level takes the next one too."""
_DIRECT = 0.8
"""Probability that the other side follows a move at once, and not half the way."""
_BURST = 0.8
"""Share of the tickers within a millisecond that come in bursts; the others meet by chance."""
_LEVELS_PER_MOVE = 2.5
"""Trades that an aggressive move brings; the profile's trades per ticker include them."""
_SPELL_END = 1 / 64
"""Probability that a spell of activity ends with a message."""
_ROAM = 0.5
"""How far the price goes from its start at most, as a share of the distance of the farthest change."""


@dataclass(frozen=True, slots=True)
class MarketChunk:
    """The messages that a market played in one call, as views into its buffers, valid until the next call.

    `kernels.simulation.market_arrays` names the columns of these int64[columns, n] arrays, and of `books` int64[n,
    columns]; `rows` are the level changes of all messages. Ticks are absolute: price in units of the tick.
    """

    messages: Int64Array
    rows: Int64Array
    tickers: Int64Array
    trades: Int64Array
    books: Int64Array


class Market:
    """One symbol's market on one day; deterministic in its arguments.

    Each seed, symbol and day has an independent market. A chunk has about `chunk_rows` delta rows, which bounds memory
    and never changes a result.
    """

    def __init__(
        self, profile: MarketProfile, seed: int, key: PartitionKey, chunk_rows: int = 262_144
    ) -> None:
        self.profile = profile
        half = (
            profile.max_distance_ticks
            + int(profile.max_distance_ticks * _ROAM)
            + 2 * profile.jump_ticks[-1]
            + 64
        )
        ticks = 2 * half // 64 * 64
        self._base_tick = profile.start_ticks - ticks // 2
        self._params = _params(profile, ticks // 2)
        self._tables = _tables(profile)
        self._state = np.zeros(market_arrays.STATE_FIELDS, np.int64)
        self._rng = seeded_state("market", seed, key, profile.to_json())
        self._sizes = np.zeros((2, ticks), np.int64)
        self._bits = np.zeros((4, ticks // 64), np.uint64)
        self._touched = np.zeros((2, 2 * market_arrays.MAX_ROWS), np.int64)
        capacity = chunk_rows + market_arrays.MAX_EVENTS
        most_trades = market_arrays.MAX_EVENTS * market_arrays.MAX_SWEEP
        self._messages = np.zeros((market_arrays.MESSAGE_COLUMNS, max(1, chunk_rows // 4)), np.int64)
        self._rows = np.zeros((market_arrays.ROW_COLUMNS, capacity), np.int64)
        self._tickers = np.zeros((market_arrays.TICKER_COLUMNS, capacity), np.int64)
        self._trades = np.zeros((market_arrays.TRADE_COLUMNS, capacity + most_trades), np.int64)
        self._books = np.zeros((max(1, chunk_rows // 16), market_arrays.BOOK_COLUMNS), np.int64)
        self._open(key, self._state)

    def _open(self, key: PartitionKey, state: Int64Array) -> None:
        opening_ms = day_start_ns(key.day) // NS_PER_MS + OPENING_MS
        state[[market_arrays.STATE_TIME_MS, market_arrays.STATE_EVENT_MS]] = opening_ms
        state[market_arrays.STATE_BOOK_MS] = opening_ms - market_arrays.BOOK_EVERY_MS
        first_id = day_start_ns(key.day) // NS_PER_DAY * IDS_PER_DAY
        state[[market_arrays.STATE_ID, market_arrays.STATE_PREV_ID, market_arrays.STATE_TRADE_ID]] = first_id
        state[market_arrays.STATE_MOVE_SIDE] = -1
        state[[market_arrays.STATE_RANK, market_arrays.STATE_SPELL_RANK]] = 32_768
        with np.errstate(over="ignore"):  # without the JIT, numpy would warn of splitmix64's wrap-around
            market_loop.fill_book(self._params, self._tables, state, self._rng, self._sizes, self._bits)
            market_loop.record_ticker(state, self._tables, self._rng, self._sizes, self._tickers)

    def opening_ticker(self) -> Int64Array:
        """Give the best bid and ask before the first message, int64[TICKER_COLUMNS, 1]; before `play` only."""
        ticker = self._tickers[:, :1].copy()
        ticker[[market_arrays.TICKER_BID_TICK, market_arrays.TICKER_ASK_TICK]] += self._base_tick
        return ticker

    def play(self, max_messages: int) -> MarketChunk:
        """Play at most `max_messages` messages; fewer where the chunk is full, but at least one."""
        given = self._params, self._tables, self._state, self._rng, self._sizes, self._bits, self._touched
        written = self._messages, self._rows, self._tickers, self._trades, self._books
        with np.errstate(over="ignore"):
            played = market_loop.run_market(*given, max_messages, *written)
        filled = self._state
        chunk = MarketChunk(
            self._messages[:, :played],
            self._rows[:, : filled[market_arrays.STATE_ROWS]],
            self._tickers[:, : filled[market_arrays.STATE_TICKERS]],
            self._trades[:, : filled[market_arrays.STATE_TRADES]],
            self._books[: filled[market_arrays.STATE_BOOKS]],
        )
        chunk.rows[market_arrays.ROW_TICK] += self._base_tick
        chunk.tickers[[market_arrays.TICKER_BID_TICK, market_arrays.TICKER_ASK_TICK]] += self._base_tick
        chunk.trades[market_arrays.TRADE_TICK] += self._base_tick
        ticks = chunk.books[:, 1::2]
        ticks[ticks >= 0] += self._base_tick
        return chunk

    def full_book(self) -> tuple[BoolArray, Int64Array, Int64Array]:
        """Give every level of the book: is_bid bool[n], tick int64[n], lots int64[n]; bids, then asks, best first."""
        ticks = self._sizes.shape[1]
        bids, asks = (np.flatnonzero(self._sizes[side]) for side in (0, 1))
        is_bid = np.zeros(len(bids) + len(asks), np.bool_)
        is_bid[: len(bids)] = True
        tick = np.concatenate([ticks - 1 - bids, asks]) + self._base_tick
        return is_bid, tick, np.concatenate([self._sizes[0][bids], self._sizes[1][asks]])


def seeded_state(purpose: str, seed: int, key: PartitionKey, detail: str) -> NDArray[np.uint64]:
    """Give the first state of a random generator, uint64[1], of its own for a purpose, seed, symbol and day."""
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{key.instrument.key}\n{key.day}\n{detail}".encode()).digest()
    return np.frombuffer(digest[:8], dtype="<u8").astype(np.uint64)


def _params(profile: MarketProfile, start_tick: int) -> Int64Array:
    """Give the parameters of the loops, int64[PARAMS]: a profile's probabilities per message, made ones per event."""
    tickers = profile.tickers_per_message / 65536
    rows = sum(profile.rows) / len(profile.rows)
    best = tickers / (tickers + rows)
    again = _BURST * profile.same_ms / 65536
    params = np.zeros(market_arrays.PARAMS, np.int64)
    params[market_arrays.PARAM_START_TICK] = start_tick
    params[market_arrays.PARAM_ROAM_TICKS] = int(profile.max_distance_ticks * _ROAM)
    params[market_arrays.PARAM_BEST_FIRST] = profile.best_first
    params[market_arrays.PARAM_TRANSACTION_LAG_MS] = profile.transaction_lag_ms
    params[market_arrays.PARAM_ID_STEP] = 2 * profile.id_step - 1
    params[market_arrays.PARAM_BEST_AGAIN] = round(65536 * again)
    params[market_arrays.PARAM_BEST_START] = round(65536 * best * (1 - again) / (1 - best))
    params[market_arrays.PARAM_INSIDE] = profile.inside_absent
    params[market_arrays.PARAM_MOVE_STEP] = round(65536 * _MOVE_STEP)
    params[market_arrays.PARAM_TRIGGER] = round(profile.moves_per_message / tickers)
    taken = profile.moves_per_message / profile.tickers_per_message * _AGGRESSIVE * _LEVELS_PER_MOVE
    params[market_arrays.PARAM_TRADE] = max(0, profile.trades_per_ticker - round(65536 * taken))
    params[market_arrays.PARAM_MOMENTUM] = round(65536 * _MOMENTUM)
    params[market_arrays.PARAM_AGGRESSIVE] = round(65536 * _AGGRESSIVE)
    params[market_arrays.PARAM_SWEEP] = round(65536 * _SWEEP)
    params[market_arrays.PARAM_DIRECT] = round(65536 * _DIRECT)
    params[market_arrays.PARAM_RANK_KEEP] = profile.rank_keep
    params[market_arrays.PARAM_RANK_RETURN] = profile.rank_return
    params[market_arrays.PARAM_SPELL_END] = round(65536 * _SPELL_END)
    return params


def _tables(profile: MarketProfile) -> Int64Array:
    """Give the quantile tables of a profile, and below them its buckets, int64[TABLES + n, TABLE_COLUMNS]."""
    tables = np.zeros((market_arrays.TABLES + len(profile.buckets), market_arrays.TABLE_COLUMNS), np.int64)
    for row, table in (
        (market_arrays.TABLE_INTERVAL_MS, profile.interval_ms),
        (market_arrays.TABLE_ROWS, profile.rows),
        (market_arrays.TABLE_DISTANCE, profile.distance_ticks),
        (market_arrays.TABLE_INSIDE, profile.inside_ticks),
        (market_arrays.TABLE_JUMP, profile.jump_ticks),
        (market_arrays.TABLE_QUEUE_CHANGE, profile.queue_change_lots),
        (market_arrays.TABLE_BEST_SIZE, profile.best_size_lots),
        (market_arrays.TABLE_TRADE, profile.trade_lots),
        (market_arrays.TABLE_LATENCY_NS, profile.latency_ns),
    ):
        tables[row, : market_arrays.KNOTS] = table
    for row, bucket in enumerate(profile.buckets, start=market_arrays.TABLES):
        *numbers, tables[row, : market_arrays.KNOTS] = astuple(bucket)
        tables[row, market_arrays.KNOTS :] = numbers
    return tables


def chunk_tables(chunk: MarketChunk, profile: MarketProfile) -> dict[str, pa.Table]:
    """Give the rows of one chunk by table, as copies: the buffers of the chunk may be used again."""
    time_ms, transaction_ms, receipt_ns, first_id, final_id, prev_id, row_stop = chunk.messages
    time_ns = time_ms * NS_PER_MS
    heads = time_ns, receipt_ns, final_id

    counts = np.diff(row_stop, prepend=0)
    is_bid, tick, lots = chunk.rows
    deltas = *(np.repeat(head, counts) for head in heads), is_bid == 1, *_floats(profile, tick, lots)

    levels = []
    for cell in range(1, market_arrays.BOOK_COLUMNS, 2):
        tick, lots = chunk.books[:, cell : cell + 2].T
        levels += [np.where(tick < 0, np.nan, each) for each in _floats(profile, tick, lots)]
    books = *(head[chunk.books[:, 0]] for head in heads), *levels

    trade_ms, trade_receipt_ns, trade_id, is_buy, tick, lots = chunk.trades
    side = pa.DictionaryArray.from_arrays(is_buy.astype(np.int8), pa.array(["sell", "buy"]))
    price, amount = _floats(profile, tick, lots)
    trades = side.cast(pa.string()), amount, price, trade_id, trade_ms * NS_PER_MS, trade_receipt_ns

    transaction_ns = transaction_ms * (NS_PER_MS if profile.transaction_times else 0)
    previous = prev_id if profile.transaction_times else np.full_like(prev_id, -1)
    chain = time_ns, transaction_ns, receipt_ns, first_id, final_id, previous

    columns = {"book_delta_v2": deltas, "book": books, "trades": trades, "truth/update_chain": chain}
    tables = {name: _table(name, *each) for name, each in columns.items()}
    return {**tables, "truth/book_ticker": ticker_table(chunk.tickers, profile)}


def ticker_table(tickers: Int64Array, profile: MarketProfile) -> pa.Table:
    """Give the rows of `truth/book_ticker` of int64[TICKER_COLUMNS, n].

    Spot's stream of best prices carries no exchange time, which recordings show as 0, and so does this.
    """
    time_ms, receipt_ns, number, *levels = tickers
    time_ns = time_ms * (NS_PER_MS if profile.transaction_times else 0)
    return _table("truth/book_ticker", time_ns, receipt_ns, number, *_floats(profile, *levels))


def _chain(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    time_ms, transaction_ms, receipt_ns, first_id, final_id, prev_id, _ = chunk.messages
    transaction_ns = transaction_ms * (NS_PER_MS if profile.transaction_times else 0)
    previous = prev_id if profile.transaction_times else np.full_like(prev_id, -1)
    times = time_ms * NS_PER_MS, transaction_ns, receipt_ns
    return _table("truth/update_chain", *times, first_id, final_id, previous)


def full_book_table(
    sequence_number: int, book: tuple[BoolArray, Int64Array, Int64Array], profile: MarketProfile
) -> pa.Table:
    """Give the rows of `truth/full_book` after the message with a final update id.

    `book` is what `Market.full_book` gave: bool[n] is a bid, int64[n] ticks, int64[n] lots.
    """
    is_bid, tick, lots = book
    numbers = np.full(len(tick), sequence_number, np.int64)
    return _table("truth/full_book", numbers, is_bid, *_floats(profile, tick, lots))


def _floats(profile: MarketProfile, *levels: Int64Array) -> list[NDArray[np.float64]]:
    """Convert ticks and lots, in turn, to prices and sizes."""
    decimals = itertools.cycle((profile.price_decimals, profile.size_decimals))
    return [pips_to_float(pips, places) for pips, places in zip(levels, decimals, strict=False)]


def _table(name: str, *columns: NDArray[np.generic] | pa.Array) -> pa.Table:
    # Arrow would keep views of the market's buffers, which the next chunk overwrites.
    copies = (column.copy() if isinstance(column, np.ndarray) else column for column in columns)
    return pa.table([pa.array(column) for column in copies], schema=SCHEMAS[name])
