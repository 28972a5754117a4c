"""Partitions for the reporter's tests: published from batches, recordings or a small invented market."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.model import DeltaBatch, FixedPoint, PartitionKey, SnapshotBatch, schemas
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
    """Publish a reconstructed book and the snapshots it was made from."""
    tables = {"books.parquet": books, "used_snapshots.parquet": used}
    publish(
        store, "reconstructed_books", tables, key, **{"cadence": "change", "replay_hash": "00", **metadata}
    )


class Market:
    """A small market that moves at every message, and snapshots of it; the truth is known by construction.

    Args:
        messages: how many.
        seed: of the random walk.
        step_ns: time between messages.
    """

    def __init__(self, messages: int = 1500, seed: int = 7, step_ns: int = NS_PER_SECOND // 50) -> None:
        random = np.random.default_rng(seed)
        deltas: list[tuple[int, int, bool, int, int]] = []
        book = oracle.OracleBook()
        mid = 100_000
        snapshots: list[tuple[int, int, list[int], list[int]]] = []
        for message in range(messages):
            sequence, time = 1_000 + 3 * message, DAY_NS + message * step_ns
            mid += int(random.integers(-2, 3)) * 10
            wanted = self._ladder(mid, random)
            for is_bid, side, target in zip((True, False), book.sides, wanted, strict=True):
                last = max(key for key in (price * side.sign for price in target))
                gone = {key * side.sign for key in side.keys if key <= last} - target.keys()
                changes = [(price, 0) for price in sorted(gone)] + sorted(target.items())
                for price, size in changes:
                    if side.sizes.get(price * side.sign, 0) != size:
                        side.set(price, size)
                        deltas.append((sequence, time, is_bid, price, size))
            if message % 4 == 0:
                row = book.row(schemas.DEPTH)[3:]
                snapshots.append((sequence, time, list(row[0::2]), list(row[1::2])))
        self.deltas = _deltas(deltas)
        numbers, times, prices, sizes = zip(*snapshots, strict=True)
        shape = (len(snapshots), 2, schemas.DEPTH)
        times_ns = np.array(times, dtype=np.int64)
        self.snapshots = SnapshotBatch(
            times_ns,
            times_ns,
            np.array(numbers, dtype=np.int64),
            np.array(prices, dtype=np.int64).reshape(shape),
            np.array(sizes, dtype=np.int64).reshape(shape),
        )

    @staticmethod
    def _ladder(mid: int, random: np.random.Generator) -> tuple[dict[int, int], dict[int, int]]:
        """25 levels a side around a mid price; sizes persist only where the level does."""
        steps = np.cumsum(random.integers(1, 3, (2, 25)), axis=1) * 10
        sizes = random.integers(1, 5_000, (2, 25))
        bids = dict(zip((mid - steps[0]).tolist(), sizes[0].tolist(), strict=True))
        asks = dict(zip((mid + steps[1]).tolist(), sizes[1].tolist(), strict=True))
        return bids, asks

    def publish(self, store: DataStore, *, deltas: DeltaBatch | None = None, extend_every: int = 10) -> None:
        """Publish raw_deltas, snapshots and the oracle's book; `deltas` may lack what the market had."""
        deltas = self.deltas if deltas is None else deltas
        replayed = oracle.replay(deltas, self.snapshots, tick_pips=POINT.tick_pips, extend_every=extend_every)
        publish(store, "raw_deltas", {"deltas.parquet": deltas.to_arrow()})
        publish(store, "snapshots", {"snapshots.parquet": self.snapshots.to_arrow()})
        publish_books(store, replayed.rows, replayed.used)


def _deltas(rows: list[tuple[int, int, bool, int, int]]) -> DeltaBatch:
    sequence, time, is_bid, price, size = (np.array(column) for column in zip(*rows, strict=True))
    return DeltaBatch(time, time + 1_000_000, sequence, is_bid, price, size)


def take_deltas(deltas: DeltaBatch, keep: np.ndarray) -> DeltaBatch:
    """Rows of a batch."""
    return DeltaBatch.from_arrow(deltas.to_arrow().filter(pa.array(keep)))


def drop_messages(deltas: DeltaBatch, numbers: list[int] | np.ndarray) -> DeltaBatch:
    """The deltas without some messages."""
    return take_deltas(deltas, ~np.isin(deltas.sequence_number, numbers))


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
    return pl.DataFrame(columns).to_arrow().cast(schemas.TICKERS)
