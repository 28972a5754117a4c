"""The data root, in which partitions are written, published, listed and read, and dead runs leave unfinished work."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from order_book_platform.errors import PartitionCorruptError, PartitionMissingError, SettingsError
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.storage.checkpoints import Checkpoints
from order_book_platform.storage.disk import (
    DiskSpace,
    folder_bytes,
    is_locked,
    locked_folder,
    recover_replaced_folder,
    replace_folder,
    sync_tree,
    translate_write_errors,
)
from order_book_platform.storage.parquet_rows import ParquetRows, not_readable_error
from order_book_platform.storage.partition_writer import (
    BUILDING,
    MANIFEST,
    Manifest,
    PartitionWriter,
    file_sha256,
)

_NAME = re.compile(r"\.(building|checkpoints|spill-\d+|replaced)-(dt=(\d{4}-\d{2}-\d{2}))")


class DataStore:
    """All datasets below one data root, which is created when it is first written to.

    Every method that reads raises `PartitionMissingError` if the partition has not been published or has no such file,
    `PartitionCorruptError` if a file is missing, damaged, or of another partition, length or schema version than the
    manifest says, and `StorageAccessError` if this user may not read it.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def folder(self, dataset: str, key: PartitionKey) -> Path:
        """Return the folder that the partition has when it is published."""
        return self.root / dataset / key.path

    @contextmanager
    def write(
        self, dataset: str, key: PartitionKey, *, keep: bool = False, disk_space: DiskSpace | None = None
    ) -> Iterator[PartitionWriter]:
        """Build a partition aside and publish it whole when the block ends; an error leaves the old one intact.

        Files that an earlier run left in the building folder are removed unless `keep` is set. Checkpoints of the
        partition are removed when it is published, before the lock is released. Partitions that are written together,
        all of which a disk has to hold, share their `disk_space`.

        Raises:
            PartitionBusyError: another run is writing the partition.
            DiskFullError: the disk is full.
            StorageAccessError: this user may not write there.
        """
        target = self.folder(dataset, key)
        aside = target.with_name(f".replaced-{target.name}")
        building = target.with_name(f"{BUILDING}{target.name}")
        disk_space = disk_space or DiskSpace()
        with (
            translate_write_errors(target, building=building if keep else None, disk_space=disk_space),
            locked_folder(building, keep=keep) as folder,
        ):
            recover_replaced_folder(target, aside)
            checkpoints = self.checkpoints(dataset, key)
            # Files of an earlier run are kept until this run has found that it cannot go on from them.
            writer = PartitionWriter(folder, dataset, key, resumable=keep and checkpoints.exist())
            disk_space.writers.append(writer)
            try:
                yield writer
                writer.seal()
                sync_tree(folder)
            except BaseException:
                writer.abandon()
                disk_space.measure()
                if not writer.resumable:
                    shutil.rmtree(folder, ignore_errors=True)
                raise
            replace_folder(folder, target, aside)
            checkpoints.clear()

    def checkpoints(self, dataset: str, key: PartitionKey) -> Checkpoints:
        """Return the checkpoints of a partition that is being built."""
        target = self.folder(dataset, key)
        return Checkpoints(target.with_name(f".checkpoints-{target.name}"))

    def exists(self, dataset: str, key: PartitionKey) -> bool:
        """Return whether the partition has been published."""
        return (self.folder(dataset, key) / MANIFEST).is_file()

    def manifest(self, dataset: str, key: PartitionKey) -> Manifest:
        """Read the partition's manifest."""
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
            raise not_readable_error(path) from error
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
        """Return the path of a file of a published partition after comparing the file's length."""
        return self._path(self.manifest(dataset, key), key, name)

    def paths(self, dataset: str, key: PartitionKey, name: str | None = None) -> list[Path]:
        """Return the paths of the files that hold a table of a published partition; see `Manifest.parts`."""
        manifest = self.manifest(dataset, key)
        # If there is no such file, the name goes on to be named by the error.
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
            raise not_readable_error(path)
        return path

    def check(self, dataset: str, key: PartitionKey) -> Manifest:
        """Compare every file of the partition with its SHA-256 in the manifest, which is returned."""
        manifest = self.manifest(dataset, key)
        for name, wanted in manifest.files.items():
            path = self._path(manifest, key, name)
            found = file_sha256(path)
            if found != wanted["sha256"]:
                raise _corrupt(f"SHA-256 {wanted['sha256']}", found, path)
        return manifest

    def rows(self, dataset: str, key: PartitionKey, name: str | None = None) -> ParquetRows:
        """Open a table of a published partition for reading, by default the dataset's main table."""
        return ParquetRows(self.paths(dataset, key, name))

    def table(self, dataset: str, key: PartitionKey, name: str | None = None) -> pa.Table:
        """Read a whole table of a partition, for small ones."""
        return self.rows(dataset, key, name).read()

    def frame(self, dataset: str, key: PartitionKey, name: str | None = None) -> pl.LazyFrame:
        """Return a polars LazyFrame over a table of a partition, with the columns as they are stored."""
        return pl.scan_parquet(self.paths(dataset, key, name), hive_partitioning=False, glob=False)

    def report(self, dataset: str, key: PartitionKey) -> dict[str, Any]:
        """Read the partition's report.json."""
        path = self.path(dataset, key, "report.json")
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
        except ValueError as error:
            raise _corrupt("readable JSON", str(error), path) from error
        return content

    def partitions(self, dataset: str) -> list[PartitionKey]:
        """List the published partitions of a dataset, sorted."""
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


