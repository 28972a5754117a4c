"""Putting a folder in place in one step, and telling the disk to mean it."""

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
from order_book_platform.storage.disk_space import PARTITION, PUBLISHED_IS_KEPT, DiskSpace, full_disk

_RENAME_EXCHANGE = 2
_LOCK_TRIES, _LOCK_WAIT_S = 6, 0.01
"""Who only looks whether a lock is held holds it for an instant."""
_AT_FDCWD = -100
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when a device, a quota or the allowed size of a file is used up."""

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder` to the device."""
    for parent, _, names in os.walk(folder):
        for name in names:
            sync_path(Path(parent) / name)
        sync_path(Path(parent))


def sync_path(path: Path) -> None:
    """Flush one file, or one folder's entries, to the device."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(built: Path, target: Path, aside: Path) -> None:
    """Replace folder `target` by folder `built`; a reader sees the old one or the new one.

    Linux exchanges both names in one step. Where the file system cannot, the old folder is moved to `aside`
    first; a crash between the two renames leaves it there, and `recover_aside` puts it back.

    Args:
        built: the complete new folder, on the same file system.
        target: where it shall be.
        aside: a free name beside `target`.
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


def recover_aside(target: Path, aside: Path) -> None:
    """Undo a replacement that a crash cut in two; drop leftovers of one that was complete."""
    if not aside.exists():
        return
    if target.exists():
        shutil.rmtree(aside)
    else:
        aside.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names atomically; false where that did not work, mostly a file system that cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    code: int = renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    return code == 0


@contextmanager
def locked_folder(folder: Path, *, keep: bool = False) -> Iterator[Path]:
    """A folder that this writer alone may fill; what a dead one left in it is removed, unless it shall be kept.

    The lock is a file beside the folder, since the folder itself moves when it is published. The operating
    system lets go of it when a process dies, however it dies.

    Raises:
        PartitionBusyError: another writer holds it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked_file(folder.with_name(f"{folder.name}.lock")):
        if folder.exists() and not keep:
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=keep)
        yield folder


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on the file `path`, and remove it at the end.

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
def write_errors_named(
    folder: Path,
    what: str = PARTITION,
    kept: str = PUBLISHED_IS_KEPT,
    building: Path | None = None,
    room: DiskSpace | None = None,
) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into an error that says where, and what to do.

    Args:
        folder: what is being written; errors about files elsewhere pass through.
        what: what that is, for the message.
        kept: what a full disk does not touch, for the message.
        building: what has been written so far; if it is still there when the error has come out, the next run goes on
            from it.
        room: how much is needed, where that can be told.

    Raises:
        DiskFullError: the device, the quota or the allowed file size is used up.
        StorageAccessError: the folder, or one above it, may not be written or is a file.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            stays = building if building is not None and building.is_dir() else None
            why = os.strerror(error.errno)
            raise full_disk(
                folder, room or DiskSpace(), what=what, kept=kept, why=why, building=stays
            ) from error
        if error.errno in _REFUSED and _concerns(error, folder):
            raise StorageAccessError(
                expected="a folder that can be written",
                found=os.strerror(error.errno),
                where=str(error.filename),
                remedy="Give this user the right to write there, or set another data_root.",
            ) from error
        raise


def _concerns(error: OSError, folder: Path) -> bool:
    """Whether the file that an error names lies beside, below or above the partition's folder."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return False
    named = Path(os.fsdecode(error.filename))
    return named.is_relative_to(folder.parent) or folder.is_relative_to(named)
