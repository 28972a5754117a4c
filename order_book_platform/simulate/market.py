"""A running market: the arrays its kernel works on, and what it plays as chunks of integer columns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.kernels import market_simulation as kernel
from order_book_platform.model import PartitionKey
from order_book_platform.simulate.profile import MarketProfile

Ints = NDArray[np.int64]

OPENING_MS = 5_000
"""A day's market opens this long after midnight, so that a clock a few seconds behind still writes the same day."""
IDS_PER_DAY = 10_000_000_000
"""Room for the update ids of a day; a later day's ids are larger."""

# Choices the recordings do not give directly. They were set so that simulated markets agree with the recordings in
# the explanatory power of order flow, the 1 s and 10 s volatility, the share of ticker rows with another mid or a wide
# spread, and trades per second (the table in docs/simulator.md); the tests measure these again.
_MOVE_STEP = 0.9
"""While the price is moving, an event belongs to the move."""
_MOMENTUM = 0.72
"""A move goes where the last one went; an aggressor trades in its direction."""
_AGGRESSIVE = 0.6
"""Levels on a move's way are taken by trades (otherwise their orders are cancelled)."""
_SWEEP = 0.7
"""The event that takes a level takes the next one too."""
_DIRECT = 0.8
"""The other side follows a move at once (otherwise half the way)."""
_BURST = 0.8
"""Share of the tickers within a millisecond that come in bursts; the others meet by chance."""
_LEVELS_PER_MOVE = 2.5
"""Trades that an aggressive move brings; the profile's trades per ticker include them."""
_SPELL_END = 1 / 64
"""A spell of activity ends with a message."""
_ROAM = 0.5
"""How far the price goes from its start at most, as a share of the farthest change's distance."""


@dataclass(frozen=True, slots=True)
class MarketChunk:
    """What a market played in one call. Views into its buffers: valid until the next call.

    Attributes:
        messages: int64[MESSAGE_COLUMNS, n], see `kernels.market`.
        rows: int64[ROW_COLUMNS, n].
        tickers: int64[TICKER_COLUMNS, n].
        trades: int64[TRADE_COLUMNS, n].
        books: int64[n, BOOK_COLUMNS].
    """

    messages: Ints
    rows: Ints
    tickers: Ints
    trades: Ints
    books: Ints


