"""Crypto Lake files into the `raw_deltas`, `snapshots` and `trades` partitions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from order_book_platform.datasets.raw_deltas import DELTA_GROUP_ROWS, DELTA_PACKING, RAW_DELTAS_SCHEMA
from order_book_platform.datasets.snapshots import SNAPSHOT_GROUP_ROWS, SNAPSHOTS_SCHEMA, snapshot_packing
from order_book_platform.datasets.trades import TRADES_SCHEMA
from order_book_platform.errors import FixedPointError, FixedPointRangeError, OffGridError
from order_book_platform.model import FixedPoint, GateResult, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import InstrumentSettings, Settings
from order_book_platform.sources.delta_reader import DeltaReader
from order_book_platform.sources.float_decoding import FloatBits, Pips, Reading
from order_book_platform.sources.lake_source import LakeFile, LakeSource
from order_book_platform.sources.price_grid import (
    choose_decimals,
    configured_pips,
    price_unit,
    settled,
    tick_of,
)
from order_book_platform.sources.snapshot_reader import SnapshotReader
from order_book_platform.sources.trade_reader import TradeReader
from order_book_platform.storage import DataStore, DiskSpace, Manifest, PartitionWriter
from order_book_platform.streaming import read_ahead

BYTES_PER_SOURCE_BYTE = {"book_delta_v2": 0.8, "book": 0.5, "trades": 0.5}
"""Of recorded days of three markets: 0.6 to 0.9, 0.4 to 0.5, 0.4 to 0.5."""

Files = dict[str, list[LakeFile]]
"""Opened files by table."""


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What was published.

    Attributes:
        manifest: of `raw_deltas`; its metadata holds fixed point and audit.
        snapshots, trades: manifests of the sibling partitions.
        gates: none; the assessment judges.
    """

    manifest: Manifest
    snapshots: Manifest
    trades: Manifest
    gates: tuple[GateResult, ...] = ()


