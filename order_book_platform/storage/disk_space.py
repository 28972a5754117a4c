"""Estimates of the disk space that partitions being written need, and the error when it is not there."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from order_book_platform.errors import DiskFullError

if TYPE_CHECKING:
    from order_book_platform.storage.partition_writer import PartitionWriter

PARTITION = "the partition"
PUBLISHED_IS_KEPT = "what was published before is untouched"
LEAST_SHARE = 0.02
"""Share of the work from which on the files written so far tell more than an estimate from the input."""
SURE_SHARE_OF_INPUT_ESTIMATE = 0.25
SURE_SHARE_OF_WRITTEN_ESTIMATE = 0.5
"""Shares of an estimate that are surely needed: books of recorded days took 2.2 to 6.4 bytes a delta."""


@dataclass(slots=True)
class DiskSpace:
    """Disk space of partitions that are written together.

    Attributes:
        written_bytes: bytes in their folders when `measure` was called.
        total_bytes: estimated bytes of all of them when they are complete.
        is_from_written: whether the estimate is made from the files written so far, else from the input.
    """

    written_bytes: int = 0
    total_bytes: int = 0
    is_from_written: bool = False
    _writers: list[PartitionWriter] = field(default_factory=list)
    _is_measured: bool = False

    def add(self, writer: PartitionWriter) -> None:
        """Add a partition that is being written."""
        self._writers.append(writer)

    def measure(self) -> None:
        """Measure the folders and make the estimate; later calls change nothing, since failed folders are removed."""
        if self._is_measured:
            return
        self._is_measured = True
        for writer in self._writers:
            written = folder_bytes(writer.folder)
            total = writer.expected_bytes
            if writer.stored_share >= LEAST_SHARE:
                total, self.is_from_written = round(written / writer.stored_share), True
            self.written_bytes += written
            self.total_bytes += max(total, written)

    @property
    def removable_bytes(self) -> int:
        """Bytes in folders that are removed when the error has been raised."""
        return sum(folder_bytes(writer.folder) for writer in self._writers if not writer.resumable)

    @property
    def surely_needed_bytes(self) -> int:
        """Bytes that are surely still needed, however wrong the estimate is."""
        share = SURE_SHARE_OF_WRITTEN_ESTIMATE if self.is_from_written else SURE_SHARE_OF_INPUT_ESTIMATE
        return round(share * (self.total_bytes - self.written_bytes))


def disk_full_error(
    folder: Path, disk_space: DiskSpace, *, what: str, kept: str, why: str = "", building: Path | None = None
) -> DiskFullError:
    """Make the error about a disk without enough space; see `atomic.translate_write_errors`.

    Args:
        folder: folder being written.
        disk_space: space that is needed; all zero if there is no estimate.
        what: description of the folder, for the message.
        kept: description of the data that a full disk does not touch, for the message.
        why: text of the operating system's error, if there was one.
        building: folder whose files stay, so that the next run goes on from them; None if they are removed.
    """
    disk_space.measure()
    free_bytes = shutil.disk_usage(nearest_folder(folder)).free + disk_space.removable_bytes
    expected, lacking_bytes = f"room for {what} being written", 0
    if disk_space.total_bytes:
        needed_bytes = disk_space.total_bytes - (disk_space.written_bytes if building else 0)
        lacking_bytes = needed_bytes - free_bytes
        expected += (
            f": about {in_megabytes(needed_bytes)} {'more' if building else 'in all'}, estimated from "
        )
        expected += "what is written so far" if disk_space.is_from_written else "its input"
    beside = f"beside {in_megabytes(folder_bytes(building))} that are written" if building else "without it"
    to_free = f"at least {in_megabytes(lacking_bytes)}" if lacking_bytes > 0 else "space"
    return DiskFullError(
        expected=expected,
        found=f"{why}{'; ' if why else ''}{free_bytes / 1e6:,.0f} MB free {beside}",
        where=str(folder),
        remedy=f"Free {to_free} there and run again{', to go on from there' if building else ''}; {kept}.",
    )


def in_megabytes(size_bytes: int) -> str:
    """Format bytes as whole megabytes, rounded up: freeing that many is enough."""
    return f"{math.ceil(size_bytes / 1e6):,} MB"


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 where there is no such folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # a file may be removed meanwhile
            total += path.stat().st_size if path.is_file() else 0
    return total


def nearest_folder(path: Path) -> Path:
    """Return the closest existing folder at or above `path`."""
    return next(each for each in (path, *path.parents) if each.is_dir())
