"""`FeatureBuilder` makes `rl_features` from the reconstructed books and the trades of a partition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.model.decimal_encoding import whole_pips
from order_book_platform.observability import Progress, silent
from order_book_platform.rl.features.event_reader import BookChunk, ChunkCursor, EventReader, TradeChunk
from order_book_platform.rl.features.feature_columns import feature_table
from order_book_platform.rl.features.feature_spec import FeatureSpec
from order_book_platform.rl.features.quality_gates import FeatureQuality
from order_book_platform.rl.features.time_grid import TimeGrid
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest, ParquetRows

BATCH_ROWS = 65_536
"""Book rows decoded at a time: about 35 MB at 20 levels."""
BYTES_PER_ROW = 70
"""Published bytes of a row of features; recorded days took 60 to 71."""


@dataclass(frozen=True, slots=True)
class FeatureResult:
    """The result of making one partition of features.

    Attributes:
        manifest: Manifest of the `rl_features` partition.
        gates: Outcomes of the gates, in the order of docs/formats/rl_features.md.
    """

    manifest: Manifest
    gates: tuple[GateResult, ...]

    @property
    def rows(self) -> int:
        """Number of rows in features.parquet."""
        return self.manifest.rows["features.parquet"]


class FeatureBuilder:
    """Computes the features of one partition on a fixed clock, without look-ahead, in bounded memory.

    Args:
        store: Store that books and trades are read from and features are published in.
        settings: Settings of the platform; the section `features` shapes the columns.
        batch_rows: Rows decoded at a time; never changes a result.
    """

    def __init__(self, store: DataStore, settings: Settings, *, batch_rows: int = BATCH_ROWS) -> None:
        self._store = store
        self._settings = settings
        self._batch_rows = batch_rows

    def run(self, key: PartitionKey, progress: Progress = silent) -> FeatureResult:
        """Compute and publish `rl_features` of one partition.

        Args:
            key: Symbol and day.
            progress: Called with the number of book rows done.

        Raises:
            PartitionMissingError: Books or trades have not been published.
            PartitionCorruptError: Books or trades cannot be read.
            SettingsError: The books' cadence or depth cannot give the features asked for.
            BatchError: An `origin_time` lies far from the day, or a sum does not fit int64.
            PrecisionError: The day is kept as decimals, and int64 pips of no number of decimals hold them all.
        """
        books = self._store.manifest("reconstructed_books", key)
        trades = self._store.manifest("trades", key)
        encoding = whole_pips(str(key), books.metadata, trades.metadata)
        spec = FeatureSpec.of(
            self._settings.features,
            depth=int(books.metadata["depth"]),
            cadence=str(books.metadata["cadence"]),
            fixed_point=encoding.fixed_point,
            where=str(key),
        )
        quality = FeatureQuality(spec.imbalance_levels)
        book_rows, trade_rows = (self._store.rows(name, key) for name in ("reconstructed_books", "trades"))
        book_reader, trade_reader = (
            EventReader(rows, spec, key, self._batch_rows, encoding) for rows in (book_rows, trade_rows)
        )
        with self._store.write("rl_features", key) as writer:
            sink = writer.parquet("features.parquet", spec.schema)
            writer.expected_bytes = expected_bytes(book_rows, self._settings.features.clock)
            for table in feature_tables(spec, book_reader.books(), trade_reader.trades()):
                if not trades.metadata.get("audit", {}).get("available", True):
                    table = without_trade_counts(table)  # noqa: PLW2901 - the same rows
                sink.write(table)
                quality.add(table)
                writer.progressed(book_reader.rows, book_rows.num_rows)
                progress("features", book_reader.rows, book_rows.num_rows)
            writer.inputs.update(reconstructed_books=books.fingerprint, trades=trades.fingerprint)
            writer.metadata.update(encoding.fixed_point.to_metadata(), **spec.to_metadata())
            writer.metadata.update(quality.to_metadata(), cadence=books.metadata["cadence"])
            writer.metadata["counts"].update(
                book_rows=book_reader.rows,
                book_time_regressions=book_reader.regressions,
                trade_rows=trade_rows.num_rows,
                trade_time_regressions=trade_reader.regressions,
            )
        gates = quality.gates(book_rows=book_reader.rows, book_time_regressions=book_reader.regressions)
        return FeatureResult(self._store.manifest("rl_features", key), gates)


def expected_bytes(books: ParquetRows, clock_ns: int) -> int:
    """Estimate the bytes that a day's features take on disk, from the time that its books span."""
    first_ns, last_ns = books.value_range("origin_time") or (0, 0)
    return BYTES_PER_ROW * ((last_ns - first_ns) // clock_ns + 1)


def without_trade_counts(table: pa.Table) -> pa.Table:
    """Set `n_trades` to NaN: where the source had no table of trades, their number is not 0 but unknown."""
    at = table.schema.get_field_index("n_trades")
    unknown = pa.array(np.full(table.num_rows, np.nan, np.float32))
    return table.set_column(at, table.schema.field(at), unknown)


def feature_tables(
    spec: FeatureSpec, books: Iterator[BookChunk], trades: Iterator[TradeChunk]
) -> Iterator[pa.Table]:
    """Compute features of a stream of book rows and one of trades, block by block.

    A row at time t is made once a book row beyond t has been read: only that proves that everything at t was there.

    Args:
        spec: Time grid, windows and levels.
        books: Chunks of book rows in order.
        trades: Chunks of trades in order.

    Yields:
        Tables with the schema of the spec; one per block, none without book rows.

    Raises:
        BatchError: A sum over the flow window does not fit int64.
    """
    book_cursor, trade_cursor = ChunkCursor(books), ChunkCursor(trades)
    start = book_cursor.peek()
    if start is None:
        return
    first_row = -(-start // spec.stride) * spec.stride
    grid = TimeGrid(spec, first_row - spec.stride + 1)
    while True:
        for chunk, rows in book_cursor.take(grid.limit):
            grid.add_books(chunk, rows)
        for trade_chunk, rows in trade_cursor.take(grid.limit):
            grid.add_trades(trade_chunk, rows)
        ended = book_cursor.peek() is None
        seen = book_cursor.last_step if ended else grid.limit
        final = seen - (grid.limit - spec.block)
        grid.close(final)
        yield feature_table(grid, final // spec.stride * spec.stride)
        if ended:
            return
        grid.advance()
