"""One simulated stream, cut into two days."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from order_book_platform.model import PartitionKey
from order_book_platform.simulate import MarketSimulator, profile
from order_book_platform_tests.chain import Chain

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
NEXT = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-09")


def two_days(
    folder: Path,
    change: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    instrument: Mapping[str, object] | None = None,
    **wanted: object,
) -> Chain:
    """One simulated stream, cut into two days in the middle; the second day's deltas may be changed."""
    MarketSimulator(profile("btc-perp"), 11).write(folder / "one", KEY, 800)
    day_ns = 86_400 * 10**9
    for table in ("book_delta_v2", "book", "trades"):
        frame = pl.read_parquet(folder / "one" / table / KEY.path / "*.parquet", hive_partitioning=False)
        start = pl.read_parquet(
            folder / "one/book_delta_v2" / KEY.path / "*.parquet", hive_partitioning=False
        )
        first, last = start["timestamp"].min(), start["timestamp"].max()
        # The stream's middle is moved to midnight, so that each half lies within its own day.
        shift = -(-first // day_ns) * day_ns - (first + last) // 2 // 10**6 * 10**6
        moved = frame.with_columns(pl.col("timestamp") + shift, pl.col("receipt_timestamp") + shift)
        for key, part in ((KEY, moved.filter(pl.col("timestamp") < -(-first // day_ns) * day_ns)),
                          (NEXT, moved.filter(pl.col("timestamp") >= -(-first // day_ns) * day_ns))):  # fmt: skip
            if change is not None and key == NEXT:
                part = change(part)  # noqa: PLW2901
            path = folder / "lake" / table / key.path
            path.mkdir(parents=True, exist_ok=True)
            part.write_parquet(path / "1.parquet")
    return Chain.over(folder, folder / "lake", [KEY, NEXT], reconstruct=wanted, instrument=instrument)
