"""A market small enough to be played without the JIT, and a few ways to look at what was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from order_book_platform.model import PartitionKey
from order_book_platform.simulate.market_profile import KNOTS, Bucket, MarketProfile

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")


def table(low: int, high: int) -> tuple[int, ...]:
    """Quantiles from `low` to `high`, more of them near `low`."""
    return tuple(low + round((high - low) * (knot / (KNOTS - 1)) ** 3) for knot in range(KNOTS))


def small_profile() -> MarketProfile:
    """A market within 300 ticks of its best prices."""
    half = 32_768
    return MarketProfile(
        name="small",
        price_decimals=2,
        size_decimals=3,
        start_ticks=100_000,
        best_first=False,
        transaction_times=True,
        transaction_lag_ms=2,
        id_step=5,
        same_ms=half,
        tickers_per_message=2 * 65_536,
        trades_per_ticker=half // 2,
        moves_per_message=half // 4,
        inside_absent=1_000,
        rank_keep=half,
        rank_return=half,
        interval_ms=table(20, 60),
        rows=table(1, 40),
        distance_ticks=table(1, 300),
        inside_ticks=table(1, 10),
        jump_ticks=table(1, 20),
        queue_change_lots=table(1, 200),
        best_size_lots=table(1, 2_000),
        trade_lots=table(1, 500),
        latency_ns=table(2_000_000, 9_000_000),
        buckets=(
            Bucket(20, half, 3_000, 1_000, half, 1, table(1, 900)),
            Bucket(300, half // 2, 1_000, 1_000, half // 2, 3, table(1, 5_000)),
        ),
    )


def read(root: Path, name: str, key: PartitionKey = KEY) -> pl.DataFrame:
    """One table of one symbol and day."""
    return pl.DataFrame(pq.read_table(sorted((root / name / key.path).glob("*.parquet"))[0]))


def bytes_below(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def order_flow_r2(root: Path, truth_root: Path, key: PartitionKey, step_ns: int = 1_000_000_000) -> float:
    """R² of mid changes on order-flow imbalance over steps of one second, on the book after each message.

    Source:
        Cont, Kukanov, Stoikov, "The price impact of order book events", 2014.
    """
    after = after_messages(root, truth_root, key)
    time, bid, bid_size, ask, ask_size = (after[name].to_numpy() for name in after.columns)
    flow = (
        np.where(bid[1:] >= bid[:-1], bid_size[1:], 0)
        - np.where(bid[1:] <= bid[:-1], bid_size[:-1], 0)
        - np.where(ask[1:] <= ask[:-1], ask_size[1:], 0)
        + np.where(ask[1:] >= ask[:-1], ask_size[:-1], 0)
    )
    at = np.searchsorted(time, np.arange(time[0], time[-1], step_ns), "right") - 1
    flows, mids = np.diff(np.append(0, np.cumsum(flow))[at]), np.diff((bid + ask)[at])
    return float(np.corrcoef(flows, mids)[0, 1] ** 2)


def after_messages(root: Path, truth_root: Path, key: PartitionKey) -> pl.DataFrame:
    """Exchange time and best bid and ask after each message: the last ticker at or before its final id."""
    messages = (
        read(root, "book_delta_v2", key)
        .group_by("sequence_number", maintain_order=True)
        .agg(pl.col("timestamp").first())
    )
    tickers = read(truth_root, "book_ticker", key).drop("timestamp", "receipt_timestamp")
    return (
        messages.set_sorted("sequence_number")
        .join_asof(tickers.set_sorted("update_id"), left_on="sequence_number", right_on="update_id")
        .drop_nulls()
        .select("timestamp", "bid_price", "bid_size", "ask_price", "ask_size")
    )


def shifted_equal(root: Path, truth_root: Path, key: PartitionKey, shift_ns: int) -> float:
    """Share of messages whose best bid and ask (price and size) are the same `shift_ns` later."""
    after = after_messages(root, truth_root, key)
    time = after["timestamp"].to_numpy()
    later = np.searchsorted(time, time + shift_ns, "right") - 1
    counted = later < len(time) - 1
    same = np.ones(len(time), np.bool_)
    for name in after.columns[1:]:
        values = after[name].to_numpy()
        same &= values == values[later]
    return float(same[counted].mean())
