"""The data root: where partitions are written, published, listed and read."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.errors import PartitionCorruptError, PartitionMissingError
from order_book_platform.model import FixedPoint, Instrument, PartitionKey
from order_book_platform.model.schemas import SCHEMA_VERSION
from order_book_platform.storage.atomic import (
    disk_full_named,
    locked_folder,
    put_in_place,
    recover_aside,
    sync_tree,
)
from order_book_platform.storage.datasets import DATASETS
from order_book_platform.storage.parquet_sink import ParquetSink
from order_book_platform.version import __version__

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a published partition says of itself (`manifest.json`).

    Attributes:
        dataset: its name.
        schema_version: of the columns.
        code_version: of this package when it wrote the partition.
        symbol: `EXCHANGE:SYMBOL`.
        day: `YYYY-MM-DD`.
        inputs: what it was made from: name to SHA-256.
        rows: Parquet file to row count.
        files: file to `{"bytes", "sha256"}`.
        metadata: whatever the component wants to keep: fixed point, counts, settings that shaped the result.
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

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no time of day, so that equal content gives equal bytes."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the canonical JSON; it covers every file through their own hashes."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


@dataclass(slots=True)
class PartitionWriter:
    """Collects the files of one partition; published when the `with` block ends without an error.

    Attributes:
        folder: where the files are being built.
        inputs: fill in: what the partition is made from, name to SHA-256.
        metadata: fill in before the block ends.
    """

    folder: Path
    dataset: str
    key: PartitionKey
    inputs: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    _sinks: dict[str, ParquetSink] = field(default_factory=dict)

    def parquet(self, name: str, schema: pa.Schema, row_group_rows: int = 262_144) -> ParquetSink:
        """Open a Parquet file of this partition for streaming; closed by the writer."""
        self._sinks[name] = ParquetSink(self.folder / name, schema, row_group_rows)
        return self._sinks[name]

    def text(self, name: str, content: str) -> None:
        """Write a text file."""
        (self.folder / name).write_text(content, encoding="utf-8")

    def json(self, name: str, content: object) -> None:
        """Write a JSON file with sorted keys; NaN is refused, since it is not JSON."""
        text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        self.text(name, text + "\n")

    def seal(self) -> Manifest:
        """Close the Parquet files and write the manifest."""
        footer = {
            "order_book_platform": json.dumps(
                {
                    "dataset": self.dataset,
                    "schema_version": SCHEMA_VERSION,
                    "code_version": __version__,
                    "symbol": self.key.instrument.key,
                    "day": self.key.day.isoformat(),
                    **{
                        name: self.metadata[name]
                        for name in ("price_decimals", "size_decimals", "tick_pips", "lot_pips")
                        if name in self.metadata
                    },
                },
                sort_keys=True,
            )
        }
        for sink in self._sinks.values():
            sink.close(footer)
        manifest = Manifest(
            dataset=self.dataset,
            schema_version=SCHEMA_VERSION,
            code_version=__version__,
            symbol=self.key.instrument.key,
            day=self.key.day.isoformat(),
            inputs=dict(self.inputs),
            rows={name: sink.rows for name, sink in self._sinks.items()},
            files={
                path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                for path in sorted(self.folder.iterdir())
            },
            metadata=dict(self.metadata),
        )
        (self.folder / MANIFEST).write_bytes(manifest.to_bytes())
        return manifest

    def abandon(self) -> None:
        """Close open files; what was written stays aside until the next writer of this partition removes it."""
        for sink in self._sinks.values():
            sink.abandon()


class DataStore:
    """All datasets below one data root.

    Args:
        root: the folder; created when first written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def folder(self, dataset: str, key: PartitionKey) -> Path:
        """Where the partition is, or would be."""
        return self.root / dataset / key.path

    @contextmanager
    def write(self, dataset: str, key: PartitionKey) -> Iterator[PartitionWriter]:
        """Build a partition aside and publish it whole when the block ends; an error leaves the old one intact.

        Raises:
            PartitionBusyError: another process is writing it.
            DiskFullError: there is no room.
        """
        target = self.folder(dataset, key)
        aside = target.with_name(f".replaced-{target.name}")
        with disk_full_named(target), locked_folder(target.with_name(f".building-{target.name}")) as folder:
            recover_aside(target, aside)
            writer = PartitionWriter(folder, dataset, key)
            try:
                yield writer
                writer.seal()
            except BaseException:
                writer.abandon()
                shutil.rmtree(folder, ignore_errors=True)
                raise
            sync_tree(folder)
            put_in_place(folder, target, aside)

    def exists(self, dataset: str, key: PartitionKey) -> bool:
        """Whether the partition has been published."""
        return (self.folder(dataset, key) / MANIFEST).is_file()

    def manifest(self, dataset: str, key: PartitionKey) -> Manifest:
        """The partition's manifest.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: the manifest cannot be read.
        """
        path = self.folder(dataset, key) / MANIFEST
        try:
            return Manifest(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise PartitionMissingError(
                expected=f"a published partition of {dataset}",
                found="none",
                where=f"{key} in {self.root}",
                remedy=f"Run: obp materialize --symbol {key.instrument.key} --day {key.day} --select {dataset}",
            ) from error
        except (ValueError, TypeError) as error:
            raise PartitionCorruptError(
                expected="a readable manifest", found=str(error), where=str(path), remedy="Materialize it again."
            ) from error

    def check(self, dataset: str, key: PartitionKey) -> Manifest:
        """Compare every file of the partition with its manifest.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: a file is missing or differs.
        """
        manifest = self.manifest(dataset, key)
        for name, wanted in manifest.files.items():
            path = self.folder(dataset, key) / name
            found = file_sha256(path) if path.is_file() else "no file"
            if found != wanted["sha256"]:
                raise PartitionCorruptError(
                    expected=f"SHA-256 {wanted['sha256']}", found=found, where=str(path), remedy="Materialize it again."
                )
        return manifest

    def parquet(self, dataset: str, key: PartitionKey, name: str | None = None) -> pq.ParquetFile:
        """Open a Parquet file of a published partition; by default the dataset's main file.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: the file is missing or damaged.
        """
        self.manifest(dataset, key)
        path = self.folder(dataset, key) / (name or DATASETS[dataset])
        try:
            return pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise PartitionCorruptError(
                expected="a readable Parquet file", found=str(error), where=str(path), remedy="Materialize it again."
            ) from error

    def table(self, dataset: str, key: PartitionKey, name: str | None = None) -> pa.Table:
        """Read a whole Parquet file of a partition; for the small ones."""
        with self.parquet(dataset, key, name) as file:
            return file.read()

    def frame(self, dataset: str, key: PartitionKey, name: str | None = None) -> pl.LazyFrame:
        """A polars LazyFrame over a Parquet file of a partition, as stored."""
        self.manifest(dataset, key)
        return pl.scan_parquet(self.folder(dataset, key) / (name or DATASETS[dataset]), hive_partitioning=False)

    def report(self, dataset: str, key: PartitionKey) -> dict[str, Any]:
        """The partition's report.json.

        Raises:
            PartitionMissingError: it has not been published.
        """
        self.manifest(dataset, key)
        content: dict[str, Any] = json.loads(
            (self.folder(dataset, key) / "report.json").read_text(encoding="utf-8")
        )
        return content

    def partitions(self, dataset: str) -> list[PartitionKey]:
        """Every published partition of a dataset, sorted."""
        found = []
        for path in (self.root / dataset).glob(f"exchange=*/symbol=*/dt=*/{MANIFEST}"):
            exchange, symbol, day = (part.split("=", 1)[1] for part in path.parent.parts[-3:])
            found.append(PartitionKey.parse(Instrument(exchange, symbol).key, day))
        return sorted(found)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
