"""Publishes the Crypto Lake files of a symbol and day as `raw_deltas`, `snapshots` and `trades`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from math import gcd
from typing import Any

import pyarrow as pa

from order_book_platform.datasets.raw_deltas import DELTA_GROUP_ROWS, DELTA_PACKING, RAW_DELTAS_SCHEMA
from order_book_platform.datasets.snapshots import SNAPSHOT_GROUP_ROWS, SNAPSHOTS_SCHEMA, snapshot_packing
from order_book_platform.datasets.trades import TRADES_SCHEMA
from order_book_platform.errors import FixedPointError, FixedPointRangeError, OffGridError
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources.delta_reader import DeltaReader
from order_book_platform.sources.float_decoding import DecimalDecoder, FloatDecoder, PipDecoder
from order_book_platform.sources.increments import (
    ConfiguredIncrements,
    configured_text,
    detected_tick,
    price_unit,
)
from order_book_platform.sources.lake_source import DATASET_OF_TABLE, LakeFile, LakeSource
from order_book_platform.sources.price_grid import choose_decimals
from order_book_platform.sources.snapshot_reader import SnapshotReader
from order_book_platform.sources.trade_reader import TradeReader
from order_book_platform.storage import DataStore, DiskSpace, Manifest, ParquetSink, PartitionWriter
from order_book_platform.streaming import read_ahead

BYTES_PER_SOURCE_BYTE = {"book_delta_v2": 0.8, "book": 0.5, "trades": 0.5}
"""Bytes published for each byte of the source: recorded days of three markets took 0.6 to 0.9, 0.4 to 0.5 and 0.4 to
0.5."""

Files = dict[str, list[LakeFile]]
"""Opened files by table."""
Writers = dict[str, PartitionWriter]
"""Writers of the three partitions by table."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """The three published partitions.

    Attributes:
        manifest: Manifest of `raw_deltas`; its metadata holds fixed point and audit.
        snapshots: Manifest of `snapshots`.
        trades: Manifest of `trades`.
        gates: Always empty; the assessment judges.
    """

    manifest: Manifest
    snapshots: Manifest
    trades: Manifest
    gates: tuple[GateResult, ...] = ()


class LakeIngest:
    """Reads Crypto Lake files of one symbol and day; writes canonical partitions.

    Prices and sizes become int64 pips, or decimals where pips do not hold them exactly; the setting
    `instruments.precision` may ask for one of them.

    Args:
        store: Store that the partitions are published in.
        settings: Settings `lake_root`, instruments and `sources`.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._source = LakeSource(settings.lake_root, settings.sources.batch_rows)

    def run(self, key: PartitionKey, progress: Progress = silent) -> IngestResult:
        """Publish the three partitions together; deltas are required, `book` and `trades` may be absent.

        Args:
            key: Symbol and day.
            progress: Told of the rows written, by dataset.

        Raises:
            SourceError: There is no such day, or a file is damaged or impossible; nothing is published.
            FixedPointError: Neither int64 pips nor decimals hold a value exactly; nothing is published.
            SettingsError: A configured tick or lot is finer than the decimals; nothing is published.
        """
        instrument, files = self._settings.instrument(key.instrument), self._source.files_by_table(key)
        if instrument.precision == "decimal128":
            self._publish(key, files, DecimalDecoder(), "precision is set to decimal128", progress)
        elif instrument.precision == "int64" or instrument.has_decimals:
            self._publish_pips(key, files, progress)
        else:
            self._publish_either(key, files, progress)
        manifest = self._store.manifest
        return IngestResult(manifest("raw_deltas", key), manifest("snapshots", key), manifest("trades", key))

    def _publish_either(self, key: PartitionKey, files: Files, progress: Progress) -> None:
        """Publish as pips; if a value does not allow it, begin anew as decimals.

        Trying costs a day nothing if it fits pips, as nearly all do.
        """
        try:
            self._publish_pips(key, files, progress)
        except FixedPointError as error:
            why = f"as int64 pips: expected {error.expected}, found {error.found}"
            try:
                self._publish(key, files, DecimalDecoder(), why, progress)
            except FixedPointError as second:
                error.remedy += f" decimal128 does not hold the day either: {second}"
                raise type(error)(**vars(error)) from second

    def _publish_pips(self, key: PartitionKey, files: Files, progress: Progress) -> None:
        """Publish as pips of the configured decimals, else of 8 or fewer.

        If a value has more decimals than these, the day is read again with as many as the values leave room for.
        """
        instrument, rows = self._settings.instrument(key.instrument), self._settings.sources.batch_rows
        deltas, trades = files["book_delta_v2"], files["trades"]
        pips = PipDecoder(choose_decimals(instrument, deltas, trades, rows))
        try:
            self._publish(key, files, pips, "int64 pips hold every value exactly", progress)
        except OffGridError as error:
            try:
                finest = choose_decimals(instrument, deltas, trades, rows, pips.off_grid, files["book"])
            except FixedPointRangeError:  # of a snapshot's value, which is no reason to refuse a day
                raise error from None
            if finest == pips.scale:
                raise
            why = f"int64 pips of more decimals hold every value exactly; of fewer: {error.found}"
            try:
                self._publish(key, files, PipDecoder(finest), why, progress)
            except OffGridError:
                raise error from None

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
        configured = ConfiguredIncrements.of(instrument, decoder.scale)

        deltas = self._write_deltas(key, writers, files, decoder, progress)
        snapshots = self._write_snapshots(key, writers, files, decoder, deltas.tick_pips, progress)
        trades = self._write_trades(key, writers, files, decoder, progress)

        tick_pips = detected_tick(
            deltas.tick_pips,
            snapshots.tick_pips,
            snapshots.audit.off_delta_tick_rows,
            snapshots.readable_rows,
            deltas.largest_price,
        )
        point, contradicted = configured.settle(tick_pips, deltas.lot_pips)
        audits = {
            "book_delta_v2": decoder.readable_audit(deltas.audit.to_dict()),
            "book": {"available": bool(files["book"]), **snapshots.audit.to_dict()},
            "trades": {"available": bool(files["trades"]), **trades.audit.to_dict()},
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
        writers["book_delta_v2"].metadata.update(
            precision_audit=_precision_audit(decoder, instrument.precision, why),
            configured=configured_text(instrument),
            tick_changes=[change.to_dict() for change in deltas.tick_changes],
            contradicted=contradicted,
        )

    def _write_deltas(
        self, key: PartitionKey, writers: Writers, files: Files, decoder: FloatDecoder, progress: Progress
    ) -> DeltaReader:
        settings, writer = self._settings.sources, writers["book_delta_v2"]
        schema = decoder.schema(RAW_DELTAS_SCHEMA)
        packing = {name: how for name, how in DELTA_PACKING.items() if name in schema.names}
        sink = writer.parquet("deltas.parquet", schema, DELTA_GROUP_ROWS, packing)
        deltas = files["book_delta_v2"]
        reader = DeltaReader(deltas, key.day, decoder, settings.batch_rows, settings.max_off_grid_rows)
        tables = (batch.to_arrow(decoder) for batch in read_ahead(reader.batches()))
        _write(tables, sink, writer, deltas, progress, "deltas")
        return reader

    def _write_snapshots(
        self,
        key: PartitionKey,
        writers: Writers,
        files: Files,
        decoder: FloatDecoder,
        delta_tick_pips: int,
        progress: Progress,
    ) -> SnapshotReader:
        writer, schema = writers["book"], decoder.schema(SNAPSHOTS_SCHEMA)
        packing = snapshot_packing(schema)
        sink = writer.parquet("snapshots.parquet", schema, SNAPSHOT_GROUP_ROWS, packing, "lz4")
        reader = SnapshotReader(files["book"], key.day, decoder, SNAPSHOT_GROUP_ROWS, delta_tick_pips)
        tables = (batch.to_arrow(decoder) for batch in read_ahead(reader.batches()))
        _write(tables, sink, writer, files["book"], progress, "snapshots")
        return reader

    def _write_trades(
        self, key: PartitionKey, writers: Writers, files: Files, decoder: FloatDecoder, progress: Progress
    ) -> TradeReader:
        settings, writer = self._settings.sources, writers["trades"]
        sink = writer.parquet("trades.parquet", decoder.schema(TRADES_SCHEMA))
        reader = TradeReader(
            files["trades"], key.day, decoder, settings.batch_rows, settings.max_off_grid_rows
        )
        _write(reader.tables(), sink, writer, files["trades"], progress, "trades")
        return reader


def _write(
    tables: Iterator[pa.Table],
    sink: ParquetSink,
    writer: PartitionWriter,
    files: list[LakeFile],
    progress: Progress,
    stage: str,
) -> None:
    total = sum(file.rows for file in files)
    for table in tables:
        sink.write(table)
        writer.progressed(sink.rows, total)
        progress(stage, sink.rows, total)


def _precision_audit(decoder: FloatDecoder, wanted: str, why: str) -> dict[str, Any]:
    """Return which precision was wanted and chosen, why, and how many values needed decimals."""
    audit = {"wanted": wanted, "chosen": decoder.precision, "why": why, **decoder.overflow_audit()}
    return audit if decoder.size_count is None else {**audit, "sizes": decoder.size_count}
