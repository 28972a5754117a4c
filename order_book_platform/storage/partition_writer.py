"""Building one partition: its files, then the manifest that seals them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from order_book_platform.model import PartitionKey
from order_book_platform.model.dataset import DATASETS
from order_book_platform.storage.atomic import sync_path
from order_book_platform.storage.disk_space import PARTITION, PUBLISHED_IS_KEPT, DiskSpace, full_disk
from order_book_platform.storage.manifest import MANIFEST, Manifest, file_sha256
from order_book_platform.storage.parquet_sink import Compression, Packing, ParquetSink
from order_book_platform.version import code_version

BUILDING = ".building-"
"""A partition's folder has its name after this until it is published."""
REPORT_BYTES = 1_000_000
"""Reports of recorded days took 3 to 577 kB."""
_IN_FOOTER = ("precision", "price_decimals", "size_decimals", "tick_pips", "lot_pips")


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A Parquet file that will not change any more.

    Attributes:
        name: in the partition's folder.
        rows, bytes: its size.
        sha256: of its bytes.
    """

    name: str
    rows: int
    bytes: int
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """As in the manifest."""
        return {"bytes": self.bytes, "sha256": self.sha256}


@dataclass(slots=True)
class PartitionWriter:
    """Collects the files of one partition; published when the `with` block ends without an error.

    Attributes:
        folder: where the files are being built.
        inputs: fill in: what the partition is made from, name to SHA-256.
        metadata: fill in before the block ends; what a footer needs, before the first file is finished.
        resumable: whether the folder is to stay as it is if the block ends with an error.
        expected_bytes: fill in: what the partition takes, estimated from its input; by default what reports do.
    """

    folder: Path
    dataset: str
    key: PartitionKey
    inputs: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    resumable: bool = False
    expected_bytes: int = REPORT_BYTES
    _handed_over: float = 0.0
    _sinks: dict[str, ParquetSink] = field(default_factory=dict)
    _finished: dict[str, FinishedFile] = field(default_factory=dict)

    def parquet(
        self,
        name: str,
        schema: pa.Schema,
        row_group_rows: int = 262_144,
        packing: Mapping[str, Packing] = MappingProxyType({}),
        compression: Compression = "zstd",
    ) -> ParquetSink:
        """Open a Parquet file of this partition for streaming; closed by the writer. See `ParquetSink`."""
        sinks = self._sinks
        path = self.folder / name
        sinks[name] = ParquetSink(path, schema, row_group_rows, packing=packing, compression=compression)
        return sinks[name]

    def finish(self, name: str) -> FinishedFile:
        """Close a Parquet file before the others; on the device when this returns. Its footer is written now."""
        # Those of now: whoever hangs below may wake up when they have been forgotten.
        sinks, finished = self._sinks, self._finished
        sink = sinks.pop(name)
        sink.close(self._footer())
        path = self.folder / name
        sync_path(path)
        sync_path(self.folder)
        finished[name] = FinishedFile(name, sink.rows, path.stat().st_size, file_sha256(path))
        return finished[name]

    def progressed(self, done: int, total: int) -> None:
        """Fill in: how much of the work has been handed to the sinks; from any thread."""
        self._handed_over = min(1.0, done / total) if total else 0.0

    @property
    def stored_share(self) -> float:
        """Share of the work whose result lies in the folder: sinks hold rows back until a row group is full."""
        sinks, finished = list(self._sinks.values()), list(self._finished.values())
        before = sum(file.rows for file in finished)
        taken = before + sum(sink.rows for sink in sinks)
        stored = before + sum(sink.stored_rows for sink in sinks)
        return self._handed_over * stored / taken if taken else 0.0

    def require_room(self) -> None:
        """Fail now rather than after an hour, if what is free is clearly less than what is still needed.

        Raises:
            DiskFullError: it is.
        """
        room = DiskSpace()
        room.add(self)
        room.measure()
        if shutil.disk_usage(self.folder).free < room.least_bytes:
            raise full_disk(
                self.folder.with_name(self.folder.name.removeprefix(BUILDING)),
                room,
                what=PARTITION,
                kept=PUBLISHED_IS_KEPT,
                building=self.folder if self.resumable else None,
            )

    def adopt(self, finished: FinishedFile) -> None:
        """Take up a file that an earlier writer finished; what it says has been checked."""
        self._finished[finished.name] = finished

    def text(self, name: str, content: str) -> None:
        """Write a text file."""
        (self.folder / name).write_text(content, encoding="utf-8")

    def json(self, name: str, content: object) -> None:
        """Write a JSON file with sorted keys; NaN is refused, since it is not JSON."""
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.text(name, text + "\n")

    def seal(self) -> Manifest:
        """Close the Parquet files and write the manifest."""
        footer = self._footer()
        for sink in self._sinks.values():
            sink.close(footer)
        rows = {name: sink.rows for name, sink in self._sinks.items()}
        files = {name: file.to_dict() for name, file in self._finished.items()}
        for path in sorted(self.folder.iterdir()):
            if path.name not in files:
                files[path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        manifest = Manifest(
            dataset=self.dataset,
            schema_version=DATASETS[self.dataset].schema_version,
            code_version=code_version(DATASETS[self.dataset].component),
            symbol=self.key.instrument.key,
            day=self.key.day.isoformat(),
            inputs=dict(self.inputs),
            rows=rows | {name: file.rows for name, file in self._finished.items()},
            files=files,
            metadata=dict(self.metadata),
        )
        (self.folder / MANIFEST).write_bytes(manifest.to_bytes())
        return manifest

    def _footer(self) -> dict[str, str]:
        """What every Parquet file says of itself."""
        return {
            "order_book_platform": json.dumps(
                {
                    "dataset": self.dataset,
                    "schema_version": DATASETS[self.dataset].schema_version,
                    "code_version": code_version(DATASETS[self.dataset].component),
                    "symbol": self.key.instrument.key,
                    "day": self.key.day.isoformat(),
                    **{name: self.metadata[name] for name in _IN_FOOTER if name in self.metadata},
                },
                sort_keys=True,
            )
        }

    def forget(self) -> None:
        """Nothing that was begun belongs to the partition any more; files that are open are left to who writes them."""
        self._sinks, self._finished = {}, {}

    def abandon(self) -> None:
        """Close open files; what was written is worth nothing now, and the store removes it."""
        for sink in self._sinks.values():
            sink.abandon()
