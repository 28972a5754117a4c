"""Crypto Lake files into the `raw_deltas`, `snapshots` and `trades` partitions."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from order_book_platform.model import FixedPoint, GateResult, PartitionKey
from order_book_platform.model.schemas import RAW_DELTAS, SNAPSHOTS, TRADES
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources.deltas import DeltaReader
from order_book_platform.sources.lake import LakeSource
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
        """
        with ExitStack() as partitions:
            # The last one entered is published first: snapshots and trades stand when raw_deltas appears.
            deltas = partitions.enter_context(self._store.write("raw_deltas", key))
            trades = partitions.enter_context(self._store.write("trades", key))
            snapshots = partitions.enter_context(self._store.write("snapshots", key))
            fixed_point = self._deltas(key, deltas, progress)
            self._snapshots(key, snapshots, fixed_point, progress)
            self._trades(key, trades, fixed_point, progress)
        manifest = self._store.manifest
        return IngestResult(manifest("raw_deltas", key), manifest("snapshots", key), manifest("trades", key))

    def _deltas(self, key: PartitionKey, writer: PartitionWriter, progress: Progress) -> FixedPoint:
        instrument = self._settings.instrument(key.instrument)
        settings = self._settings.sources
        files = self._source.files("book_delta_v2", key)
        reader = DeltaReader(files, instrument, settings.max_off_grid_rows, settings.batch_rows)
        total = sum(file.rows for file in files)
        sink = writer.parquet("deltas.parquet", RAW_DELTAS, DELTA_GROUP_ROWS)
        for batch in reader.batches():
            sink.write(batch.to_arrow())
            progress("deltas", sink.rows, total)
        point = reader.fixed_point
        self._describe(writer, key, "book_delta_v2", point, reader.audit.to_dict())
        writer.metadata["configured"] = {
            name: None if value is None else str(value)
            for name, value in (("tick", instrument.tick), ("lot", instrument.lot))
        }
        return point

    def _snapshots(
        self, key: PartitionKey, writer: PartitionWriter, point: FixedPoint, progress: Progress
    ) -> None:
        sink = writer.parquet("snapshots.parquet", SNAPSHOTS, SNAPSHOT_GROUP_ROWS)
        available = self._source.has("book", key)
        files = self._source.files("book", key) if available else []
        reader = SnapshotReader(files, point, SNAPSHOT_GROUP_ROWS)
        total = sum(file.rows for file in files)
        for batch in reader.batches():
            sink.write(batch.to_arrow())
            progress("snapshots", sink.rows, total)
        self._describe(writer, key, "book", point, {"available": available, **reader.audit.to_dict()})

    def _trades(
        self, key: PartitionKey, writer: PartitionWriter, point: FixedPoint, progress: Progress
    ) -> None:
        sink = writer.parquet("trades.parquet", TRADES)
        available = self._source.has("trades", key)
        files = self._source.files("trades", key) if available else []
        reader = TradeReader(files, point, self._settings.sources.batch_rows)
        if available:
            for table in reader.tables():
                sink.write(table)
                progress("trades", sink.rows, sum(file.rows for file in files))
        self._describe(writer, key, "trades", point, {"available": available, **reader.audit.to_dict()})

    def _describe(
        self, writer: PartitionWriter, key: PartitionKey, table: str, point: FixedPoint, audit: dict[str, Any]
    ) -> None:
        writer.inputs.update(
            {f"{table}/{name}": digest for name, digest in self._source.fingerprints(table, key).items()}
        )
        writer.metadata.update(point.to_metadata())
        writer.metadata["audit"] = audit
