"""Locks, flushes, folders replaced in one step, the disk space that is needed, and errors that name their folder."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import math
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from order_book_platform.errors import DiskFullError, PartitionBusyError, StorageAccessError

if TYPE_CHECKING:
    from order_book_platform.storage.partition_writer import PartitionWriter

_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
"""Constants of `renameat2`, from Linux's fs.h and fcntl.h."""
_LOCK_TRIES, _LOCK_WAIT_S = 6, 0.01
"""A process that only looks whether a lock is held holds it for an instant: a refused lock is tried a few times."""
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a device, a quota or the allowed size of a file that is used up."""
_REFUSED_ERRNOS = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)
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
        writers: writers of the partitions.
    """

    written_bytes: int = 0
    total_bytes: int = 0
    is_from_written: bool = False
    writers: list[PartitionWriter] = field(default_factory=list)
    _is_measured: bool = False

    def measure(self) -> None:
        """Measure the folders and make the estimate; later calls change nothing, since failed folders are removed."""
        if self._is_measured:
            return
        self._is_measured = True
        for writer in self.writers:
            written = folder_bytes(writer.folder)
            total = writer.expected_bytes
            if writer.stored_share >= LEAST_SHARE:
                total, self.is_from_written = round(written / writer.stored_share), True
            self.written_bytes += written
            self.total_bytes += max(total, written)

    @property
    def removable_bytes(self) -> int:
        """Bytes in folders that are removed when the error has been raised."""
        return sum(folder_bytes(writer.folder) for writer in self.writers if not writer.resumable)

    @property
    def surely_needed_bytes(self) -> int:
        """Bytes that are surely still needed, however wrong the estimate is."""
        share = SURE_SHARE_OF_WRITTEN_ESTIMATE if self.is_from_written else SURE_SHARE_OF_INPUT_ESTIMATE
        return round(share * (self.total_bytes - self.written_bytes))


def disk_full_error(
    folder: Path, disk_space: DiskSpace, *, what: str, kept: str, why: str = "", building: Path | None = None
) -> DiskFullError:
    """Make the error about a disk without enough space; see `translate_write_errors` for the arguments.

    The operating system's error, if there was one, says `why`. If a folder is `building`, its files stay, so that the
    next run goes on from them.
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


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and itself, to the device."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync_path(Path(parent) / name)
        sync_path(Path(parent))


def sync_path(path: Path) -> None:
    """Flush the content of one file, or the entries of one folder, to the device."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(built: Path, target: Path, aside: Path) -> None:
    """Replace folder `target` by the complete folder `built` on the same file system; a reader sees one or the other.

    Linux exchanges both names in one step. Where the file system cannot, the old folder is moved to the free name
    `aside` first; a crash between the two renames leaves it there, and `recover_replaced_folder` puts it back.
    """
    if not target.exists():
        built.rename(target)
    elif _exchange(built, target):
        shutil.rmtree(built)
    else:
        target.rename(aside)
        built.rename(target)
        shutil.rmtree(aside)
    sync_path(target.parent)


def recover_replaced_folder(target: Path, aside: Path) -> None:
    """Undo a `replace_folder` that a crash cut in two, or remove the old folder of one that was complete."""
    if not aside.exists():
        return
    if target.exists():
        shutil.rmtree(aside)
    else:
        aside.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically; returns false where that did not work, mostly on a file system that cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    code: int = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return code == 0


@contextmanager
def locked_folder(folder: Path, *, keep: bool = False) -> Iterator[Path]:
    """Lock a folder that only this process may fill, and create it; files in it are removed unless `keep` is set.

    The lock is a file beside the folder, since the folder itself moves when it is published. The operating system
    releases it when a process dies, however it dies.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked_file(folder.with_name(f"{folder.name}.lock")):
        if folder.exists() and not keep:
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=keep)
        yield folder


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, created first and removed at the end; `PartitionBusyError` if it is held."""
    tries = _LOCK_TRIES
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            tries -= 1
            if tries:
                time.sleep(_LOCK_WAIT_S)
                continue
            raise PartitionBusyError(
                expected="one writer per partition",
                found="another one at work",
                where=str(path),
                remedy="Wait for the other run to end, then run again.",
            ) from error
        if path.exists() and path.stat().st_ino == os.fstat(descriptor).st_ino:
            break
        os.close(descriptor)  # the holder finished and removed the file between our open and our lock
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def translate_write_errors(
    folder: Path,
    what: str = PARTITION,
    kept: str = PUBLISHED_IS_KEPT,
    building: Path | None = None,
    disk_space: DiskSpace | None = None,
) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into an error that says where, and what to do.

    Args:
        folder: folder being written; errors about files elsewhere pass through.
        what: description of the folder, for the message.
        kept: description of the data that a full disk does not touch, for the message.
        building: folder with the files written so far; if it still exists after the error, the next run goes on from
            it, and the message says so.
        disk_space: estimate of the bytes that are needed, if there is one.

    Raises:
        DiskFullError: the device, the quota or the allowed file size is used up.
        StorageAccessError: the folder, or one above it, may not be written or is a file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            stays = building if building is not None and building.is_dir() else None
            why = os.strerror(error.errno)
            raise disk_full_error(
                folder, disk_space or DiskSpace(), what=what, kept=kept, why=why, building=stays
            ) from error
        named = error.filename
        # Only about a file beside, below or above the folder.
        is_near = isinstance(named, str | bytes | os.PathLike) and (
            Path(os.fsdecode(named)).is_relative_to(folder.parent)
            or folder.is_relative_to(Path(os.fsdecode(named)))
        )
        if error.errno in _REFUSED_ERRNOS and is_near:
            raise StorageAccessError(
                expected="a folder that can be written",
                found=os.strerror(error.errno),
                where=str(named),
                remedy="Give this user the right to write there, or set another data_root or capture_root.",
            ) from error
        raise


def is_locked(path: Path) -> bool:
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
