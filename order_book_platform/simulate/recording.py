"""A recorded symbol and day in ticks and lots; each change with its distance from the best price."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.errors import SourceMissingError
from order_book_platform.model import PartitionKey


@dataclass(frozen=True, slots=True)
class Recording:
    """Tables of one symbol and day in integer units.

    Attributes:
        messages: sequence_number, timestamp, receipt_timestamp, rows, bid, ask (best ticks after the message, null
            before the first ticker).
        rows: sequence_number, is_bid, tick, lots, distance from its side's best after the message, previous lots
            (null where the level was never touched before).
        tickers: timestamp, receipt_timestamp, sequence_number, bid, bid_lots, ask, ask_lots.
        chain: timestamp, transaction_timestamp, first_update_id, final_update_id.
        trade_lots: int64[n], size of each trade.
    """

    messages: pl.DataFrame
    rows: pl.DataFrame
    tickers: pl.DataFrame
    chain: pl.DataFrame
    trade_lots: NDArray[np.int64]


def read_recording(
    lake_root: Path, truth_root: Path, key: PartitionKey, price_decimals: int, size_decimals: int
) -> Recording:
    """Read one symbol and day.

    Args:
        lake_root: folder that holds book_delta_v2/ and trades/.
        truth_root: folder that holds book_ticker/ and update_chain/.
        key: symbol and day.
        price_decimals: a tick is `10**-price_decimals`.
        size_decimals: a lot is `10**-size_decimals`.

    Raises:
        SourceMissingError: a table has no files.
    """
    tickers = _read(truth_root, "book_ticker", key).select(
        "timestamp",
        "receipt_timestamp",
        sequence_number="update_id",
        bid=_units("bid_price", price_decimals),
        bid_lots=_units("bid_size", size_decimals),
        ask=_units("ask_price", price_decimals),
        ask_lots=_units("ask_size", size_decimals),
    )
    deltas = _read(lake_root, "book_delta_v2", key).with_columns(
        tick=_units("price", price_decimals), lots=_units("size", size_decimals)
    )
    messages = (
        deltas.group_by("sequence_number", maintain_order=True)
        .agg(pl.col("timestamp", "receipt_timestamp").first(), rows=pl.len().cast(pl.Int64))
        .set_sorted("sequence_number")
        .join_asof(
            tickers.select("sequence_number", "bid", "ask").set_sorted("sequence_number"),
            on="sequence_number",
        )
    )
    trades = _read(lake_root, "trades", key).select(lots=_units("amount", size_decimals))
    chain = _read(truth_root, "update_chain", key)
    return Recording(
        messages, _rows(deltas, messages), tickers, chain, trades["lots"].to_numpy().astype(np.int64)
    )


def _rows(deltas: pl.DataFrame, messages: pl.DataFrame) -> pl.DataFrame:
    """Give every change with its distance from the best price and the size that was there before."""
    best = messages.select("sequence_number", "bid", "ask")
    below, above = pl.col("bid") - pl.col("tick"), pl.col("tick") - pl.col("ask")
    return deltas.join(best, on="sequence_number", maintain_order="left").select(
        "sequence_number",
        "tick",
        "lots",
        is_bid="side_is_bid",
        distance=pl.when("side_is_bid").then(below).otherwise(above),
        previous=pl.col("lots").shift().over("side_is_bid", "tick"),
    )


def _units(name: str, decimals: int) -> pl.Expr:
    return (pl.col(name) * 10.0**decimals).round().cast(pl.Int64)


def _read(root: Path, table: str, key: PartitionKey) -> pl.DataFrame:
    folder = root / table / key.path
    if not any(folder.glob("*.parquet")):
        raise SourceMissingError(
            expected=f"Parquet files of {table}",
            found="none",
            where=str(folder),
            remedy="Give the folders that hold the recorded tables and their best bid/ask streams.",
        )
    return pl.read_parquet(sorted(folder.glob("*.parquet")), hive_partitioning=False)
