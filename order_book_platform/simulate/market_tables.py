"""Turning the integer columns of a market into the tables of files; each float is the one nearest to its decimal."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_MS
from order_book_platform.kernels.simulation import market_arrays
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.model.fixed_point import pips_to_float
from order_book_platform.simulate.lake_files import SCHEMAS
from order_book_platform.simulate.market import MarketChunk
from order_book_platform.simulate.profile import MarketProfile


def chunk_tables(chunk: MarketChunk, profile: MarketProfile) -> dict[str, pa.Table]:
    """Give the rows of one chunk by table, as copies: the buffers of the chunk may be used again."""
    return {
        "book_delta_v2": _deltas(chunk, profile),
        "book": _books(chunk, profile),
        "trades": _trades(chunk, profile),
        "truth/book_ticker": ticker_table(chunk.tickers, profile),
        "truth/update_chain": _chain(chunk, profile),
    }


def _deltas(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    messages, rows = chunk.messages, chunk.rows
    counts = np.diff(messages[market_arrays.MESSAGE_ROW_STOP], prepend=0)
    return _table(
        "book_delta_v2",
        np.repeat(messages[market_arrays.MESSAGE_TIME_MS] * NS_PER_MS, counts),
        np.repeat(messages[market_arrays.MESSAGE_RECEIPT_NS], counts),
        np.repeat(messages[market_arrays.MESSAGE_FINAL_ID], counts),
        rows[market_arrays.ROW_IS_BID] == 1,
        pips_to_float(rows[market_arrays.ROW_TICK], profile.price_decimals),
        pips_to_float(rows[market_arrays.ROW_LOTS], profile.size_decimals),
    )


def _books(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    at = chunk.messages[:, chunk.books[:, 0]]
    levels: list[NDArray[np.float64]] = []
    for cell in range(1, market_arrays.BOOK_COLUMNS, 2):
        missing = chunk.books[:, cell] < 0
        price = pips_to_float(chunk.books[:, cell], profile.price_decimals)
        size = pips_to_float(chunk.books[:, cell + 1], profile.size_decimals)
        levels += [np.where(missing, np.nan, price), np.where(missing, np.nan, size)]
    return _table(
        "book",
        at[market_arrays.MESSAGE_TIME_MS] * NS_PER_MS,
        at[market_arrays.MESSAGE_RECEIPT_NS].copy(),
        at[market_arrays.MESSAGE_FINAL_ID].copy(),
        *levels,
    )


def _trades(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    trades = chunk.trades
    side = pa.DictionaryArray.from_arrays(
        trades[market_arrays.TRADE_IS_BUY].astype(np.int8), pa.array(["sell", "buy"])
    )
    return _table(
        "trades",
        side.cast(pa.string()),
        pips_to_float(trades[market_arrays.TRADE_LOTS], profile.size_decimals),
        pips_to_float(trades[market_arrays.TRADE_TICK], profile.price_decimals),
        trades[market_arrays.TRADE_ID].copy(),
        trades[market_arrays.TRADE_TIME_MS] * NS_PER_MS,
        trades[market_arrays.TRADE_RECEIPT_NS].copy(),
    )


def ticker_table(tickers: Int64Array, profile: MarketProfile) -> pa.Table:
    """Give the rows of `truth/book_ticker` of int64[TICKER_COLUMNS, n].

    Spot's stream of best prices carries no exchange time, which recordings show as 0, and so does this.
    """
    return _table(
        "truth/book_ticker",
        tickers[market_arrays.TICKER_TIME_MS] * (NS_PER_MS if profile.transaction_times else 0),
        tickers[market_arrays.TICKER_RECEIPT_NS].copy(),
        tickers[market_arrays.TICKER_ID].copy(),
        pips_to_float(tickers[market_arrays.TICKER_BID_TICK], profile.price_decimals),
        pips_to_float(tickers[market_arrays.TICKER_BID_LOTS], profile.size_decimals),
        pips_to_float(tickers[market_arrays.TICKER_ASK_TICK], profile.price_decimals),
        pips_to_float(tickers[market_arrays.TICKER_ASK_LOTS], profile.size_decimals),
    )


def _chain(chunk: MarketChunk, profile: MarketProfile) -> pa.Table:
    messages = chunk.messages
    previous = messages[market_arrays.MESSAGE_PREV_ID].copy()
    return _table(
        "truth/update_chain",
        messages[market_arrays.MESSAGE_TIME_MS] * NS_PER_MS,
        messages[market_arrays.MESSAGE_TRANSACTION_MS] * (NS_PER_MS if profile.transaction_times else 0),
        messages[market_arrays.MESSAGE_RECEIPT_NS].copy(),
        messages[market_arrays.MESSAGE_FIRST_ID].copy(),
        messages[market_arrays.MESSAGE_FINAL_ID].copy(),
        previous if profile.transaction_times else np.full_like(previous, -1),
    )


def full_book_table(
    sequence_number: int, book: tuple[BoolArray, Int64Array, Int64Array], profile: MarketProfile
) -> pa.Table:
    """Give the rows of `truth/full_book` of one book.

    Args:
        sequence_number: final update id of the message after which the book was so.
        book: what `Market.full_book` gives.
        profile: of the market.
    """
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
