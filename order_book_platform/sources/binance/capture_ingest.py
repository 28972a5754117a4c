"""Publishes a captured day of a symbol as `raw_deltas`, `snapshots`, `tickers` and `trades`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.datasets.raw_deltas import (
    DELTA_GROUP_ROWS,
    DELTA_PACKING,
    RAW_DELTAS_SCHEMA,
    DeltaBatch,
)
from order_book_platform.datasets.snapshots import SNAPSHOT_GROUP_ROWS, SNAPSHOTS_SCHEMA, snapshot_packing
from order_book_platform.datasets.tickers_and_trades import TICKERS_SCHEMA, TRADES_SCHEMA
from order_book_platform.errors import PrecisionError, SourceMissingError, SourceValueError
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.observability import Progress, silent
from order_book_platform.settings import Settings
from order_book_platform.sources.binance.captured_day import CapturedDay
from order_book_platform.sources.binance.market import MARKETS, Market
from order_book_platform.sources.binance.raw_segments import RawSegments
from order_book_platform.sources.float_decoding import FloatDecoder
from order_book_platform.sources.lake_ingest import IngestResult
from order_book_platform.sources.lake_source import GridAudit
from order_book_platform.sources.price_grid import configured_pips, configured_text, settled_increments
from order_book_platform.sources.table_reader import DeltaReader, SnapshotAudit
from order_book_platform.storage import DataStore, DiskSpace, LogReader, PartitionWriter
from order_book_platform.storage.master_keys import MasterKeys, load_master_keys

RAW = "raw"
"""Folder of the raw log below that of a capture."""
_ORDER = ("raw_deltas", "tickers", "trades", "snapshots")
"""Partitions in the order in which they are entered; the last one is published first."""


@dataclass(frozen=True)
class Capture:
    """A capture below the capture root.

    Attributes:
        folder: Folder of the capture.
        market: Market of its raw log.
        keys: Master keys of an encrypted log.
    """

    folder: Path
    market: Market
    keys: MasterKeys | None = None

    @cached_property
    def segments(self) -> RawSegments:
        """The segments of its raw log when they were first asked for."""
        return RawSegments.of(self.folder / RAW, self.keys)


def captures_of(root: Path, key: PartitionKey, keys: MasterKeys | None = None) -> list[Capture]:
    """List the captures of an instrument's market whose log spans a day.

    Args:
        root: Setting `capture_root`.
        key: Symbol and day.
        keys: Master keys of encrypted captures.
    """
    found, start_ns = [], day_start_ns(key.day)
    for folder in sorted(root.glob(f"*/{RAW}")):
        schema = LogReader(folder, keys).schema()
        name = (schema.metadata or {}).get(b"market", b"").decode() if schema is not None else ""
        market = MARKETS.get(name)
        if market is not None and market.exchange == key.instrument.exchange:
            capture = Capture(folder.parent, market, keys)
            if capture.segments.spans(start_ns, start_ns + NS_PER_DAY):
                found.append(capture)
    return found


@dataclass(slots=True)
class _CapturedDeltas(DeltaReader):
    """Audits the deltas of a captured day as those of files are audited."""

    day_rows: Iterator[DeltaBatch] = field(default_factory=lambda: iter(()))

    def _in_order(self) -> Iterator[DeltaBatch]:
        self.audit.files, last = 1, 0
        for batch in self.day_rows:
            steps = np.diff(batch.sequence_number, prepend=last)
            if (steps < 0).any():
                at = int(np.argmax(steps < 0))
                raise SourceValueError(
                    expected="update ids that ascend all day",
                    found=f"{batch.sequence_number[at]} behind {batch.sequence_number[at] - steps[at]}",
                    where=f"deltas of {self.day}",
                    remedy="The exchange has begun its numbering anew: use the live logs of both stretches.",
                )
            last = int(batch.sequence_number[-1])
            yield batch


class CaptureIngest:
    """Decodes the raw log of a capture for one symbol and day; writes canonical partitions with exact ids.

    Args:
        store: Store that the partitions are published in.
        settings: Settings `capture_root`, instruments and `sources`.
    """

    def __init__(self, store: DataStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def run(self, key: PartitionKey, progress: Progress = silent) -> IngestResult:
        """Publish the four partitions together.

        Args:
            key: Symbol and day.
            progress: Told of the rows written, by dataset.

        Raises:
            SourceError: No capture, or more than one, has rows of the symbol and day; or they cannot be used.
            PrecisionError: The settings ask for decimals.
            LogCorruptError: The raw log is damaged; nothing is published.
        """
        instrument = self._settings.instrument(key.instrument)
        if instrument.precision == "decimal128":
            raise PrecisionError(
                expected="precision int64 or auto",
                found="decimal128",
                where=f"setting precision of {instrument.symbol}",
                remedy="Captured prices and sizes are exact as int64 pips of the exchange's own rules.",
            )
        capture = self._capture(key)
        day = CapturedDay(capture.segments, capture.market, key)
        with ExitStack() as partitions:
            disk_space = DiskSpace()
            writers = {
                name: partitions.enter_context(self._store.write(name, key, disk_space=disk_space))
                for name in _ORDER
            }
            _DayWriter(day, writers, progress).write(self._settings.sources.batch_rows)
            self._describe(day, writers, capture)
        manifest = self._store.manifest
        return IngestResult(manifest("raw_deltas", key), manifest("snapshots", key), manifest("trades", key))

    def _capture(self, key: PartitionKey) -> Capture:
        found = captures_of(
            self._settings.capture_root, key, load_master_keys(self._settings.capture.key_file)
        )
        if len(found) != 1:
            names = ", ".join(each.folder.name for each in found) or "none"
            raise SourceMissingError(
                expected=f"one capture with rows of {key}",
                found=names,
                where=str(self._settings.capture_root),
                remedy="Check capture_root and the day; where two captures have it, move one of them away.",
            )
        return found[0]

    def _describe(self, day: CapturedDay, writers: dict[str, PartitionWriter], capture: Capture) -> None:
        """Write fixed point, inputs and counts into the manifests."""
        instrument = self._settings.instrument(day.key.instrument)
        # The rules may have changed during the day.
        points = [each.point for each in day.numberings]
        tick, lot = gcd(*(each.tick_pips for each in points)), gcd(*(each.lot_pips for each in points))
        configured = configured_pips(instrument, points[0])
        point, contradicted = settled_increments(points[0], configured, tick, lot)
        first, behind = day.rows
        for writer in writers.values():
            writer.inputs[f"{capture.folder.name}/{RAW}/{first}-{behind}"] = day.digest
            writer.metadata.update(point.to_metadata(), precision="int64")
        writers["raw_deltas"].metadata.update(
            capture={"name": capture.folder.name, "market": capture.market.name, **day.report()},
            precision_audit={
                "wanted": instrument.precision,
                "chosen": "int64",
                "why": "the exchange sends decimals, and pips of its own rules hold them exactly",
            },
            configured=configured_text(instrument),
            contradicted=contradicted,
        )


class _DayWriter:
    """Writes the rows of a day to its four partitions while they are decoded.

    Deltas, tickers and trades are streamed. Snapshots, which are few, and trades whose times go back, are put in order
    at the end.
    """

    def __init__(self, day: CapturedDay, writers: dict[str, PartitionWriter], progress: Progress) -> None:
        self._day, self._writers, self._progress = day, writers, progress
        self._snapshots: list[pa.Table] = []
        self._trades: list[pa.Table] = []
        self._tickers = writers["tickers"].parquet("tickers.parquet", TICKERS_SCHEMA)

    def write(self, batch_rows: int) -> None:
        """Decode and write the day."""
        key = self._day.key
        decoder = FloatDecoder(FixedPoint())
        deltas = _CapturedDeltas((), key.day, decoder, batch_rows, 0, day_rows=self._delta_batches())
        sink = self._writers["raw_deltas"].parquet(
            "deltas.parquet", RAW_DELTAS_SCHEMA, DELTA_GROUP_ROWS, _packing(RAW_DELTAS_SCHEMA)
        )
        for batch in deltas.batches():
            sink.write(batch.to_arrow())
            self._progress("deltas", sink.rows, 0)
        if not self._day.numberings:
            raise SourceMissingError(
                expected=f"messages of {key}",
                found="none",
                where=str(self._day.segments.folder),
                remedy="Check the day and the symbol; the capture has rows of that day, but not of this instrument.",
            )
        rows = {
            "snapshots": self._write_snapshots(),
            "trades": self._write_trades(),
            "tickers": self._tickers.rows,
        }
        self._writers["raw_deltas"].metadata["tick_changes"] = [
            each._asdict() for each in deltas.tick_changes
        ]
        self._writers["raw_deltas"].metadata["audit"] = asdict(deltas.audit)
        audits: dict[str, Any] = {
            "snapshots": asdict(SnapshotAudit(rows=rows["snapshots"], files=1)),
            "trades": asdict(GridAudit(rows=rows["trades"], files=1)),
            "tickers": asdict(GridAudit(rows=rows["tickers"], files=1)),
        }
        for name, audit in audits.items():
            self._writers[name].metadata["audit"] = {"available": rows[name] > 0, **audit}

    def _delta_batches(self) -> Iterator[DeltaBatch]:
        for name, rows in self._day.decode():
            if name == "raw_deltas":
                yield rows
            elif name == "tickers":
                self._tickers.write(rows)
            elif name == "trades":
                self._trades.append(rows)
            else:
                self._snapshots.append(rows)

    def _write_snapshots(self) -> int:
        table = pa.concat_tables([SNAPSHOTS_SCHEMA.empty_table(), *self._snapshots])
        order = np.argsort(table.column("sequence_number").to_numpy(), kind="stable")
        sink = self._writers["snapshots"].parquet(
            "snapshots.parquet",
            SNAPSHOTS_SCHEMA,
            SNAPSHOT_GROUP_ROWS,
            snapshot_packing(SNAPSHOTS_SCHEMA),
            "lz4",
        )
        sink.write(table.take(pa.array(order)).cast(SNAPSHOTS_SCHEMA))
        return int(table.num_rows)

    def _write_trades(self) -> int:
        table = pa.concat_tables([TRADES_SCHEMA.empty_table(), *self._trades])
        order = np.argsort(table.column("origin_time").to_numpy(), kind="stable")
        sink = self._writers["trades"].parquet("trades.parquet", TRADES_SCHEMA)
        sink.write(table.take(pa.array(order)))
        return int(table.num_rows)


def _packing(schema: pa.Schema) -> dict[str, Any]:
    return {name: how for name, how in DELTA_PACKING.items() if name in schema.names}
