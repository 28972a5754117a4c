"""Partitions for the reporter's tests: published from batches, recordings or a small invented market."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.frame_schemas import GAPS_SCHEMA
from order_book_platform.datasets.raw_deltas import RAW_DELTAS_SCHEMA, DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA
from order_book_platform.fidelity import measurement
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.measurement import FidelityResult
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.model.arrays import DEPTH
from order_book_platform.model.fixed_point import float_to_pips
from order_book_platform.settings import InstrumentSettings, Settings
from order_book_platform.storage import DataStore
from order_book_platform_tests import oracle

DAY_NS = 1_723_075_200 * NS_PER_SECOND
"""2024-08-08T00:00:00Z."""
KEY = PartitionKey.parse("SIMULATED:BTC-USDT", "2024-08-08")
POINT = FixedPoint(2, 3, 10, 1)


def make_settings(
    root: Path, lake: Path | None = None, symbols: tuple[str, ...] = (KEY.instrument.key,)
) -> Settings:
    """Settings with a data root below `root`."""
    return Settings(
        lake_root=lake or root / "lake",
        data_root=root / "store",
        first_day=KEY.day,
        instruments=tuple(InstrumentSettings(symbol=symbol) for symbol in symbols),
    )


def measure(store: DataStore, key: PartitionKey = KEY, golden: DataStore | None = None) -> FidelityResult:
    """Measure one partition, with a golden sample if there is one."""
    return measurement.measure(DayInputs.open(store, key, golden))


def publish(
    store: DataStore, dataset: str, tables: dict[str, pa.Table], key: PartitionKey = KEY, **metadata: object
) -> None:
    """Publish tables as one partition."""
    with store.write(dataset, key) as writer:
        writer.metadata.update({**POINT.to_metadata(), **metadata})
        for name, table in tables.items():
            writer.parquet(name, table.schema).write(table)


def publish_books(
    store: DataStore, books: pa.Table, used: pa.Table, key: PartitionKey = KEY, **metadata: object
) -> None:
    """Publish a reconstructed book, the snapshots it was made from, and a gap report without gaps if there is none."""
    tables = {"books-00000.parquet": books, "used_snapshots.parquet": used}
    publish(
        store, "reconstructed_books", tables, key, **{"cadence": "change", "replay_hash": "00", **metadata}
    )
    if not store.exists("sequence_gap_report", key):
        publish_gap_report(store, key)


def publish_gap_report(store: DataStore, key: PartitionKey = KEY, **changes: object) -> None:
    """Publish the report.json of a day without a gap."""
    clocks = {
        "origin_coverage": 1.0,
        "origin_valid": 1.0,
        "latency_ms": {"p1": 0.5, "p50": 1.0, "p95": 2.0, "p99": 3.0},
        "latency_negative": 0.0,
    }
    report = {
        "messages": 1_500,
        "seq_gap_ratio": None,
        "inferred_gap_ratio": 0.0,
        "clocks": clocks,
        **changes,
    }
    with store.write("sequence_gap_report", key) as writer:
        writer.parquet("gaps.parquet", GAPS_SCHEMA).write(GAPS_SCHEMA.empty_table())
        writer.json("report.json", report)


class Market:
    """A small market and snapshots of it; the truth is known by construction.

    There is a level on every tick within 40 of the mid price. The mid price wanders; some sizes change with every
    message. Every 4th message is followed by a snapshot of 20 levels a side.

    Args:
        messages: how many.
        seed: of everything random.
        step_ns: time between messages.
    """

    def __init__(self, messages: int = 1500, seed: int = 7, step_ns: int = NS_PER_SECOND // 50) -> None:
        random = np.random.default_rng(seed)
        deltas: list[tuple[int, int, bool, int, int]] = []
        snapshots: list[tuple[int, int, list[int], list[int]]] = []
        book = oracle.OracleBook()
        mid = 10_000
        for message in range(messages):
            sequence, time = 1_000 + 3 * message, DAY_NS + message * step_ns
            mid = min(10_005, max(9_995, mid + int(random.choice((-1, 0, 0, 0, 0, 0, 1)))))
            for is_bid, side in zip((True, False), book.sides, strict=True):
                for tick, size in self._changes(is_bid, side, mid, random):
                    side.set(tick * POINT.tick_pips, size)
                    deltas.append((sequence, time, is_bid, tick * POINT.tick_pips, size))
            if message % 4 == 0:
                row = book.row(DEPTH)[3:]
                snapshots.append((sequence, time, list(row[0::2]), list(row[1::2])))
        self.deltas = _deltas(deltas)
        self.snapshots = _snapshots(snapshots)

    @staticmethod
    def _changes(
        is_bid: bool, side: oracle.OracleSide, mid: int, random: np.random.Generator
    ) -> list[tuple[int, int]]:
        """(tick, size) of levels to remove, to add, and of a few to change."""
        wanted = range(mid - 40, mid) if is_bid else range(mid + 1, mid + 41)
        has = {key * side.sign // POINT.tick_pips for key in side.keys}
        gone = [(tick, 0) for tick in sorted(has - set(wanted))]
        new = {tick for tick in wanted if tick not in has} | {mid - 1 if is_bid else mid + 1}
        changed = new | set(random.choice(wanted, 6).tolist())
        return gone + [(tick, int(random.integers(1, 5_000))) for tick in sorted(changed)]

    def replay(self, deltas: DeltaBatch | None = None, extend_every: int = 5) -> oracle.OracleReplay:
        """The oracle's book; `deltas` may lack what the market had."""
        return oracle.replay(
            self.deltas if deltas is None else deltas,
            self.snapshots,
            tick_pips=POINT.tick_pips,
            extend_every=extend_every,
        )


