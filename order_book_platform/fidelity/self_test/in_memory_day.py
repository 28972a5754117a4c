"""One day's partitions in memory: for defects to be put in, and for a slow look at all of it. For small days."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa

from order_book_platform.fidelity.metrics.metric import SNAPSHOTS, TICKERS, TRADES
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.dataset import DATASETS
from order_book_platform.storage import DataStore

BOOKS, DELTAS, USED_FILE = "reconstructed_books", "raw_deltas", "used_snapshots.parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """What a fidelity report is made from, with prices and sizes in pips.

    Attributes:
        books: `reconstructed_books`.
        used: its `used_snapshots.parquet`.
        messages: int64[n], sequence numbers of the messages of `raw_deltas`.
        snapshots, tickers, trades: those datasets.
        tick_pips: pips per tick.
    """

    books: pl.DataFrame
    used: pl.DataFrame
    messages: Int64Array
    snapshots: pl.DataFrame
    tickers: pl.DataFrame
    trades: pl.DataFrame
    tick_pips: int

    @classmethod
    def read(cls, store: DataStore, key: PartitionKey) -> Day:
        """All of it.

        Raises:
            PartitionMissingError: one of the six tables has not been published.
        """
        frames = {
            name: pl.DataFrame(store.table(dataset, key, file))
            for name, dataset, file in (
                ("books", BOOKS, None),
                ("used", BOOKS, USED_FILE),
                ("snapshots", SNAPSHOTS, None),
                ("tickers", TICKERS, None),
                ("trades", TRADES, None),
            )
        }
        numbers = store.rows(DELTAS, key).read(["sequence_number"]).column(0).to_numpy()
        begins = np.diff(numbers, prepend=numbers[:1] - 1) != 0
        return cls(
            messages=numbers[begins],
            tick_pips=store.manifest(BOOKS, key).fixed_point.tick_pips,
            **frames,
        )

    def publish(self, store: DataStore, key: PartitionKey, before: Day) -> None:
        """Replace what differs from another day in a store that holds that one.

        Args:
            store: holds `before`.
            key: of both.
            before: a day that this one was made from with `replaced`.
        """
        if self.books is not before.books or self.used is not before.used:
            main = store.manifest(BOOKS, key).parts()[0]
            self._write(store, key, BOOKS, {main: self.books, USED_FILE: self.used})
        for dataset in (SNAPSHOTS, TICKERS, TRADES):
            if getattr(self, dataset) is not getattr(before, dataset):
                self._write(store, key, dataset, {DATASETS[dataset].table_file: getattr(self, dataset)})

    @staticmethod
    def _write(store: DataStore, key: PartitionKey, dataset: str, frames: dict[str, pl.DataFrame]) -> None:
        """Publish frames with the schemas and the metadata of the partition that they replace."""
        metadata = store.manifest(dataset, key).metadata
        tables: dict[str, pa.Table] = {}
        for name, frame in frames.items():
            schema = store.rows(dataset, key, None if name != USED_FILE else name).schema.remove_metadata()
            tables[name] = frame.to_arrow().cast(schema)
        with store.write(dataset, key) as writer:
            writer.metadata.update(metadata)
            for name, table in tables.items():
                writer.parquet(name, table.schema).write(table)

    def replaced(
        self,
        books: pl.DataFrame | None = None,
        snapshots: pl.DataFrame | None = None,
        trades: pl.DataFrame | None = None,
    ) -> Day:
        """The same day with some tables replaced."""
        return replace(
            self,
            books=self.books if books is None else books,
            snapshots=self.snapshots if snapshots is None else snapshots,
            trades=self.trades if trades is None else trades,
        )
