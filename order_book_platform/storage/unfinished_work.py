"""Folders that dead runs have left beside published partitions: unfinished partitions, checkpoints, spills."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from order_book_platform.errors import SettingsError
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.storage.disk_space import folder_bytes
from order_book_platform.storage.partition_writer import BUILDING

_NAME = re.compile(r"\.(building|checkpoints|spill-\d+|replaced)-(dt=(\d{4}-\d{2}-\d{2}))")

Kind = Literal["building", "checkpoints", "spill", "replaced"]


@dataclass(frozen=True, slots=True)
class UnfinishedWork:
    """A folder that a run made and that no run is writing to any more.

    Attributes:
        dataset: dataset beside whose partition the folder lies.
        kind: `building`, an unfinished partition; `checkpoints` without an unfinished partition; `spill`, batches that
            had to leave memory; `replaced`, the older version of a partition that was being replaced.
        folders: all folders that belong to it: those of an unfinished partition include its checkpoints.
        newest_ns: time of the last write to them, ns since the epoch.
        checkpoints: number of checkpoints from which an unfinished partition can go on.
        is_published: whether the partition itself is published.
    """

    dataset: str
    key: PartitionKey
    kind: Kind
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
            if _is_locked(building.with_name(f"{building.name}.lock")):
                continue
            kind = match[1].partition("-")[0]
            if kind == "checkpoints" and building.is_dir():
                continue  # reported together with the unfinished partition
            with suppress(FileNotFoundError):  # published or removed meanwhile
                yield _describe(dataset, key, kind, folder, match[2])  # type: ignore[arg-type]


def _describe(dataset: str, key: PartitionKey, kind: Kind, folder: Path, name: str) -> UnfinishedWork:
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


def _is_locked(path: Path) -> bool:
    """Return whether a run holds the lock, or may hold it where that cannot be found out; see `locked_file`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
