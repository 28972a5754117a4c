"""A partition being built: its files, then the manifest that seals them: what it is, what of, and every file's hash."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_origin, get_type_hints

import pyarrow as pa

from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.model.pip_encoding import Precision, precision_of
from order_book_platform.storage.disk import (
    PARTITION,
    PUBLISHED_IS_KEPT,
    DiskSpace,
    disk_full_error,
    sync_path,
)
from order_book_platform.storage.parquet_sink import Compression, Packing, ParquetSink
from order_book_platform.version import code_version

MANIFEST = "manifest.json"
"""File name of the manifest; a folder without it is not a partition."""
BUILDING = ".building-"
"""Prefix of the folder's name until the partition is published."""
REPORT_BYTES = 1_000_000
"""Size that is expected of a partition with reports only; those of recorded days took 3 to 577 kB."""
_FOOTER_METADATA = ("precision", "price_decimals", "size_decimals", "tick_pips", "lot_pips")
"""Keys of the metadata that go into the footer of every Parquet file."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Record that a published partition keeps of itself in `manifest.json`.

    Attributes:
        code_version: version of the code that wrote the partition, see `version.code_version`.
        symbol: `EXCHANGE:SYMBOL`.
        day: `YYYY-MM-DD`.
        inputs: SHA-256 of everything that it was made from, by name.
        rows: row count of each Parquet file, by file name.
        files: `{"bytes", "sha256"}` of each file, by name.
        metadata: what the component keeps: fixed point, counts, settings that shaped the result.
    """

    dataset: str
    schema_version: int
    code_version: str
    symbol: str
    day: str
    inputs: dict[str, str]
    rows: dict[str, int]
    files: dict[str, dict[str, Any]]
    metadata: dict[str, Any]

    @property
    def fixed_point(self) -> FixedPoint:
        """Decimals, tick and lot of the partition's prices and sizes."""
        return FixedPoint.from_metadata(self.metadata)

    def parts(self, name: str | None = None) -> list[str]:
        """Return the files of a table in order: the main one by default, or those of a name with a star."""
        return sorted(fnmatch.filter(self.files, name or DATASETS[self.dataset].table_file))

    @property
    def main_rows(self) -> int | None:
        """Rows of the dataset's main table; None where that is a report."""
        parts = [part for part in self.parts() if part in self.rows]
        return sum(self.rows[part] for part in parts) if parts else None

    @property
    def precision(self) -> Precision:
        """Whether prices and sizes are int64 pips or decimal128."""
        return precision_of(self.metadata)

    @classmethod
    def from_bytes(cls, content: bytes) -> Manifest:
        """Parse the JSON that `to_bytes` gives.

        Raises:
            ValueError: the content is not JSON, or a key is missing, unknown or of another type.
        """
        values = json.loads(content)
        hints = get_type_hints(cls)
        kinds = {field.name: get_origin(hints[field.name]) or hints[field.name] for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != set(kinds):
            raise ValueError("not an object with the keys " + ", ".join(kinds))
        for name, kind in kinds.items():
            if not isinstance(values[name], kind):
                raise ValueError(f"{name} is not a {kind.__name__}")
        return cls(**values)

    def to_bytes(self) -> bytes:
        """Return canonical JSON: sorted keys and no time of day, so that equal content gives equal bytes."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the canonical JSON; it covers every file through their own hashes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class FinishedFile:
    """A Parquet file in the partition's folder that will not change any more, with its SHA-256."""

    name: str
    rows: int
    bytes: int
    sha256: str


@dataclass(slots=True)
class PartitionWriter:
    """Collects the files of one partition, which the store publishes when its `with` block ends without an error.

    Attributes:
        folder: folder in which the files are built.
        inputs: SHA-256 of everything that the partition is made from, by name; filled in by the caller.
        metadata: what the manifest keeps; filled in by the caller before the block ends, and what a footer needs before
            the first file is finished.
        resumable: whether the folder stays as it is if the block ends with an error.
        expected_bytes: size of the partition estimated from its input; filled in by the caller.
    """

    folder: Path
    dataset: str
    key: PartitionKey
    inputs: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    resumable: bool = False
    expected_bytes: int = REPORT_BYTES
    _share_done: float = 0.0
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
        """Begin a Parquet file of this partition, which the writer closes; see `ParquetSink` for what shapes it."""
        sinks = self._sinks
        path = self.folder / name
        sinks[name] = ParquetSink(path, schema, row_group_rows, packing=packing, compression=compression)
        return sinks[name]

    def finish(self, name: str) -> FinishedFile:
        """Close a Parquet file before the others, with the metadata known so far; then it is on the device."""
        # Taken before anything that may hang: an abandoned attempt that wakes up after `forget` changes nothing new.
        sinks, finished = self._sinks, self._finished
        sink = sinks.pop(name)
        sink.close(self._footer())
        path = self.folder / name
        sync_path(path)
        sync_path(self.folder)
        finished[name] = FinishedFile(name, sink.rows, path.stat().st_size, file_sha256(path))
        return finished[name]

    def progressed(self, done: int, total: int) -> None:
        """Note how many units of the work have been handed to the sinks, of 0 in all if not known; from any thread."""
        self._share_done = min(1.0, done / total) if total else 0.0

    @property
    def stored_share(self) -> float:
        """Share of the work whose result is in the folder: sinks hold rows back until a row group is full."""
        sinks, finished = list(self._sinks.values()), list(self._finished.values())
        before = sum(file.rows for file in finished)
        taken = before + sum(sink.rows for sink in sinks)
        stored = before + sum(sink.stored_rows for sink in sinks)
        return self._share_done * stored / taken if taken else 0.0

    def require_disk_space(self) -> None:
        """Raise `DiskFullError` now rather than after an hour, if there is clearly less space than is still needed."""
        disk_space = DiskSpace(writers=[self])
        disk_space.measure()
        if shutil.disk_usage(self.folder).free < disk_space.surely_needed_bytes:
            raise disk_full_error(
                self.folder.with_name(self.folder.name.removeprefix(BUILDING)),
                disk_space,
                what=PARTITION,
                kept=PUBLISHED_IS_KEPT,
                building=self.folder if self.resumable else None,
            )

    def adopt(self, finished: FinishedFile) -> None:
        """Add a file that an earlier writer finished; the caller has compared it with its SHA-256."""
        self._finished[finished.name] = finished

    def text(self, name: str, content: str) -> None:
        """Write a text file."""
        (self.folder / name).write_text(content, encoding="utf-8")

    def json(self, name: str, content: object) -> None:
        """Write a JSON file with sorted keys; NaN is refused, since it is not JSON."""
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.text(name, text + "\n")

    def seal(self) -> Manifest:
        """Close the Parquet files, write the manifest and return it."""
        footer = self._footer()
        for sink in self._sinks.values():
            sink.close(footer)
        rows = {name: sink.rows for name, sink in self._sinks.items()}
        files = {name: {"bytes": file.bytes, "sha256": file.sha256} for name, file in self._finished.items()}
        for path in sorted(self.folder.iterdir()):
            if path.name not in files:
                files[path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        manifest = Manifest(
            **self._identity(),
            inputs=dict(self.inputs),
            rows=rows | {name: file.rows for name, file in self._finished.items()},
            files=files,
            metadata=dict(self.metadata),
        )
        (self.folder / MANIFEST).write_bytes(manifest.to_bytes())
        return manifest

    def _footer(self) -> dict[str, str]:
        """Return the metadata that every Parquet file has in its footer."""
        numbers = {name: self.metadata[name] for name in _FOOTER_METADATA if name in self.metadata}
        return {"order_book_platform": json.dumps({**self._identity(), **numbers}, sort_keys=True)}

    def _identity(self) -> dict[str, Any]:
        """Return what tells this partition from all others."""
        return {
            "dataset": self.dataset,
            "schema_version": DATASETS[self.dataset].schema_version,
            "code_version": code_version(DATASETS[self.dataset].component),
            "symbol": self.key.instrument.key,
            "day": self.key.day.isoformat(),
        }

    def forget(self) -> None:
        """Drop all files from the partition; open ones are left to the abandoned thread that writes them."""
        self._sinks, self._finished = {}, {}

    def abandon(self) -> None:
        """Close open files, whose content no longer matters."""
        for sink in self._sinks.values():
            sink.abandon()
