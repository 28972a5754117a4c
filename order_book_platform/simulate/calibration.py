"""Measures a market: recordings in Crypto Lake's layout and their best bid/ask streams in, a profile out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from order_book_platform.errors import SourceMissingError
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.simulate.market_profile import KNOTS, Bucket, MarketProfile, Table

BUCKET_TICKS = (2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000)
"""Upper ends of the distance buckets; the last bucket ends at `MAX_DISTANCE`."""
MAX_DISTANCE = 0.1
"""Changes farther from the best price than this share of it are not simulated: 2 to 4 % of the recorded rows."""
_TAIL = 0.99
"""Sizes and latencies above this quantile are left out: the last step of a table is drawn from linearly, so a single
large order would be simulated again and again."""
_JUMP_TAIL = 0.995
_SAMPLES = 10
_MAX_REACH = 4_096
STANDING_LEVELS = 3_000
"""Least number of levels on a side, evenly spread. Levels that never change while one records stay unseen."""
NETWORK_NS = 2_000_000
"""The shortest latency of a simulated message; recordings with a skewed clock show only what lies above it."""


def calibrate(
    name: str,
    lake_root: Path,
    truth_root: Path,
    keys: Sequence[PartitionKey],
    price_decimals: int,
    size_decimals: int,
) -> MarketProfile:
    """Measure the profile of a market, called `name`, on recordings of its symbol-days `keys`.

    `lake_root` holds book_delta_v2/ and trades/ of every key, `truth_root` book_ticker/ and update_chain/. A tick is
    `10**-price_decimals`, a lot `10**-size_decimals`.
    """
    days = [read_recording(lake_root, truth_root, key, price_decimals, size_decimals) for key in keys]
    farthest = int(days[0].tickers["ask"][0] * MAX_DISTANCE)
    rows = pl.concat([day.rows for day in days]).filter(pl.col("distance") < farthest)
    messages = sum(day.messages.height for day in days)
    changes = sum(day.tickers.height for day in days)
    trades = np.concatenate([day.trade_lots for day in days])
    futures = int(days[0].chain["transaction_timestamp"][0]) > 0
    inside = -_column(rows.filter(pl.col("distance") < 0, lots=0, previous=0), "distance")
    mids = (day.messages.select(mid2=pl.col("bid") + pl.col("ask")).drop_nulls() for day in days)
    moves = np.concatenate([np.abs(np.diff(_column(each, "mid2"))) for each in mids])
    chain = pl.concat([day.chain for day in days])
    lag_ns = np.median(_column(chain, "timestamp") - _column(chain, "transaction_timestamp"))
    best_sizes = [_column(day.tickers, f"{side}_lots") for day in days for side in ("bid", "ask")]
    keep, come_back = _spells(days)
    return MarketProfile(
        name=name,
        price_decimals=price_decimals,
        size_decimals=size_decimals,
        start_ticks=int(days[0].tickers["ask"][0]),
        best_first=_best_first(days[0].rows),
        transaction_times=futures,
        transaction_lag_ms=int(lag_ns) // 1_000_000 if futures else 0,
        id_step=_id_step(days, changes / messages) if futures else 1,
        same_ms=_share(_pooled(days, _same_ms)),
        tickers_per_message=round(changes / messages * 65536),
        trades_per_ticker=round(len(trades) / changes * 65536),
        moves_per_message=_share(moves > 0),
        inside_absent=round(len(inside) / rows.height * 65536),
        rank_keep=keep,
        rank_return=come_back,
        interval_ms=_table(_pooled(days, lambda day: np.diff(_column(day.chain, "timestamp"))) // 1_000_000),
        rows=_table(_pooled(days, lambda day: _column(day.messages, "rows"))),
        distance_ticks=_table(_column(rows.filter(pl.col("distance") >= 1), "distance")),
        inside_ticks=_table(_trimmed(inside) if len(inside) else np.ones(1, np.int64)),
        jump_ticks=_table((_trimmed(moves[moves > 0], _JUMP_TAIL) + 1) // 2),
        queue_change_lots=_table(_trimmed(_pooled(days, _queue_changes))),
        best_size_lots=_table(_trimmed(np.concatenate(best_sizes))),
        trade_lots=_table(_trimmed(trades)),
        latency_ns=_table(_trimmed(_pooled(days, _latency_above_envelope))),
        buckets=_buckets(rows, days, farthest),
    )


def _buckets(rows: pl.DataFrame, days: Sequence[Recording], farthest: int) -> tuple[Bucket, ...]:
    """Measure what happens at which distance.

    The first change of a level is left out, since what was there before is not known.
    """
    uppers = (*(upper for upper in BUCKET_TICKS if upper < farthest), farthest)
    densities = _densities(days, uppers)
    buckets = []
    for k, upper in enumerate(uppers):
        inside = (pl.col("distance") >= max(1, uppers[k - 1] if k else 1)) & (pl.col("distance") < upper)
        here = rows.filter(inside)
        previous, lots = here["previous"], here["lots"]
        add = int(((previous == 0) & (lots > 0)).sum())
        absent = int(((previous == 0) & (lots == 0)).sum())
        same = int(((previous > 0) & (lots == previous)).sum())
        delete = int(((previous > 0) & (lots == 0)).sum())
        known = max(1, here.height - previous.null_count())
        met = max(1, known - add - absent - same)
        add_share = min(0.9, max(0.02, add / max(1, known - absent - same)))
        density = min(0.95, max(STANDING_LEVELS / farthest, densities[k]))
        reach = round(math.log(add_share) / math.log(1 - density)) - 1
        buckets.append(
            Bucket(
                upper_ticks=upper,
                density=round(density * 65536),
                absent=round(absent / known * 65536),
                same=round(same / known * 65536),
                # A market that lasts adds as often as it deletes: the mean of both, of the changes that meet a level.
                delete=min(65535, round((add + delete) / 2 / met * 65536)),
                reach_ticks=min(_MAX_REACH, max(0, reach)),
                size_lots=_table(_trimmed(_column(here.filter(pl.col("lots") > 0), "lots"))),
            )
        )
    return tuple(buckets)


def _densities(days: Sequence[Recording], uppers: Sequence[int]) -> list[float]:
    """Measure occupied levels per tick in each bucket: a lower bound, since only levels that changed are known.

    It is the mean over a few instants of the second half of each recording, when most levels near the price are known.
    """
    levels, ticks = np.zeros(len(uppers)), np.zeros(len(uppers))
    edges = np.array([1, *uppers])
    for day in days:
        known = day.messages.filter(pl.col("bid").is_not_null())
        for sample in range(_SAMPLES):
            at = known.row(known.height // 2 + (known.height // 2 - 1) * sample // (_SAMPLES - 1), named=True)
            book = (
                day.rows.filter(pl.col("sequence_number") <= at["sequence_number"])
                .group_by("is_bid", "tick")
                .agg(pl.col("lots").last())
                .filter(pl.col("lots") > 0)
            )
            side = pl.when("is_bid").then(at["bid"] - pl.col("tick")).otherwise(pl.col("tick") - at["ask"])
            distance = book.select(side).to_series().to_numpy()
            levels += np.histogram(distance, edges)[0]
            ticks += 2 * np.diff(edges)
    return [float(share) for share in levels / ticks]


def _spells(days: Sequence[Recording]) -> tuple[int, int]:
    """Measure how activity persists, `rank_keep` and `rank_return`, by the ranks of messages by rows.

    The ranks of messages 1 and 10 apart correlate. With steps of ± 1/8 and ± 1/4 of the range, a kept rank correlates
    0.97 with the one before and a returned one 0.87 with its spell's.
    """
    near, far = [], []
    for day in days:
        ranks = day.messages["rows"].rank().to_numpy()
        near.append(np.corrcoef(ranks[:-1], ranks[1:])[0, 1])
        far.append(np.corrcoef(ranks[:-10], ranks[10:])[0, 1])
    beyond = min(0.75, max(0.0, float(np.mean(far))))
    keep = min(0.98, max(0.0, (float(np.mean(near)) - beyond) / (0.97 - beyond)))
    return round(keep * 65536), round(min(0.99, math.sqrt(beyond) / 0.87) * 65536)


def _id_step(days: Sequence[Recording], changes_per_message: float) -> int:
    ids = _pooled(days, lambda day: np.diff(_column(day.chain, "final_update_id")))
    rows = _pooled(days, lambda day: _column(day.messages, "rows"))
    return max(1, round(float(ids.mean() / (changes_per_message + rows.mean()))))


def _best_first(rows: pl.DataFrame) -> bool:
    """Tell whether the bids of a message come in descending order."""
    same = (pl.col("sequence_number").diff() == 0) & pl.col("is_bid") & pl.col("is_bid").shift()
    steps = rows.select(pl.when(same).then(pl.col("tick").diff())).to_series().drop_nulls()
    return bool((steps < 0).mean() > 0.5)  # type: ignore[operator]


def _same_ms(day: Recording) -> BoolArray:
    """Tell which consecutive ticker rows share a millisecond, by arrival where the exchange gives no time."""
    times = _column(day.tickers, "timestamp" if day.tickers["timestamp"][0] else "receipt_timestamp")
    same: BoolArray = np.diff(times // 1_000_000) == 0
    return same


def _queue_changes(day: Recording) -> Int64Array:
    found = []
    for side in ("bid", "ask"):
        change = np.diff(_column(day.tickers, f"{side}_lots"))[np.diff(_column(day.tickers, side)) == 0]
        found.append(np.abs(change[change != 0]))
    return np.concatenate(found)


def _latency_above_envelope(day: Recording) -> Int64Array:
    latency = _column(day.messages, "receipt_timestamp") - _column(day.messages, "timestamp")
    above: Int64Array = latency - latency.min() + NETWORK_NS
    return above


def _pooled(days: Sequence[Recording], measure: Callable[[Recording], NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([measure(day) for day in days])


def _column(frame: pl.DataFrame, name: str) -> Int64Array:
    return frame[name].to_numpy().astype(np.int64)


def _share(hits: BoolArray) -> int:
    return round(float(hits.mean()) * 65536)


def _trimmed(values: Int64Array, tail: float = _TAIL) -> Int64Array:
    return values[values <= np.quantile(values, tail, method="lower")]


def _table(values: Int64Array) -> Table:
    """Give the quantiles at equal steps of probability; each is one of the values."""
    return tuple(int(value) for value in np.quantile(values, np.linspace(0, 1, KNOTS), method="nearest"))


@dataclass(frozen=True, slots=True)
class Recording:
    """Tables of one symbol and day in ticks and lots; `trade_lots`, int64[n], has the size of each trade.

    In `messages`, `rows` is their number, and `bid` and `ask` are the best ticks after the message, null before the
    first ticker. In `rows`, `distance` is that from the side's best after the message, and `previous` are the lots
    before, null where the level was never touched.
    """

    messages: pl.DataFrame
    rows: pl.DataFrame
    tickers: pl.DataFrame
    chain: pl.DataFrame
    trade_lots: NDArray[np.int64]


def read_recording(
    lake_root: Path, truth_root: Path, key: PartitionKey, price_decimals: int, size_decimals: int
) -> Recording:
    """Read one symbol and day from the folders that `calibrate` is given."""
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
