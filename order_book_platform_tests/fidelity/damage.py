"""Books with damage, and the gates and figures that show it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.fidelity.measurement import FidelityResult
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import POINT, Market, measure, publish_books
from order_book_platform_tests.oracle import OracleReplay

Damage = Callable[[pl.DataFrame], pl.DataFrame]
TICK = POINT.tick_pips


def failed(measured: FidelityResult) -> set[str]:
    """Names of the gates that fail."""
    return {gate.name for gate in measured.gates if not gate.passed}


def value(measured: FidelityResult, name: str) -> float | None:
    """A metric's figure by its gate's name."""
    return next(metric.value for metric in measured.metrics if metric.gate_name == name)


def damage(store: DataStore, replayed: OracleReplay, change: Damage) -> FidelityResult:
    """Publish the book with a change and measure it."""
    rows = change(pl.from_arrow(replayed.rows)).to_arrow().cast(books_schema())
    publish_books(store, rows, replayed.used)
    return measure(store)


def some(every: int) -> pl.Expr:
    """Every n-th row."""
    return pl.int_range(pl.len()) % every == 0


def held_out_row(replayed: OracleReplay, market: Market) -> pl.Expr:
    """The one book row that the 100th held-out snapshot is compared with."""
    numbers = market.snapshots.sequence_number
    unused = numbers[~np.isin(numbers, replayed.used["sequence_number"].to_numpy())]
    return pl.col("sequence_number") == int(unused[100])


def far_off(frame: pl.DataFrame, here: pl.Expr, known: int) -> pl.DataFrame:
    """The best ask 500 ticks too high in the chosen rows, and how many levels these claim to know."""
    price, claim = pl.col("ask_0_price_pips"), pl.col("known_ask_levels")
    return frame.with_columns(
        pl.when(here).then(price + 500 * TICK).otherwise(price).alias("ask_0_price_pips"),
        pl.when(here).then(pl.lit(known, pl.UInt8)).otherwise(claim).alias("known_ask_levels"),
    )


def later(rows: pa.Table, share: float = 1.0) -> pa.Table:
    """Book rows, so many of which arrived 1 ms later."""
    moved = (pl.int_range(pl.len()) < share * pl.len()).cast(pl.Int64) * 1_000_000
    return pl.from_arrow(rows).with_columns(pl.col("received_time") + moved).to_arrow().cast(rows.schema)


def metrics_by_gate(measured: FidelityResult) -> dict[str, Metric]:
    """Metrics by the names of their gates."""
    return {metric.gate_name: metric for metric in measured.metrics}
