"""From a market's integers to the columns of files: floats are the nearest ones to each decimal."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.kernels import market_simulation as kernel
from order_book_platform.model.fixed_point import pips_to_float
from order_book_platform.simulate.lake_files import SCHEMAS
from order_book_platform.simulate.market import Ints, MarketChunk
from order_book_platform.simulate.profile import MarketProfile

NS_PER_MS = 1_000_000


def chunk_tables(chunk: MarketChunk, profile: MarketProfile) -> dict[str, pa.Table]:
    """Every table's rows of one chunk; nothing in them refers to the chunk's buffers."""
    return {
        "book_delta_v2": _deltas(chunk, profile),
        "book": _books(chunk, profile),
        "trades": _trades(chunk, profile),
        "truth/book_ticker": ticker_table(chunk.tickers, profile),
        "truth/update_chain": _chain(chunk, profile),
    }


def _deltas(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    messages, rows = chunk.messages, chunk.rows
    counts = np.diff(messages[kernel.M_ROW_STOP], prepend=0)
    return _table(
        "book_delta_v2",
        np.repeat(messages[kernel.M_TIME_MS] * NS_PER_MS, counts),
        np.repeat(messages[kernel.M_RECEIPT_NS], counts),
        np.repeat(messages[kernel.M_FINAL_ID], counts),
        rows[kernel.R_IS_BID] == 1,
        pips_to_float(rows[kernel.R_TICK], profile.price_decimals),
        pips_to_float(rows[kernel.R_LOTS], profile.size_decimals),
    )


def _books(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    at = chunk.messages[:, chunk.books[:, 0]]
    levels: list[NDArray[np.float64]] = []
    for cell in range(1, kernel.BOOK_COLUMNS, 2):
        missing = chunk.books[:, cell] < 0
        price = pips_to_float(chunk.books[:, cell], profile.price_decimals)
        size = pips_to_float(chunk.books[:, cell + 1], profile.size_decimals)
        levels += [np.where(missing, np.nan, price), np.where(missing, np.nan, size)]
    return _table(
        "book",
        at[kernel.M_TIME_MS] * NS_PER_MS,
        at[kernel.M_RECEIPT_NS].copy(),
        at[kernel.M_FINAL_ID].copy(),
        *levels,
    )


def _trades(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    trades = chunk.trades
    side = pa.DictionaryArray.from_arrays(trades[kernel.D_IS_BUY].astype(np.int8), pa.array(["sell", "buy"]))
    return _table(
        "trades",
        side.cast(pa.string()),
        pips_to_float(trades[kernel.D_LOTS], profile.size_decimals),
        pips_to_float(trades[kernel.D_TICK], profile.price_decimals),
        trades[kernel.D_ID].copy(),
        trades[kernel.D_TIME_MS] * NS_PER_MS,
        trades[kernel.D_RECEIPT_NS].copy(),
    )


def ticker_table(tickers: Ints, profile: MarketProfile) -> pa.Table:
    """Best bid/ask rows; spot's stream carries no exchange time, which its recordings show as 0."""
    return _table(
        "truth/book_ticker",
        tickers[kernel.K_TIME_MS] * (NS_PER_MS if profile.transaction_times else 0),
        tickers[kernel.K_RECEIPT_NS].copy(),
        tickers[kernel.K_ID].copy(),
        pips_to_float(tickers[kernel.K_BID_TICK], profile.price_decimals),
        pips_to_float(tickers[kernel.K_BID_LOTS], profile.size_decimals),
        pips_to_float(tickers[kernel.K_ASK_TICK], profile.price_decimals),
        pips_to_float(tickers[kernel.K_ASK_LOTS], profile.size_decimals),
    )


def _chain(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    messages = chunk.messages
    previous = messages[kernel.M_PREV_ID].copy()
    return _table(
        "truth/update_chain",
        messages[kernel.M_TIME_MS] * NS_PER_MS,
        messages[kernel.M_TRANSACTION_MS] * (NS_PER_MS if profile.transaction_times else 0),
        messages[kernel.M_RECEIPT_NS].copy(),
        messages[kernel.M_FIRST_ID].copy(),
        messages[kernel.M_FINAL_ID].copy(),
        previous if profile.transaction_times else np.full_like(previous, -1),
    )


def full_book_table(
    sequence_number: int, book: tuple[NDArray[np.bool_], Ints, Ints], profile: MarketProfile
) -> pa.Table:
    """Every level of one book."""
    is_bid, tick, lots = book
    return _table(
        "truth/full_book",
        np.full(len(tick), sequence_number, np.int64),
        is_bid,
        pips_to_float(tick, profile.price_decimals),
        pips_to_float(lots, profile.size_decimals),
    )


def _table(name: str, *columns: NDArray[np.generic] | pa.Array) -> pa.Table:
    return pa.table([pa.array(column) for column in columns], schema=SCHEMAS[name])