@dataclass(frozen=True, slots=True)
class UnfinishedWork:
    """A folder beside the partitions of a dataset that a run made and that no run is writing to any more.

    Attributes:
        kind: `building`, an unfinished partition; `checkpoints` without an unfinished partition; `spill`, batches that
            had to leave memory; `replaced`, the older version of a partition that was being replaced.
        folders: all folders that belong to it: those of an unfinished partition include its checkpoints.
        newest_ns: time of the last write to them, ns since the epoch.
        checkpoints: number of checkpoints from which an unfinished partition can go on.
    """

    dataset: str
    key: PartitionKey
    kind: str
    folders: tuple[Path, ...]
    bytes: int
    newest_ns: int
    checkpoints: int
    is_published: bool


def find_unfinished_work(root: Path) -> Iterator[UnfinishedWork]:
    """Find all unfinished work below a data root, by dataset and path; nothing is changed."""
    for dataset in sorted(DATASETS):
        for folder in sorted((root / dataset).glob("exchange=*/symbol=*/.*-dt=*")):
            match = _NAME.fullmatch(folder.name)
            if match is None or not folder.is_dir():
                continue
            exchange, symbol = (part.split("=", 1)[1] for part in folder.parent.parts[-2:])
            try:
                key = PartitionKey.parse(Instrument(exchange, symbol).key, match[3])
            except SettingsError:
                continue  # not made by this package
            building = folder.with_name(f"{BUILDING}{match[2]}")
            if is_locked(building.with_name(f"{building.name}.lock")):
                continue
            kind = match[1].partition("-")[0]
            if kind == "checkpoints" and building.is_dir():
                continue  # reported together with the unfinished partition
            with suppress(FileNotFoundError):  # published or removed meanwhile
                yield _describe(dataset, key, kind, folder, match[2])


def _describe(dataset: str, key: PartitionKey, kind: str, folder: Path, name: str) -> UnfinishedWork:
    folders = [folder]
    checkpoints = folder.with_name(f".checkpoints-{name}")
    if kind == "building" and checkpoints.is_dir():
        folders.append(checkpoints)
    newest = max(path.stat().st_mtime_ns for each in folders for path in (each, *each.rglob("*")))
    return UnfinishedWork(
        dataset=dataset,
        key=key,
        kind=kind,
        folders=tuple(folders),
        bytes=sum(folder_bytes(each) for each in folders),
        newest_ns=newest,
        checkpoints=len(list(checkpoints.glob("*.state"))),
        is_published=folder.with_name(name).is_dir(),
    )
