"""Crypto Lake files into the `raw_deltas`, `snapshots` and `trades` partitions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from order_book_platform.model import FixedPoint, GateResult, PartitionKey
from order_book_platform.model.schemas import RAW_DELTAS, SNAPSHOTS, TRADES
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources.deltas import DeltaReader
from order_book_platform.sources.grid import choose_decimals, configured_pips, settled, tick_of
from order_book_platform.sources.lake import LakeFile, LakeSource
from order_book_platform.sources.snapshots import SnapshotReader
from order_book_platform.sources.trades import TradeReader
from order_book_platform.storage import DataStore, Manifest, PartitionWriter

DELTA_GROUP_ROWS = 1_048_576
SNAPSHOT_GROUP_ROWS = 16_384


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
            FixedPointError: values that int64 pips cannot hold exactly; nothing is published.
            SettingsError: a configured tick or lot is finer than the decimals; nothing is published.
        """
        with ExitStack() as partitions:
            # The last one entered is published first: snapshots and trades stand when raw_deltas appears.
            deltas = partitions.enter_context(self._store.write("raw_deltas", key))
            trades = partitions.enter_context(self._store.write("trades", key))
            snapshots = partitions.enter_context(self._store.write("snapshots", key))
            self._fill(key, {"deltas": deltas, "snapshots": snapshots, "trades": trades}, progress)
        manifest = self._store.manifest
        return IngestResult(manifest("raw_deltas", key), manifest("snapshots", key), manifest("trades", key))

    def _fill(self, key: PartitionKey, writers: dict[str, PartitionWriter], progress: Progress) -> None:
        """Data first, then the metadata: the tick is known when deltas and snapshots have both been read."""
        instrument, rows = self._settings.instrument(key.instrument), self._settings.sources.batch_rows
        files = {"book_delta_v2": self._source.files("book_delta_v2", key)}
        for table in ("book", "trades"):
            files[table] = self._source.files(table, key) if self._source.has(table, key) else []
        scale = choose_decimals(instrument, files["book_delta_v2"], files["trades"], rows)
        tick = configured_pips(instrument, "tick", instrument.tick, scale.price_decimals)
        lot = configured_pips(instrument, "lot", instrument.lot, scale.size_decimals)

        deltas = self._deltas(key, writers["deltas"], files["book_delta_v2"], scale, progress)
        of_deltas = replace(scale, tick_pips=deltas.tick_pips, lot_pips=deltas.lot_pips or 1)
        snapshots = self._snapshots(key, writers["snapshots"], files["book"], of_deltas, progress)
        trades = self._trades(key, writers["trades"], files["trades"], scale, progress)

        detected = tick_of(
            deltas.tick_pips,
            snapshots.tick_pips,
            snapshots.audit.off_delta_tick_rows,
            snapshots.readable_rows,
        )
        tick_pips, wrong_tick = settled(detected, tick)
        lot_pips, wrong_lot = settled(deltas.lot_pips, lot)
        point = replace(scale, tick_pips=tick_pips, lot_pips=lot_pips)
        self._describe(writers["deltas"], key, "book_delta_v2", point, deltas.audit.to_dict())
        writers["deltas"].metadata["configured"] = {
            name: None if value is None else str(value)
            for name, value in (("tick", instrument.tick), ("lot", instrument.lot))
        }
        writers["deltas"].metadata["contradicted"] = [
            name for name, wrong in (("tick", wrong_tick), ("lot", wrong_lot)) if wrong
        ]
        for name, table, audit in (
            ("snapshots", "book", snapshots.audit.to_dict()),
            ("trades", "trades", trades.audit.to_dict()),
        ):
            self._describe(writers[name], key, table, point, {"available": bool(files[table]), **audit})

    def _deltas(
        self,
        key: PartitionKey,
        writer: PartitionWriter,
        files: list[LakeFile],
        scale: FixedPoint,
        progress: Progress,
    ) -> DeltaReader:
        settings = self._settings.sources
        reader = DeltaReader(files, key.day, scale, settings.max_off_grid_rows, settings.batch_rows)
        total = sum(file.rows for file in files)
        sink = writer.parquet("deltas.parquet", RAW_DELTAS, DELTA_GROUP_ROWS)
        for batch in reader.batches():
            sink.write(batch.to_arrow())
            progress("deltas", sink.rows, total)
        return reader

    def _snapshots(
        self,
        key: PartitionKey,
        writer: PartitionWriter,
        files: list[LakeFile],
        point: FixedPoint,
        progress: Progress,
    ) -> SnapshotReader:
        sink = writer.parquet("snapshots.parquet", SNAPSHOTS, SNAPSHOT_GROUP_ROWS)
        reader = SnapshotReader(files, key.day, point, SNAPSHOT_GROUP_ROWS)
        total = sum(file.rows for file in files)
        for batch in reader.batches():
            sink.write(batch.to_arrow())
            progress("snapshots", sink.rows, total)
        return reader

    def _trades(
        self,
        key: PartitionKey,
        writer: PartitionWriter,
        files: list[LakeFile],
        scale: FixedPoint,
        progress: Progress,
    ) -> TradeReader:
        settings = self._settings.sources
        sink = writer.parquet("trades.parquet", TRADES)
        reader = TradeReader(files, key.day, scale, settings.max_off_grid_rows, settings.batch_rows)
        if files:
            for table in reader.tables():
                sink.write(table)
                progress("trades", sink.rows, sum(file.rows for file in files))
        return reader

    def _describe(
        self, writer: PartitionWriter, key: PartitionKey, table: str, point: FixedPoint, audit: dict[str, Any]
    ) -> None:
        writer.inputs.update(
            {f"{table}/{name}": digest for name, digest in self._source.fingerprints(table, key).items()}
        )
        writer.metadata.update(point.to_metadata())
        writer.metadata["audit"] = audit
