"""Random streams of book rows and trades, and ways to run the builder over them without a store."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from order_book_platform.clock import day_start_ns
from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.model import BookFlag, FixedPoint, PartitionKey
from order_book_platform.model.pip_encoding import VERBATIM
from order_book_platform.rl.features.event_reader import EventReader, FeatureSpec
from order_book_platform.rl.features.feature_builder import feature_tables
from order_book_platform.settings import FeatureSettings
from order_book_platform.storage import ParquetRows
from order_book_platform_tests.rl.naive import BookRow, Trade

KEY = PartitionKey.parse("BINANCE_FUTURES:BTC-USDT-PERP", "2024-08-08")
START = day_start_ns(KEY.day)
DEPTH = 3
TICK = 10
MS = 1_000_000

SETTINGS = FeatureSettings(
    clock="100ms", flow_window="500ms", horizons=("1s", "2s"), imbalance_levels=(3, 1), mlofi_levels=2
)
COARSE = FeatureSettings(
    clock="2s", flow_window="4s", horizons=("2s", "4s"), imbalance_levels=(1, 2), mlofi_levels=3
)

_STEPS_MS = st.sampled_from([0, 0, 1, 40, 100, 100, 130, 260, 700, 1_900, -50])
_CLEAN = int(BookFlag.SEEDED)
_FLAGS = st.sampled_from(
    [_CLEAN] * 30
    + [
        _CLEAN | BookFlag.REPAIRED,
        _CLEAN | BookFlag.CROSSED,
        _CLEAN | BookFlag.GAP,
        _CLEAN | BookFlag.UNKNOWN_DEPTH,
        _CLEAN | BookFlag.GAP | BookFlag.CORRUPT,
        _CLEAN | BookFlag.HINDSIGHT,
        0,
    ]
)


@st.composite
def _sides(draw: st.DrawFn) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Up to three levels a side near 100 ticks; sometimes a side is thin or empty, sometimes they cross."""
    best_bid = draw(st.integers(98, 102))
    sides = []
    for best, direction in ((best_bid, -1), (best_bid + draw(st.sampled_from([1, 1, 1, 2, 5, 0, -1])), 1)):
        count = draw(st.sampled_from([DEPTH] * 12 + [2, 1, 0]))
        levels = [
            ((best + direction * i) * TICK, draw(st.integers(1, 9)) * 10 ** draw(st.sampled_from([0, 8])))
            for i in range(count)
        ]
        sides.append(tuple(levels + [None] * (DEPTH - count)))
    return sides[0], sides[1]


@st.composite
def book_rows(draw: st.DrawFn, start: int = START, min_size: int = 1, max_size: int = 40) -> list[BookRow]:
    """Book rows in order, with everything that may happen to one."""
    time, rows = start + draw(st.integers(0, 1_500)) * MS, []
    for _ in range(draw(st.integers(min_size, max_size))):
        bids, asks = draw(_sides())
        known = [draw(st.sampled_from([DEPTH] * 8 + [0, 1, 2])) for _ in range(2)]
        latency = draw(st.integers(-2_000_000_000, 2_000_000_000))
        rows.append(BookRow(time, time + latency, int(draw(_FLAGS)), known[0], known[1], bids, asks))
        time += draw(_STEPS_MS) * MS
    return rows


@st.composite
def trade_rows(draw: st.DrawFn, start: int = START, max_size: int = 30) -> list[Trade]:
    """Trades in order."""
    time, trades = start, []
    for _ in range(draw(st.integers(0, max_size))):
        time += draw(_STEPS_MS) * MS
        trades.append(Trade(time, draw(st.booleans()), draw(st.integers(0, 9)) * 10**7))
    return trades


def book_table(rows: list[BookRow], depth: int = DEPTH) -> pa.Table:
    """Rows as a `reconstructed_books` table."""
    columns: dict[str, list[Any]] = {
        "origin_time": [row.origin_time for row in rows],
        "received_time": [row.received_time for row in rows],
        "sequence_number": list(range(len(rows))),
        "flags": [row.flags for row in rows],
        "known_bid_levels": [row.known_bid for row in rows],
        "known_ask_levels": [row.known_ask for row in rows],
    }
    for side in ("bid", "ask"):
        for level in range(depth):
            cells = [getattr(row, f"{side}s")[level] for row in rows]
            columns[f"{side}_{level}_price_pips"] = [cell and cell[0] for cell in cells]
            columns[f"{side}_{level}_size_pips"] = [cell and cell[1] for cell in cells]
    return pa.table(columns, schema=books_schema(depth))


def trade_table(trades: list[Trade]) -> pa.Table:
    """Trades as a `trades` table."""
    return pa.table(
        {
            "origin_time": [trade.origin_time for trade in trades],
            "received_time": [trade.origin_time for trade in trades],
            "trade_id": list(range(len(trades))),
            "is_buy": [trade.is_buy for trade in trades],
            "price_pips": [1_000] * len(trades),
            "size_pips": [trade.size for trade in trades],
        },
        schema=TRADES_SCHEMA,
    )


def run_features(
    rows: list[BookRow],
    trades: list[Trade],
    settings: FeatureSettings = SETTINGS,
    batch_rows: int = 1_000,
) -> pa.Table:
    """The package's features of some rows and trades."""
    spec = FeatureSpec.of(
        settings, depth=DEPTH, cadence="change", fixed_point=FixedPoint(tick_pips=TICK), where="test"
    )
    readers = [
        EventReader(_file(table), spec, KEY, batch_rows, VERBATIM)
        for table in (book_table(rows), trade_table(trades))
    ]
    tables = list(feature_tables(spec, readers[0].books(), readers[1].trades()))
    return pa.concat_tables(tables or [spec.schema.empty_table()])


def same_bits(one: pa.Table, other: pa.Table) -> bool:
    """Equal schema, nulls and values, NaN equal to NaN, bit for bit."""
    if one.schema != other.schema or one.num_rows != other.num_rows:
        return False
    for name in one.schema.names:
        a, b = one.column(name), other.column(name)
        zero = False if pa.types.is_boolean(a.type) else 0
        if not a.is_null().equals(b.is_null()):
            return False
        if a.fill_null(zero).to_numpy().tobytes() != b.fill_null(zero).to_numpy().tobytes():
            return False
    return True


def agrees(value: Any, wanted: Any) -> bool:
    """Whether a stored value is the exact one: integers equal, floats to float32, None for null and NaN."""
    if wanted is None or value is None or (isinstance(value, float) and math.isnan(value)):
        return wanted is None and (value is None or math.isnan(value))
    if isinstance(value, float):
        return math.isclose(value, float(np.float32(float(wanted))), rel_tol=3e-7, abs_tol=1e-8)
    return bool(value == wanted)


def shift(rows: list[BookRow], ns: int) -> list[BookRow]:
    """The same rows, later."""
    return [
        replace(row, origin_time=row.origin_time + ns, received_time=row.received_time + ns) for row in rows
    ]


def _file(table: pa.Table) -> ParquetRows:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=7)
    return ParquetRows([sink.getvalue()])
