"""`FeatureBuilder` makes `rl_features` from the books and trades of a partition, and counts and judges its rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.datasets.columns import as_numpy
from order_book_platform.model import Gate, GateResult, PartitionKey, Severity
from order_book_platform.model.encoding_choice import whole_pips
from order_book_platform.observability import Progress, silent
from order_book_platform.rl.features.event_reader import (
    BookChunk,
    ChunkCursor,
    EventReader,
    FeatureSpec,
    TradeChunk,
)
from order_book_platform.rl.features.feature_columns import TimeGrid, feature_table
from order_book_platform.settings import Settings
from order_book_platform.storage import DataStore, Manifest, ParquetRows

BATCH_ROWS = 65_536
"""Book rows decoded at a time: about 35 MB at 20 levels."""
BYTES_PER_ROW = 70
"""Published bytes of a row of features; recorded days took 60 to 71."""


@dataclass(frozen=True, slots=True)
class FeatureResult:
    """The published `rl_features` partition, and its gates in the order of docs/formats/rl_features.md."""

    manifest: Manifest
    gates: tuple[GateResult, ...]


class FeatureBuilder:
    """Computes the features of one partition on a fixed clock, without look-ahead, in bounded memory.

    The section `features` of the settings shapes the columns; `batch_rows`, decoded at a time, never changes a result.
    """

    def __init__(self, store: DataStore, settings: Settings, *, batch_rows: int = BATCH_ROWS) -> None:
        self._store = store
        self._settings = settings
        self._batch_rows = batch_rows

    def run(self, key: PartitionKey, progress: Progress = silent) -> FeatureResult:
        """Compute and publish `rl_features` of one partition; progress is in book rows.

        Raises:
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
        quality = FeatureQuality(spec.features.imbalance_levels)
        book_rows, trade_rows = (self._store.rows(name, key) for name in ("reconstructed_books", "trades"))
        book_reader, trade_reader = (
            EventReader(rows, spec, key, self._batch_rows, encoding) for rows in (book_rows, trade_rows)
        )
        with self._store.write("rl_features", key) as writer:
            sink = writer.parquet("features.parquet", spec.schema)
            writer.expected_bytes = expected_bytes(book_rows, self._settings.features.clock)
            for table in feature_tables(spec, book_reader.books(), trade_reader.trades()):
                if not trades.metadata.get("audit", {}).get("available", True):
                    # Where the source had no table of trades, their number is not 0 but unknown.
                    at = table.schema.get_field_index("n_trades")
                    unknown = pa.array(np.full(table.num_rows, np.nan, np.float32))
                    table = table.set_column(at, table.schema.field(at), unknown)  # noqa: PLW2901 - the same rows
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


def feature_tables(
    spec: FeatureSpec, books: Iterator[BookChunk], trades: Iterator[TradeChunk]
) -> Iterator[pa.Table]:
    """Compute features of a stream of book rows and one of trades, block by block.

    A row at time t is made once a book row beyond t has been read: only that proves that everything at t was there.
    Each block gives a table with the schema of the spec; without book rows there is none.
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


GATES: dict[str, tuple[Gate, str]] = {
    "feature_rows": (Gate(">=", 1), "rows of the sampling clock"),
    "valid_share": (Gate(">=", 0.99, Severity.WARN), "rows with a two-sided, seeded book free of doubt"),
    "ofi_share": (
        Gate(">=", 0.9, Severity.WARN),
        "rows whose whole flow window is market flow at the best prices",
    ),
    "qi_share": (Gate(">=", 0.9, Severity.WARN), "valid rows that know all the levels the imbalances need"),
    "time_regressions": (
        Gate("<=", 0.001, Severity.WARN),
        "book rows whose origin_time lay below an earlier one",
    ),
}
"""Name of each gate to its bar and to the rows it counts; all but `feature_rows` are shares of rows."""


def gate_descriptions() -> dict[str, str]:
    """Describe each gate in one sentence, for the checks of the UI."""
    return {
        name: f"{'Number' if name == 'feature_rows' else 'Share'} of {counted}."
        for name, (_, counted) in GATES.items()
    }


COUNTS = ("rows", "valid_rows", "invalid_rows", "invalid_spans", "crossed_rows", "gap_rows", "ofi_null_rows")
"""Counts of rows in the manifest; a span is an unbroken run of rows."""


class FeatureQuality:
    """Counts over the rows of one partition, added up table by table; first and last time are ns since the epoch."""

    def __init__(self, imbalance_levels: tuple[int, ...]) -> None:
        self._imbalance_levels = imbalance_levels
        self.counts = dict.fromkeys(COUNTS, 0)
        self.qi_rows = 0  # valid rows that have every `qi_k`
        self.first_time: int | None = None
        self.last_time: int | None = None
        self._was_valid = True

    def add(self, table: pa.Table) -> None:
        """Count the rows of the next table of features, in order of time."""
        if not table.num_rows:
            return
        valid = as_numpy(table, "valid").astype(np.bool_)
        before = np.concatenate(([self._was_valid], valid[:-1]))
        known = valid.copy()
        for level in self._imbalance_levels:
            known &= ~np.isnan(as_numpy(table, f"qi_{level}").astype(np.float64))
        marks = valid, ~valid, before & ~valid, as_numpy(table, "crossed"), as_numpy(table, "gap_flag")
        found = (table.num_rows, *(int(each.sum()) for each in marks), table.column("ofi_1").null_count)
        self.counts = {name: self.counts[name] + count for name, count in zip(COUNTS, found, strict=True)}
        self.qi_rows += int(known.sum())
        self.first_time = table.column("time")[0].as_py() if self.first_time is None else self.first_time
        self.last_time = table.column("time")[-1].as_py()
        self._was_valid = bool(valid[-1])

    def to_metadata(self) -> dict[str, Any]:
        """Give first and last time and the counts of rows, for the manifest."""
        return {"first_time": self.first_time, "last_time": self.last_time, "counts": dict(self.counts)}

    def gates(self, *, book_rows: int, book_time_regressions: int) -> tuple[GateResult, ...]:
        """Hold the counts and those of the book rows that were read against their bars; a share of no rows fails."""
        rows, valid_rows = self.counts["rows"], self.counts["valid_rows"]
        counted_of = {
            "feature_rows": (rows, book_rows),
            "valid_share": (valid_rows, rows),
            "ofi_share": (rows - self.counts["ofi_null_rows"], rows),
            "qi_share": (self.qi_rows, valid_rows),
            "time_regressions": (book_time_regressions, book_rows),
        }
        results = []
        for name, (gate, counted) in GATES.items():
            part, whole = counted_of[name]
            share = part / whole if whole else None
            value = rows if name == "feature_rows" else share
            note = f"{counted[0].upper()}{counted[1:]}"
            note += f"; {self.counts['invalid_spans']} spans are not." if name == "valid_share" else "."
            results.append(GateResult.of(name, value, gate, n=whole, note=note))
        return tuple(results)
