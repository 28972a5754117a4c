"""What runs that died have left beside published partitions."""

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
from order_book_platform.model.dataset import DATASETS
from order_book_platform.storage.disk_space import folder_bytes
from order_book_platform.storage.partition_writer import BUILDING

_NAME = re.compile(r"\.(building|checkpoints|spill-\d+|replaced)-(dt=(\d{4}-\d{2}-\d{2}))")

Kind = Literal["building", "checkpoints", "spill", "replaced"]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A folder that no run is writing to.

    Attributes:
        dataset: beside whose partition it lies.
        key: of the partition.
        kind: `building`, an unfinished partition; `checkpoints` without one; `spill`, what memory had no room for;
            `replaced`, a partition that was being replaced.
        folders: all that belongs to it: of an unfinished partition also its checkpoints.
        bytes: of their files.
        newest_ns: when something was last written to them, since the epoch.
        checkpoints: from which an unfinished partition goes on.
        is_published: whether the partition itself is there.
    """

    dataset: str
    key: PartitionKey
    kind: Kind
    folders: tuple[Path, ...]
    bytes: int
    newest_ns: int
    checkpoints: int
    is_published: bool


def leftovers(root: Path) -> Iterator[Leftover]:
    """All of them below a data root, in order; nothing is changed.

    Args:
        root: of the datasets.
    """
    for dataset in sorted(DATASETS):
        for folder in sorted((root / dataset).glob("exchange=*/symbol=*/.*-dt=*")):
            match = _NAME.fullmatch(folder.name)
            if match is None or not folder.is_dir():
                continue
            exchange, symbol = (part.split("=", 1)[1] for part in folder.parent.parts[-2:])
            try:
                key = PartitionKey.parse(Instrument(exchange, symbol).key, match[3])
            except SettingsError:
                continue  # of somebody else
            building = folder.with_name(f"{BUILDING}{match[2]}")
            if _is_locked(building.with_name(f"{building.name}.lock")):
                continue
            kind = match[1].partition("-")[0]
            if kind == "checkpoints" and building.is_dir():
                continue  # it is told of with what it belongs to
            with suppress(FileNotFoundError):  # published or cleared while we looked: nothing is left
                yield _found(dataset, key, kind, folder, match[2])  # type: ignore[arg-type]


def _found(dataset: str, key: PartitionKey, kind: Kind, folder: Path, name: str) -> Leftover:
    folders = [folder]
    checkpoints = folder.with_name(f".checkpoints-{name}")
    if kind == "building" and checkpoints.is_dir():
        folders.append(checkpoints)
    newest = max(path.stat().st_mtime_ns for each in folders for path in (each, *each.rglob("*")))
    return Leftover(
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
    """Whether a run holds the lock, or may hold it for all we can see; looked at for an instant, see `locked_file`."""
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