def publish_inputs(store: DataStore, deltas: DeltaBatch, snapshots: SnapshotBatch) -> None:
    """Publish raw_deltas and snapshots."""
    publish(store, "raw_deltas", {"deltas.parquet": deltas.to_arrow()})
    publish(store, "snapshots", {"snapshots.parquet": snapshots.to_arrow()})


def report_files(store: DataStore) -> dict[str, bytes]:
    """Contents of the files of the report's partition, by their names."""
    return {path.name: path.read_bytes() for path in store.folder("fidelity_report", KEY).iterdir()}


def _deltas(rows: list[tuple[int, int, bool, int, int]]) -> DeltaBatch:
    sequence, time, is_bid, price, size = (np.array(column) for column in zip(*rows, strict=True))
    return DeltaBatch(time, time + 1_000_000, sequence, is_bid, price, size)


def _snapshots(rows: list[tuple[int, int, list[int], list[int]]]) -> SnapshotBatch:
    numbers, times, prices, sizes = zip(*rows, strict=True)
    shape = (len(rows), 2, DEPTH)
    times_ns = np.array(times)
    levels = (np.array(values).reshape(shape) for values in (prices, sizes))
    return SnapshotBatch(times_ns, times_ns + 1_000_000, np.array(numbers), *levels)


def take_deltas(deltas: DeltaBatch, keep: np.ndarray) -> DeltaBatch:
    """Rows of a batch."""
    return DeltaBatch.from_arrow(deltas.to_arrow().filter(pa.array(keep)))


def drop_messages(deltas: DeltaBatch, numbers: list[int] | np.ndarray) -> DeltaBatch:
    """The deltas without some messages."""
    return take_deltas(deltas, ~np.isin(deltas.sequence_number, numbers))


def exact_tickers(replayed: oracle.OracleReplay) -> pa.Table:
    """The oracle's best prices as a ticker stream, a row between every two messages besides."""
    rows = pl.from_arrow(replayed.rows)
    best = {f"{s}_{w}_pips": pl.col(f"{s}_0_{w}_pips") for s in ("bid", "ask") for w in ("price", "size")}
    exact = rows.select("origin_time", "received_time", "sequence_number", **best)
    noise = exact.with_columns(pl.col("sequence_number") - 1, pl.col("bid_size_pips") + 1)
    both = pl.concat([noise, exact]).sort("sequence_number")
    both = both.with_columns(transaction_time=pl.lit(None, pl.Int64)).select(TICKERS_SCHEMA.names)
    return both.to_arrow().cast(TICKERS_SCHEMA)


def captured_tickers(file: Path, point: FixedPoint) -> pa.Table:
    """The `bookTicker` messages of a raw recording, with T and E, as a table with schema `TICKERS`."""
    rows = []
    for line in gzip.decompress(file.read_bytes()).splitlines():
        arrival, message = line.split(b" ", 1)
        data = json.loads(message).get("data", {})
        if b"bookTicker" in message and "T" in data:
            levels = [
                int(Decimal(data[name]).scaleb(decimals))
                for name, decimals in (
                    ("b", point.price_decimals),
                    ("B", point.size_decimals),
                    ("a", point.price_decimals),
                    ("A", point.size_decimals),
                )
            ]
            rows.append((data["E"] * 10**6, data["T"] * 10**6, int(arrival), data["u"], *levels))
    return pa.table([pa.array(column) for column in zip(*rows, strict=True)], schema=TICKERS_SCHEMA)


def with_transaction_times(deltas: pa.Table, chain: Path) -> pa.Table:
    """Deltas with the T of truth/update_chain."""
    times = pl.read_parquet(chain, hive_partitioning=False).select(
        sequence_number="final_update_id", transaction_time="transaction_timestamp"
    )
    joined = (
        pl.from_arrow(deltas)
        .drop("transaction_time")
        .join(times, on="sequence_number", how="left", maintain_order="left")
    )
    return joined.select(RAW_DELTAS_SCHEMA.names).to_arrow().cast(RAW_DELTAS_SCHEMA)


def ticker_table(file: Path, point: FixedPoint) -> pa.Table:
    """truth/book_ticker as a table with schema `TICKERS`; a time of 0 means that the exchange gave none."""
    truth = pl.read_parquet(file, hive_partitioning=False)
    columns = {
        "origin_time": truth["timestamp"].replace(0, None),
        "transaction_time": pl.Series([None] * len(truth), dtype=pl.Int64),
        "received_time": truth["receipt_timestamp"],
        "sequence_number": truth["update_id"],
    }
    for side in ("bid", "ask"):
        for what, decimals in (("price", point.price_decimals), ("size", point.size_decimals)):
            pips, off_grid = float_to_pips(truth[f"{side}_{what}"].to_numpy(), decimals)
            assert not off_grid.any()
            columns[f"{side}_{what}_pips"] = pl.Series(pips)
    return pl.DataFrame(columns).to_arrow().cast(TICKERS_SCHEMA)
