"""The data root: where partitions are written, published, listed and read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from order_book_platform.errors import PartitionCorruptError, PartitionMissingError
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.model.dataset import DATASETS
from order_book_platform.storage.atomic import (
    locked_folder,
    put_in_place,
    recover_aside,
    sync_tree,
    write_errors_named,
)
from order_book_platform.storage.checkpoints import Checkpoints
from order_book_platform.storage.disk_space import DiskSpace
from order_book_platform.storage.manifest import MANIFEST, Manifest, file_sha256
from order_book_platform.storage.parquet_rows import ParquetRows, not_readable
from order_book_platform.storage.partition_writer import BUILDING, PartitionWriter


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
    def write(
        self, dataset: str, key: PartitionKey, *, keep: bool = False, room: DiskSpace | None = None
    ) -> Iterator[PartitionWriter]:
        """Build a partition aside, publish it whole when the block ends; an error leaves the old one intact.

        Its checkpoints are removed with what they speak of, while no other run can be at work.

        Args:
            dataset: its name.
            key: symbol and day.
            keep: leave what an earlier writer left behind in the folder; else it is removed.
            room: shared by partitions that are written together: a full disk has to hold all of them.

        Raises:
            PartitionBusyError: another run is writing it.
            DiskFullError: there is no room.
            StorageAccessError: this user may not write there.
        """
        target = self.folder(dataset, key)
        aside = target.with_name(f".replaced-{target.name}")
        building = target.with_name(f"{BUILDING}{target.name}")
        room = room or DiskSpace()
        with (
            write_errors_named(target, building=building if keep else None, room=room),
            locked_folder(building, keep=keep) as folder,
        ):
            recover_aside(target, aside)
            checkpoints = self.checkpoints(dataset, key)
            # What an earlier run left is worth keeping until this one has found that it is of no use.
            writer = PartitionWriter(folder, dataset, key, resumable=keep and checkpoints.exist())
            room.add(writer)
            try:
                yield writer
                writer.seal()
                sync_tree(folder)
            except BaseException:
                writer.abandon()
                room.measure()
                if not writer.resumable:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            put_in_place(folder, target, aside)
            checkpoints.clear()

    def checkpoints(self, dataset: str, key: PartitionKey) -> Checkpoints:
        """Of a partition that is being built."""
        target = self.folder(dataset, key)
        return Checkpoints(target.with_name(f".checkpoints-{target.name}"))

    def exists(self, dataset: str, key: PartitionKey) -> bool:
        """Whether the partition has been published."""
        return (self.folder(dataset, key) / MANIFEST).is_file()

    def manifest(self, dataset: str, key: PartitionKey) -> Manifest:
        """The partition's manifest.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: the manifest cannot be read, or belongs to another partition or schema.
            StorageAccessError: this user may not read it.
        """
        path = self.folder(dataset, key) / MANIFEST
        try:
            manifest = Manifest.from_bytes(path.read_bytes())
        except FileNotFoundError as error:
            raise PartitionMissingError(
                expected=f"a published partition of {dataset}",
                found="none",
                where=f"{key} in {self.root}",
                remedy=f"Run: {_materialize(dataset, key)}",
            ) from error
        except PermissionError as error:
            raise not_readable(path) from error
        except (ValueError, OSError) as error:
            raise _corrupt("a readable manifest", str(error), path) from error
        wanted = (dataset, key.instrument.key, key.day.isoformat())
        found = (manifest.dataset, manifest.symbol, manifest.day)
        if found != wanted:
            raise _corrupt("{} of {} {}".format(*wanted), "{} of {} {}".format(*found), path)
        schema_version = DATASETS[dataset].schema_version
        if manifest.schema_version != schema_version:
            raise PartitionCorruptError(
                expected=f"{dataset} with schema version {schema_version}",
                found=f"schema version {manifest.schema_version}, written by code {manifest.code_version}",
                where=str(path),
                remedy=f"Write it with this version: {_materialize(dataset, key)}",
            )
        return manifest

    def path(self, dataset: str, key: PartitionKey, name: str) -> Path:
        """A file of a published partition, after a look at its length.

        Raises:
            PartitionMissingError: the partition has not been published, or has no such file.
            PartitionCorruptError: the file is missing or has another length than when it was sealed.
            StorageAccessError: this user may not read it.
        """
        return self._path(self.manifest(dataset, key), key, name)

    def paths(self, dataset: str, key: PartitionKey, name: str | None = None) -> list[Path]:
        """The files that hold a table of a published partition, by default the dataset's main one; see `path`."""
        manifest = self.manifest(dataset, key)
        # Where there is no part the wanted name goes on, to be missed by it.
        parts = manifest.parts(name) or [name or DATASETS[dataset].table_file]
        return [self._path(manifest, key, part) for part in parts]

    def _path(self, manifest: Manifest, key: PartitionKey, name: str) -> Path:
        path = self.folder(manifest.dataset, key) / name
        if name not in manifest.files:
            raise PartitionMissingError(
                expected=f"a file {name} in the partition",
                found=", ".join(manifest.files) or "none",
                where=str(path.parent),
                remedy="Materialize it again with this version.",
            )
        length = path.stat().st_size if path.is_file() else None
        if length != manifest.files[name]["bytes"]:
            raise _corrupt(
                f"{manifest.files[name]['bytes']} bytes",
                "no file" if length is None else f"{length} bytes",
                path,
            )
        if not os.access(path, os.R_OK):
            raise not_readable(path)
        return path

    def check(self, dataset: str, key: PartitionKey) -> Manifest:
        """Compare every file of the partition with its manifest.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: a file is missing or differs.
        """
        manifest = self.manifest(dataset, key)
        for name, wanted in manifest.files.items():
            path = self._path(manifest, key, name)
            found = file_sha256(path)
            if found != wanted["sha256"]:
                raise _corrupt(f"SHA-256 {wanted['sha256']}", found, path)
        return manifest

    def rows(self, dataset: str, key: PartitionKey, name: str | None = None) -> ParquetRows:
        """The rows of a table of a published partition, by default of the dataset's main one.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: a file is missing or damaged.
        """
        return ParquetRows(self.paths(dataset, key, name))

    def table(self, dataset: str, key: PartitionKey, name: str | None = None) -> pa.Table:
        """A whole table of a partition; for the small ones. See `rows`."""
        return self.rows(dataset, key, name).read()

    def frame(self, dataset: str, key: PartitionKey, name: str | None = None) -> pl.LazyFrame:
        """A polars LazyFrame over a table of a partition, as stored.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: a file is missing or has another length than when it was sealed.
        """
        return pl.scan_parquet(self.paths(dataset, key, name), hive_partitioning=False, glob=False)

    def report(self, dataset: str, key: PartitionKey) -> dict[str, Any]:
        """The partition's report.json.

        Raises:
            PartitionMissingError: it has not been published.
            PartitionCorruptError: the file is missing or damaged.
        """
        path = self.path(dataset, key, "report.json")
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
        except ValueError as error:
            raise _corrupt("readable JSON", str(error), path) from error
        return content

    def partitions(self, dataset: str) -> list[PartitionKey]:
        """Every published partition of a dataset, sorted."""
        found = []
        for path in (self.root / dataset).glob(f"exchange=*/symbol=*/dt=????-??-??/{MANIFEST}"):
            exchange, symbol, day = (part.split("=", 1)[1] for part in path.parent.parts[-3:])
            found.append(PartitionKey.parse(Instrument(exchange, symbol).key, day))
        return sorted(found)


def _materialize(dataset: str, key: PartitionKey) -> str:
    """Return the command that makes a partition."""
    asset = DATASETS[dataset].asset
    return f"obp materialize --symbol {key.instrument} --day {key.day} --select {asset}"


def _corrupt(expected: str, found: str, path: Path) -> PartitionCorruptError:
    return PartitionCorruptError(
        expected=expected, found=found, where=str(path), remedy="Materialize it again."
    )
