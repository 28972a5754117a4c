"""A small day's partitions in memory, into which defects are put and from which slow figures are worked out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import USED_SNAPSHOTS_FILE
from order_book_platform.fidelity.metric_declarations import DELTAS, SNAPSHOTS, TICKERS, TRADES
from order_book_platform.fidelity.references.golden_sample import BOOKS
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.storage import DataStore


@dataclass(frozen=True, slots=True, eq=False)
class InMemoryDay:
    """The tables that a fidelity report is made from, with prices and sizes in pips.

    Attributes:
        books: Rows of `reconstructed_books`.
        used: Rows of its `used_snapshots.parquet`.
        messages: int64[n], sequence numbers of the messages of `raw_deltas`.
    """

    books: pl.DataFrame
    used: pl.DataFrame
    messages: Int64Array
    snapshots: pl.DataFrame
    tickers: pl.DataFrame
    trades: pl.DataFrame
    tick_pips: int

    @classmethod
    def read(cls, store: DataStore, key: PartitionKey) -> InMemoryDay:
        """Read all tables of a symbol and day.

        Raises:
            PartitionMissingError: One of the six tables has not been published.
        """
        frames = {
            name: pl.DataFrame(store.table(dataset, key, file))
            for name, dataset, file in (
                ("books", BOOKS, None),
                ("used", BOOKS, USED_SNAPSHOTS_FILE),
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

    def publish(self, store: DataStore, key: PartitionKey, before: InMemoryDay) -> None:
        """Publish the tables that were replaced since `before`, the day that the store holds under the key."""
        if self.books is not before.books or self.used is not before.used:
            main = store.manifest(BOOKS, key).parts()[0]
            self._write(store, key, BOOKS, {main: self.books, USED_SNAPSHOTS_FILE: self.used})
        for dataset in (SNAPSHOTS, TICKERS, TRADES):
            if getattr(self, dataset) is not getattr(before, dataset):
                self._write(store, key, dataset, {DATASETS[dataset].table_file: getattr(self, dataset)})

    @staticmethod
    def _write(store: DataStore, key: PartitionKey, dataset: str, frames: dict[str, pl.DataFrame]) -> None:
        """Publish frames with the schemas and the metadata of the partition that they replace."""
        metadata = store.manifest(dataset, key).metadata
        tables: dict[str, pa.Table] = {}
        for name, frame in frames.items():
            schema = store.rows(
                dataset, key, None if name != USED_SNAPSHOTS_FILE else name
            ).schema.remove_metadata()
            tables[name] = frame.to_arrow().cast(schema)
        with store.write(dataset, key) as writer:
            writer.metadata.update(metadata)
            for name, table in tables.items():
                writer.parquet(name, table.schema).write(table)