class Market:
    """One symbol's market on one day; deterministic in its arguments.

    Args:
        profile: what it is like.
        seed: which of the possible markets.
        key: symbol and day; others give an independent market from the same seed.
        chunk_rows: delta rows per chunk, about; bounds memory, never changes a result.
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
        self._law = _law(profile, ticks // 2)
        self._tables = _tables(profile)
        self._state = np.zeros(kernel.STATE_FIELDS, np.int64)
        self._rng = stream("market", seed, key, profile.to_json())
        self._sizes = np.zeros((2, ticks), np.int64)
        self._bits = np.zeros((4, ticks // 64), np.uint64)
        self._touched = np.zeros((2, 2 * kernel.MAX_ROWS), np.int64)
        room = chunk_rows + kernel.MAX_EVENTS
        self._messages = np.zeros((kernel.MESSAGE_COLUMNS, max(1, chunk_rows // 4)), np.int64)
        self._rows = np.zeros((kernel.ROW_COLUMNS, room), np.int64)
        self._tickers = np.zeros((kernel.TICKER_COLUMNS, room), np.int64)
        self._trades = np.zeros((kernel.TRADE_COLUMNS, room + kernel.MAX_EVENTS * kernel.MAX_SWEEP), np.int64)
        self._books = np.zeros((max(1, chunk_rows // 16), kernel.BOOK_COLUMNS), np.int64)
        self._open(key)

    def _open(self, key: PartitionKey) -> None:
        state = self._state
        opening_ms = day_start_ns(key.day) // 1_000_000 + OPENING_MS
        first_id = day_start_ns(key.day) // NS_PER_DAY * IDS_PER_DAY
        state[kernel.S_TIME_MS] = state[kernel.S_EVENT_MS] = opening_ms
        state[kernel.S_BOOK_MS] = opening_ms - kernel.BOOK_EVERY_MS
        state[kernel.S_ID] = state[kernel.S_PREV_ID] = state[kernel.S_TRADE_ID] = first_id
        state[kernel.S_MOVE_SIDE] = -1
        state[kernel.S_RANK] = state[kernel.S_SPELL_RANK] = 32_768
        with np.errstate(over="ignore"):  # without the JIT, numpy would warn of splitmix64's wrap-around
            kernel.fill_book(
                self._law,
                self._tables,
                state,
                self._rng,
                self._sizes,
                self._bits,
            )
            kernel.record_ticker(state, self._tables, self._rng, self._sizes, self._tickers)

    def opening_ticker(self) -> Ints:
        """Best bid and ask before the first message, int64[TICKER_COLUMNS, 1]; before the first `play` only."""
        ticker = self._tickers[:, :1].copy()
        ticker[[kernel.K_BID_TICK, kernel.K_ASK_TICK]] += self._base_tick
        return ticker

    def play(self, max_messages: int) -> MarketChunk:
        """Play at most `max_messages` messages; fewer where the chunk is full.

        Returns:
            the chunk; it holds at least one message.
        """
        with np.errstate(over="ignore"):
            played = kernel.run_market(
                self._law,
                self._tables,
                self._state,
                self._rng,
                self._sizes,
                self._bits,
                self._touched,
                max_messages,
                self._messages,
                self._rows,
                self._tickers,
                self._trades,
                self._books,
            )
        filled = self._state
        chunk = MarketChunk(
            self._messages[:, :played],
            self._rows[:, : filled[kernel.S_ROWS]],
            self._tickers[:, : filled[kernel.S_TICKERS]],
            self._trades[:, : filled[kernel.S_TRADES]],
            self._books[: filled[kernel.S_BOOKS]],
        )
        chunk.rows[kernel.R_TICK] += self._base_tick
        chunk.tickers[[kernel.K_BID_TICK, kernel.K_ASK_TICK]] += self._base_tick
        chunk.trades[kernel.D_TICK] += self._base_tick
        ticks = chunk.books[:, 1::2]
        ticks[ticks >= 0] += self._base_tick
        return chunk

    def full_book(self) -> tuple[NDArray[np.bool_], Ints, Ints]:
        """Every level of the book: is_bid bool[n], tick int64[n], lots int64[n]; bids, then asks, best first."""
        ticks = self._sizes.shape[1]
        bids, asks = (np.flatnonzero(self._sizes[side]) for side in (0, 1))
        is_bid = np.zeros(len(bids) + len(asks), np.bool_)
        is_bid[: len(bids)] = True
        tick = np.concatenate([ticks - 1 - bids, asks]) + self._base_tick
        return is_bid, tick, np.concatenate([self._sizes[0][bids], self._sizes[1][asks]])


def stream(purpose: str, seed: int, key: PartitionKey, detail: str) -> NDArray[np.uint64]:
    """State of a random generator of its own, uint64[1], for one purpose, seed, symbol and day."""
    digest = hashlib.sha256(f"{purpose}\n{seed}\n{key.instrument.key}\n{key.day}\n{detail}".encode()).digest()
    return np.frombuffer(digest[:8], dtype="<u8").astype(np.uint64)


def _law(profile: MarketProfile, start_tick: int) -> Ints:
    """The profile's probabilities, as the kernel draws them: per event instead of per message."""
    tickers = profile.tickers_per_message / 65536
    rows = sum(profile.rows) / len(profile.rows)
    best = tickers / (tickers + rows)
    again = _BURST * profile.same_ms / 65536
    law = np.zeros(kernel.LAW_FIELDS, np.int64)
    law[kernel.L_START_TICK] = start_tick
    law[kernel.L_ROAM_TICKS] = int(profile.max_distance_ticks * _ROAM)
    law[kernel.L_BEST_FIRST] = profile.best_first
    law[kernel.L_TRANSACTION_LAG_MS] = profile.transaction_lag_ms
    law[kernel.L_ID_STEP] = 2 * profile.id_step - 1
    law[kernel.L_BEST_AGAIN] = round(65536 * again)
    law[kernel.L_BEST_START] = round(65536 * best * (1 - again) / (1 - best))
    law[kernel.L_INSIDE] = profile.inside_absent
    law[kernel.L_MOVE_STEP] = round(65536 * _MOVE_STEP)
    law[kernel.L_TRIGGER] = round(profile.moves_per_message / tickers)
    taken = profile.moves_per_message / profile.tickers_per_message * _AGGRESSIVE * _LEVELS_PER_MOVE
    law[kernel.L_TRADE] = max(0, profile.trades_per_ticker - round(65536 * taken))
    law[kernel.L_MOMENTUM] = round(65536 * _MOMENTUM)
    law[kernel.L_AGGRESSIVE] = round(65536 * _AGGRESSIVE)
    law[kernel.L_SWEEP] = round(65536 * _SWEEP)
    law[kernel.L_DIRECT] = round(65536 * _DIRECT)
    law[kernel.L_RANK_KEEP] = profile.rank_keep
    law[kernel.L_RANK_RETURN] = profile.rank_return
    law[kernel.L_SPELL_END] = round(65536 * _SPELL_END)
    return law


def _tables(profile: MarketProfile) -> Ints:
    """Every distribution, and below them the distance buckets, as the kernel wants them."""
    tables = np.zeros((kernel.TABLES + len(profile.buckets), kernel.TABLE_COLUMNS), np.int64)
    for row, table in (
        (kernel.T_INTERVAL_MS, profile.interval_ms),
        (kernel.T_ROWS, profile.rows),
        (kernel.T_DISTANCE, profile.distance_ticks),
        (kernel.T_INSIDE, profile.inside_ticks),
        (kernel.T_JUMP, profile.jump_ticks),
        (kernel.T_QUEUE_CHANGE, profile.queue_change_lots),
        (kernel.T_BEST_SIZE, profile.best_size_lots),
        (kernel.T_TRADE, profile.trade_lots),
        (kernel.T_LATENCY_NS, profile.latency_ns),
    ):
        tables[row, : kernel.KNOTS] = table
    for row, bucket in enumerate(profile.buckets, start=kernel.TABLES):
        tables[row, : kernel.KNOTS] = bucket.size_lots
        tables[row, kernel.B_UPPER] = bucket.upper_ticks
        tables[row, kernel.B_DENSITY] = bucket.density
        tables[row, kernel.B_ABSENT] = bucket.absent
        tables[row, kernel.B_SAME] = bucket.same
        tables[row, kernel.B_DELETE] = bucket.delete
        tables[row, kernel.B_REACH] = bucket.reach_ticks
    return tables
