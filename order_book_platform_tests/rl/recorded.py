"""The recordings as published partitions: a plain replay of the deltas, extended by every tenth `book` row."""

from __future__ import annotations

from bisect import bisect_left, insort
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.model import BookFlag, FixedPoint, PartitionKey
from order_book_platform.storage import DataStore

DEPTH = 20
PIPS = 10**8
FIXED_POINT = FixedPoint(price_decimals=8, size_decimals=8, tick_pips=PIPS // 10, lot_pips=PIPS // 1000)


class PlainBook:
    """One side: a dict of sizes and a sorted list of prices; levels up to `edge` are known."""

    def __init__(self, is_bid: bool, levels: list[tuple[int, int]]) -> None:
        self.sign = -1 if is_bid else 1
        self.sizes = {self.sign * price: size for price, size in levels}
        self.keys = sorted(self.sizes)
        self.edge = self.keys[-1]

    def set(self, price: int, size: int) -> None:
        """Set one level; size 0 removes it."""
        key = self.sign * price
        if size == 0:
            if self.sizes.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]
            return
        if key not in self.sizes:
            insort(self.keys, key)
        self.sizes[key] = size

    def extend(self, levels: list[tuple[int, int]]) -> bool:
        """Take over a snapshot and what it says of the range it covers; whether a known level changed."""
        new = {self.sign * price: size for price, size in levels}
        edge = max(new)
        old = {key: size for key, size in self.sizes.items() if key <= edge}
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        for key in changed:
            self.set(self.sign * key, new.get(key, 0))
        repaired = any(key <= self.edge for key in changed)
        self.edge = max(self.edge, edge)
        return repaired

    def top(self) -> tuple[list[int | None], int]:
        """Price and size of the best DEPTH levels, one after the other, and how many of them are known."""
        cells: list[int | None] = [
            cell for key in self.keys[:DEPTH] for cell in (self.sign * key, self.sizes[key])
        ]
        known = sum(key <= self.edge for key in self.keys[:DEPTH])
        return cells + [None] * (2 * DEPTH - len(cells)), known


def lake_frame(recordings: Path, table: str, key: PartitionKey) -> pl.DataFrame:
    """One raw table of one symbol-day."""
    return pl.read_parquet(recordings / "lake" / table / key.path / "*.parquet", hive_partitioning=False)


def replay(recordings: Path, key: PartitionKey) -> pa.Table:
    """A `reconstructed_books` table with a row after every message from the seed on."""
    every_tenth = lake_frame(recordings, "book", key).gather_every(10).iter_rows(named=True)
    snapshots = {row["sequence_number"]: row for row in every_tenth}
    seed = next(iter(snapshots.values()))
    sides = {is_bid: PlainBook(is_bid, _levels(seed, is_bid)) for is_bid in (True, False)}
    times = seed["timestamp"], seed["receipt_timestamp"], seed["sequence_number"]
    rows: list[list[Any]] = [_row(times, sides, False)]
    deltas = lake_frame(recordings, "book_delta_v2", key).filter(
        pl.col("sequence_number") > seed["sequence_number"]
    )
    for times, message in groupby(deltas.iter_rows(), key=lambda delta: delta[:3]):
        for _, _, _, is_bid, price, size in message:
            sides[is_bid].set(round(price * PIPS), round(size * PIPS))
        snapshot = snapshots.get(times[2])
        repaired = [side.extend(_levels(snapshot, is_bid)) for is_bid, side in sides.items() if snapshot]
        rows.append(_row(times, sides, any(repaired)))
    return pa.table(list(map(list, zip(*rows, strict=True))), schema=books_schema(DEPTH))


def publish(recordings: Path, key: PartitionKey, store: DataStore, table: pa.Table) -> None:
    """Publish books and trades of one recording where the builder looks for them."""
    with store.write("reconstructed_books", key) as writer:
        writer.parquet("books-00000.parquet", books_schema(DEPTH)).write(table)
        writer.metadata.update(FIXED_POINT.to_metadata(), depth=DEPTH, cadence="message")
    raw = lake_frame(recordings, "trades", key)
    with store.write("trades", key) as writer:
        writer.parquet("trades.parquet", TRADES_SCHEMA).write(
            pa.table(
                {
                    "origin_time": raw["timestamp"].to_list(),
                    "received_time": raw["receipt_timestamp"].to_list(),
                    "trade_id": raw["id"].to_list(),
                    "is_buy": (raw["side"] == "buy").to_list(),
                    "price_pips": [round(price * PIPS) for price in raw["price"]],
                    "size_pips": [round(amount * PIPS) for amount in raw["amount"]],
                },
                schema=TRADES_SCHEMA,
            )
        )
        writer.metadata.update(FIXED_POINT.to_metadata())


def _levels(snapshot: dict[str, Any], is_bid: bool) -> list[tuple[int, int]]:
    name = "bid" if is_bid else "ask"
    cells = [(snapshot[f"{name}_{i}_price"], snapshot[f"{name}_{i}_size"]) for i in range(DEPTH)]
    return [(round(price * PIPS), round(size * PIPS)) for price, size in cells]


def _row(times: tuple[int, int, int], sides: dict[bool, PlainBook], repaired: bool) -> list[Any]:
    (bids, known_bid), (asks, known_ask) = sides[True].top(), sides[False].top()
    flags = int(BookFlag.SEEDED) | (int(BookFlag.REPAIRED) if repaired else 0)
    if min(known_bid, known_ask) < DEPTH:
        flags |= BookFlag.UNKNOWN_DEPTH
    return [*times, flags, known_bid, known_ask, *bids, *asks]