class LakeIngest:
    """Reads Crypto Lake files of one symbol and day; writes canonical partitions.

    Prices and sizes become int64 pips, or decimals where those do not hold them; see `instruments.precision`.

    Args:
        store: where to publish.
        settings: `lake_root`, instruments and `sources`.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._source = LakeSource(settings.lake_root, settings.sources.batch_rows)

    def run(self, key: PartitionKey, progress: Progress = silent) -> IngestResult:
        """Publish the three partitions together; deltas are required, `book` and `trades` may be absent.

        Raises:
            SourceError: there is no such day, or a file is damaged or impossible; nothing is published.
            FixedPointError: values that neither int64 pips nor decimals hold exactly; nothing is published.
            SettingsError: a configured tick or lot is finer than the decimals; nothing is published.
        """
        instrument, files = self._settings.instrument(key.instrument), self._files(key)
        if instrument.precision == "decimal128":
            self._publish(key, files, FloatBits(), "precision is set to decimal128", progress)
        elif instrument.precision == "int64" or instrument.has_decimals:
            self._publish_pips(key, files, progress)
        else:
            self._publish_either(key, files, progress)
        manifest = self._store.manifest
        return IngestResult(manifest("raw_deltas", key), manifest("snapshots", key), manifest("trades", key))

    def _publish_either(self, key: PartitionKey, files: Files, progress: Progress) -> None:
        """As pips; if a value does not allow it, all anew as decimals: a day that fits pays nothing for the choice."""
        try:
            self._publish_pips(key, files, progress)
        except FixedPointError as error:
            why = f"as int64 pips: expected {error.expected}, found {error.found}"
            try:
                self._publish(key, files, FloatBits(), why, progress)
            except FixedPointError as second:
                error.remedy += f" decimal128 does not hold the day either: {second}"
                raise type(error)(**vars(error)) from second

    def _publish_pips(self, key: PartitionKey, files: Files, progress: Progress) -> None:
        """Of the decimals configured, else of 8 or fewer; if too few, of as many as the values leave room for."""
        instrument, rows = self._settings.instrument(key.instrument), self._settings.sources.batch_rows
        deltas, trades = files["book_delta_v2"], files["trades"]
        pips = Pips(choose_decimals(instrument, deltas, trades, rows))
        try:
            self._publish(key, files, pips, "int64 pips hold every value exactly", progress)
        except OffGridError as error:
            try:
                finer = Pips(choose_decimals(instrument, deltas, trades, rows, pips.off_grid, files["book"]))
            except FixedPointRangeError:  # a snapshot's value, which is no reason to refuse a day
                raise error from None
            if finer.scale == pips.scale:
                raise
            why = f"int64 pips of more decimals hold every value exactly; of fewer: {error.found}"
            try:
                self._publish(key, files, finer, why, progress)
            except OffGridError:
                raise error from None

    def _publish(
        self, key: PartitionKey, files: Files, reading: Pips | FloatBits, why: str, progress: Progress
    ) -> None:
        with ExitStack() as partitions:
            # The last one entered is published first: snapshots and trades stand when raw_deltas appears.
            disk_space = DiskSpace()
            deltas = partitions.enter_context(self._store.write("raw_deltas", key, disk_space=disk_space))
            trades = partitions.enter_context(self._store.write("trades", key, disk_space=disk_space))
            snapshots = partitions.enter_context(self._store.write("snapshots", key, disk_space=disk_space))
            writers = {"deltas": deltas, "snapshots": snapshots, "trades": trades}
            for name, table in (("deltas", "book_delta_v2"), ("snapshots", "book"), ("trades", "trades")):
                source_bytes = sum(file.path.stat().st_size for file in files[table])
                writers[name].metadata["source_bytes"] = source_bytes
                writers[name].expected_bytes = round(BYTES_PER_SOURCE_BYTE[table] * source_bytes)
            self._fill(key, files, writers, reading, why, progress)

    def _fill(
        self,
        key: PartitionKey,
        files: Files,
        writers: dict[str, PartitionWriter],
        reading: Pips | FloatBits,
        why: str,
        progress: Progress,
    ) -> None:
        """Data first, then the metadata: the tick is known when deltas and snapshots have both been read."""
        instrument, scale = self._settings.instrument(key.instrument), reading.scale
        tick = configured_pips(instrument, "tick", instrument.tick, scale.price_decimals)
        lot = configured_pips(instrument, "lot", instrument.lot, scale.size_decimals)

        deltas = self._deltas(key, writers["deltas"], files["book_delta_v2"], reading, progress)
        snapshots = self._snapshots(
            key, writers["snapshots"], files["book"], reading, deltas.tick_pips, progress
        )
        trades = self._trades(key, writers["trades"], files["trades"], reading, progress)

        detected = tick_of(
            deltas.tick_pips,
            snapshots.tick_pips,
            snapshots.audit.off_delta_tick_rows,
            snapshots.readable_rows,
            deltas.largest_price,
        )
        tick_pips, wrong_tick = settled(detected, tick)
        lot_pips, wrong_lot = settled(deltas.lot_pips, lot)
        point = replace(scale, tick_pips=tick_pips, lot_pips=lot_pips)
        described = reading.described(deltas.audit.to_dict())
        self._describe(writers["deltas"], key, "book_delta_v2", reading, point, described)
        writers["deltas"].metadata.update(
            precision_audit=_precision_audit(reading, instrument, why),
            configured=_configured(instrument),
            tick_changes=[change.to_dict() for change in deltas.tick_changes],
            contradicted=[name for name, wrong in (("tick", wrong_tick), ("lot", wrong_lot)) if wrong],
        )
        if reading.precision == "decimal128":
            unit = price_unit(
                gcd(tick_pips, deltas.tick_pips), snapshots.tick_pips, deltas.largest_price, key
            )
            for writer in writers.values():
                writer.metadata.update(price_unit=unit, size_unit=gcd(lot_pips, trades.lot_pips))
        for name, table, audit in (
            ("snapshots", "book", snapshots.audit),
            ("trades", "trades", trades.audit),
        ):
            found = {"available": bool(files[table]), **audit.to_dict()}
            self._describe(writers[name], key, table, reading, point, found)

    def _files(self, key: PartitionKey) -> Files:
        """By table; those that may be absent are empty then."""
        files = {"book_delta_v2": self._source.files("book_delta_v2", key)}
        for table in ("book", "trades"):
            files[table] = self._source.files(table, key) if self._source.has(table, key) else []
        return files

    def _deltas(
        self,
        key: PartitionKey,
        writer: PartitionWriter,
        files: list[LakeFile],
        reading: Reading,
        progress: Progress,
    ) -> DeltaReader:
        settings = self._settings.sources
        reader = DeltaReader(files, key.day, reading, settings.max_off_grid_rows, settings.batch_rows)
        total = sum(file.rows for file in files)
        schema = reading.schema(RAW_DELTAS_SCHEMA)
        packing = {name: how for name, how in DELTA_PACKING.items() if name in schema.names}
        sink = writer.parquet("deltas.parquet", schema, DELTA_GROUP_ROWS, packing)
        for batch in read_ahead(reader.batches()):
            sink.write(batch.to_arrow(reading))
            writer.progressed(sink.rows, total)
            progress("deltas", sink.rows, total)
        return reader

    def _snapshots(
        self,
        key: PartitionKey,
        writer: PartitionWriter,
        files: list[LakeFile],
        reading: Reading,
        delta_tick_pips: int,
        progress: Progress,
    ) -> SnapshotReader:
        schema = reading.schema(SNAPSHOTS_SCHEMA)
        sink = writer.parquet(
            "snapshots.parquet", schema, SNAPSHOT_GROUP_ROWS, snapshot_packing(schema), "lz4"
        )
        reader = SnapshotReader(files, key.day, reading, delta_tick_pips, SNAPSHOT_GROUP_ROWS)
        total = sum(file.rows for file in files)
        for batch in read_ahead(reader.batches()):
            sink.write(batch.to_arrow(reading))
            writer.progressed(sink.rows, total)
            progress("snapshots", sink.rows, total)
        return reader

    def _trades(
        self,
        key: PartitionKey,
        writer: PartitionWriter,
        files: list[LakeFile],
        reading: Reading,
        progress: Progress,
    ) -> TradeReader:
        settings = self._settings.sources
        sink = writer.parquet("trades.parquet", reading.schema(TRADES_SCHEMA))
        reader = TradeReader(files, key.day, reading, settings.max_off_grid_rows, settings.batch_rows)
        total = sum(file.rows for file in files)
        if files:
            for table in reader.tables():
                sink.write(table)
                writer.progressed(sink.rows, total)
                progress("trades", sink.rows, total)
        return reader

    def _describe(
        self,
        writer: PartitionWriter,
        key: PartitionKey,
        table: str,
        reading: Reading,
        point: FixedPoint,
        audit: dict[str, Any],
    ) -> None:
        writer.inputs.update(
            {f"{table}/{name}": digest for name, digest in self._source.fingerprints(table, key).items()}
        )
        writer.metadata.update(point.to_metadata())
        writer.metadata["precision"] = reading.precision
        writer.metadata["audit"] = audit


def _configured(instrument: InstrumentSettings) -> dict[str, str | None]:
    """Increments of the settings, as text."""
    increments = {"tick": instrument.tick, "lot": instrument.lot}
    return {name: None if value is None else str(value) for name, value in increments.items()}


def _precision_audit(reading: Pips | FloatBits, instrument: InstrumentSettings, why: str) -> dict[str, Any]:
    """Which path was taken, why, and how many values needed it."""
    audit: dict[str, Any] = {"wanted": instrument.precision, "chosen": reading.precision, "why": why}
    if isinstance(reading, FloatBits):
        audit["prices_beyond_pips"], first_price = reading.prices_beyond.fewest
        audit["sizes_beyond_pips"], first_size = reading.sizes_beyond.fewest
        audit["first_beyond_pips"] = first_price or first_size
        audit["sizes"] = reading.sizes
    return audit
