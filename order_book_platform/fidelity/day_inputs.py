"""The published tables that a fidelity report of one day is made from, opened once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.reconstructed_books.schema import USED_SNAPSHOTS_FILE
from order_book_platform.fidelity.metric_declarations import DELTAS, GAPS, SNAPSHOTS, TICKERS, TRADES
from order_book_platform.fidelity.references.golden_sample import BOOKS, GoldenSample
from order_book_platform.fidelity.references.held_out import plausible_times
from order_book_platform.model import PartitionKey
from order_book_platform.model.arrays import Int64Array
from order_book_platform.model.encoding_choice import encoding_of
from order_book_platform.model.pip_encoding import PartitionEncoding
from order_book_platform.storage import DataStore, Manifest, ParquetRows

REQUIRED = (BOOKS, DELTAS, GAPS)
OPTIONAL = (SNAPSHOTS, TICKERS, TRADES)


def input_fingerprints(store: DataStore, key: PartitionKey) -> dict[str, str]:
    """Return the fingerprints of the partitions that a report is made from, by dataset.

    Raises:
        PartitionMissingError: Books, deltas or their gap report have not been published.
    """
    return {
        dataset: store.manifest(dataset, key).fingerprint
        for dataset in (*REQUIRED, *OPTIONAL)
        if dataset in REQUIRED or store.exists(dataset, key)
    }


@dataclass(frozen=True, slots=True)
class DayInputs:
    """The tables of one symbol and day. Those that need not exist are None where they do not.

    Manifest and encoding are those of the books, and `used` is their `used_snapshots.parquet`.

    Attributes:
        gap_report: Content of report.json of `sequence_gap_report`, of which `gaps` are the rows.
        tickers: Rows of `tickers`, else those of the golden sample.
        fingerprints: Fingerprints of the partitions, by dataset; those of the golden sample begin with `golden/`.
    """

    key: PartitionKey
    manifest: Manifest
    books: ParquetRows
    encoding: PartitionEncoding
    used: pa.Table
    deltas: ParquetRows
    gaps: ParquetRows
    gap_report: Mapping[str, Any]
    snapshots: ParquetRows | None
    tickers: ParquetRows | None
    trades: ParquetRows | None
    golden: GoldenSample | None
    fingerprints: Mapping[str, str]

    @classmethod
    def open(cls, store: DataStore, key: PartitionKey, golden: DataStore | None = None) -> Self:
        """Open the tables of a symbol and day.

        `golden` is another store with books of the same; its tickers stand in where this one has none.

        Raises:
            PartitionMissingError: Books, deltas or their gap report have not been published, or no golden books.
            EvidenceError: The golden sample is made from the same recording, or holds prices otherwise.
        """
        fingerprints = input_fingerprints(store, key)
        manifest = store.manifest(BOOKS, key)
        books = store.rows(BOOKS, key)
        sample = None if golden is None else GoldenSample(golden, key, manifest, books)
        snapshots, tickers, trades = (
            store.rows(dataset, key) if dataset in fingerprints else None for dataset in OPTIONAL
        )
        return cls(
            key,
            manifest,
            books,
            encoding_of(manifest.metadata),
            store.table(BOOKS, key, USED_SNAPSHOTS_FILE),
            store.rows(DELTAS, key),
            store.rows(GAPS, key),
            store.report(GAPS, key),
            snapshots,
            sample.tickers if tickers is None and sample is not None else tickers,
            trades,
            sample,
            fingerprints | (sample.inputs if sample is not None else {}),
        )

    @property
    def plausible_ns(self) -> tuple[int, int]:
        """First and last plausible time of the day, ns."""
        return plausible_times(self.key.day)

    @property
    def on_grid(self) -> bool:
        """Whether the books have rows at fixed times only, so that a row holds for its own message alone."""
        return self.manifest.metadata.get("cadence") == "grid"

    @property
    def alignment(self) -> str:
        """How references with sequence numbers are matched, as in `Metric`."""
        return "sequence_equal" if self.on_grid else "sequence"

    @property
    def snapshot_numbers(self) -> Int64Array:
        """int64[m], sequence numbers of all snapshots, used ones too."""
        if self.snapshots is None:
            return np.zeros(0, dtype=np.int64)
        numbers: Int64Array = self.snapshots.read(["sequence_number"]).column(0).to_numpy()
        return numbers


def level_names(books: ParquetRows) -> list[str]:
    """Return the names of the columns of prices and sizes of books, four a level."""
    return [name for name in books.schema.names if name.startswith(("bid_", "ask_"))]
