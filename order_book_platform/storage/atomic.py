"""Locks, flushes to the device, folders that are replaced in one step, and write errors that name their folder."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from order_book_platform.errors import PartitionBusyError, StorageAccessError
from order_book_platform.storage.disk_space import PARTITION, PUBLISHED_IS_KEPT, DiskSpace, disk_full_error

_RENAME_EXCHANGE, _AT_FDCWD = 2, -100
"""Constants of `renameat2`, from Linux's fs.h and fcntl.h."""
_LOCK_TRIES, _LOCK_WAIT_S = 6, 0.01
"""A process that only looks whether a lock is held holds it for an instant: a refused lock is tried a few times."""
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a device, a quota or the allowed size of a file that is used up."""
_REFUSED_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


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
    """Hold an exclusive lock on the file `path`, which is created first and removed at the end.

    Raises:
        PartitionBusyError: another process, or another lock of this one, holds it.
    """
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
        if error.errno in _REFUSED_ERRNOS and _concerns(error, folder):
            raise StorageAccessError(
                expected="a folder that can be written",
                found=os.strerror(error.errno),
                where=str(error.filename),
                remedy="Give this user the right to write there, or set another data_root.",
            ) from error
        raise


def _concerns(error: OSError, folder: Path) -> bool:
    """Return whether the file that an error names lies beside, below or above the folder."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    named = Path(os.fsdecode(error.filename))
    return named.is_relative_to(folder.parent) or folder.is_relative_to(named)
