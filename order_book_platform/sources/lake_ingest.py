"""Publishes the Crypto Lake files of a symbol and day as `raw_deltas`, `snapshots` and `trades`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from math import gcd
from typing import Any

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DELTA_GROUP_ROWS, DELTA_PACKING, RAW_DELTAS_SCHEMA
from order_book_platform.datasets.snapshots import SNAPSHOT_GROUP_ROWS, SNAPSHOTS_SCHEMA, snapshot_packing
from order_book_platform.datasets.tickers_and_trades import TRADES_SCHEMA
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_source import DATASET_OF_TABLE, LakeSource
from order_book_platform.sources.price_grid import (
    Files,
    configured_pips,
    configured_text,
    detected_tick,
    price_unit,
    read_exactly,
    settled_increments,
)
from order_book_platform.sources.table_reader import DeltaReader, SnapshotReader, TradeReader
from order_book_platform.storage import DataStore, DiskSpace, Manifest, PartitionWriter
from order_book_platform.streaming import read_ahead

BYTES_PER_SOURCE_BYTE = {"book_delta_v2": 0.8, "book": 0.5, "trades": 0.5}
"""Bytes published for each byte of the source: recorded days of three markets took 0.6 to 0.9, 0.4 to 0.5 and 0.4 to
0.5."""

Writers = dict[str, PartitionWriter]
"""Writers of the three partitions by table."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The three published partitions.

    `manifest` is that of `raw_deltas`, whose metadata hold fixed point and audit. `gates` is always empty: judging is
    left to the assessment.
    """

    manifest: Manifest
    snapshots: Manifest
    trades: Manifest
    gates: tuple[GateResult, ...] = ()


class LakeIngest:
    """Reads Crypto Lake files of one symbol and day; writes canonical partitions.

    Prices and sizes become int64 pips, or decimals where pips do not hold them exactly; the setting
    `instruments.precision` may ask for one of them.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._source = LakeSource(settings.lake_root, settings.sources.batch_rows)

    def run(self, key: PartitionKey, progress: Progress = silent) -> IngestResult:
        """Publish the three partitions together; deltas are required, `book` and `trades` may be absent.

        After an error nothing is published.

        Raises:
            SourceError: There is no such day, or a file is damaged or impossible.
            FixedPointError: Neither int64 pips nor decimals hold a value exactly.
            SettingsError: A configured tick or lot is finer than the decimals.
        """
        files = self._source.files_by_table(key)

        def publish(decoder: FloatDecoder, why: str) -> None:
            self._publish(key, files, decoder, why, progress)

        instrument = self._settings.instrument(key.instrument)
        read_exactly(instrument, files, self._settings.sources.batch_rows, publish)
        manifest = self._store.manifest
        return IngestResult(manifest("raw_deltas", key), manifest("snapshots", key), manifest("trades", key))

    def _publish(
        self, key: PartitionKey, files: Files, decoder: FloatDecoder, why: str, progress: Progress
    ) -> None:
        with ExitStack() as partitions:
            disk_space, writers = DiskSpace(), {}
            # The last partition that is entered is published first: snapshots and trades stand when raw_deltas appears.
            for table in ("book_delta_v2", "trades", "book"):
                writer = self._store.write(DATASET_OF_TABLE[table], key, disk_space=disk_space)
                writers[table] = partitions.enter_context(writer)
                source_bytes = sum(file.path.stat().st_size for file in files[table])
                writers[table].metadata["source_bytes"] = source_bytes
                writers[table].expected_bytes = round(BYTES_PER_SOURCE_BYTE[table] * source_bytes)
            self._fill(key, files, writers, decoder, why, progress)

    def _fill(
        self,
        key: PartitionKey,
        files: Files,
        writers: Writers,
        decoder: FloatDecoder,
        why: str,
        progress: Progress,
    ) -> None:
        """Write the data first, then the metadata: the tick is known when deltas and snapshots have both been read."""
        instrument = self._settings.instrument(key.instrument)
        configured = configured_pips(instrument, decoder.scale)
        deltas, snapshots, trades = self._write_tables(key, files, writers, decoder, progress)
        tick_pips = detected_tick(
            deltas.tick_pips,
            snapshots.tick_pips,
            snapshots.audit.off_delta_tick_rows,
            snapshots.readable_rows,
            deltas.largest_price,
        )
        point, contradicted = settled_increments(decoder.scale, configured, tick_pips, deltas.lot_pips)
        audits = {
            "book_delta_v2": decoder.readable_audit(asdict(deltas.audit)),
            "book": {"available": bool(files["book"]), **asdict(snapshots.audit)},
            "trades": {"available": bool(files["trades"]), **asdict(trades.audit)},
        }
        for table, writer in writers.items():
            fingerprints = self._source.fingerprints(table, key)
            writer.inputs.update({f"{table}/{name}": digest for name, digest in fingerprints.items()})
            writer.metadata.update(point.to_metadata(), precision=decoder.precision, audit=audits[table])
        if decoder.precision == "decimal128":
            divisor = gcd(point.tick_pips, deltas.tick_pips)
            unit = price_unit(divisor, snapshots.tick_pips, deltas.largest_price, key)
            for writer in writers.values():
                writer.metadata.update(price_unit=unit, size_unit=gcd(point.lot_pips, trades.lot_pips))
        choice = {"wanted": instrument.precision, "chosen": decoder.precision}
        sizes = {} if decoder.size_count is None else {"sizes": decoder.size_count}
        writers["book_delta_v2"].metadata.update(
            precision_audit={**choice, "why": why, **sizes, **decoder.overflow_audit()},
            configured=configured_text(instrument),
            tick_changes=[change._asdict() for change in deltas.tick_changes],
            contradicted=contradicted,
        )

    def _write_tables(
        self, key: PartitionKey, files: Files, writers: Writers, decoder: FloatDecoder, progress: Progress
    ) -> tuple[DeltaReader, SnapshotReader, TradeReader]:
        """Write the rows of the three tables, and return their readers with what these have seen."""
        rows, accepted = self._settings.sources.batch_rows, self._settings.sources.max_off_grid_rows

        def write(table: str, name: str, tables: Iterator[pa.Table], *layout: Any) -> None:
            writer, total = writers[table], sum(file.rows for file in files[table])
            sink = writer.parquet(f"{name}.parquet", *layout)
            for part in tables:
                sink.write(part)
                writer.progressed(sink.rows, total)
                progress(name, sink.rows, total)

        deltas = DeltaReader(files["book_delta_v2"], key.day, decoder, rows, accepted)
        schema = decoder.schema(RAW_DELTAS_SCHEMA)
        packing = {name: how for name, how in DELTA_PACKING.items() if name in schema.names}
        tables = (batch.to_arrow(decoder) for batch in read_ahead(deltas.batches()))
        write("book_delta_v2", "deltas", tables, schema, DELTA_GROUP_ROWS, packing)

        snapshots = SnapshotReader(files["book"], key.day, decoder, SNAPSHOT_GROUP_ROWS, deltas.tick_pips)
        schema = decoder.schema(SNAPSHOTS_SCHEMA)
        tables = (batch.to_arrow(decoder) for batch in read_ahead(snapshots.batches()))
        packing = snapshot_packing(schema)
        write("book", "snapshots", tables, schema, SNAPSHOT_GROUP_ROWS, packing, "lz4")

        trades = TradeReader(files["trades"], key.day, decoder, rows, accepted)
        write("trades", "trades", trades.tables(), decoder.schema(TRADES_SCHEMA))
        return deltas, snapshots, trades
