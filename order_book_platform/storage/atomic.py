"""Putting a folder in place in one step, and telling the disk to mean it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from order_book_platform.errors import DiskFullError, PartitionBusyError

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


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

    Linux exchanges both names in one step. Where the file system cannot, the old folder is moved to `aside` first; a
    crash between the two renames leaves it there, and `recover_aside` puts it back.

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
    """Swap two names atomically; false where the kernel or the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """An empty folder that this process alone may fill; what a dead process left in it is removed.

    Raises:
        PartitionBusyError: another process holds it.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise PartitionBusyError(
                expected="one writer per partition",
                found="another process writing it",
                where=str(folder),
                remedy="Wait for the other run to end, then run again.",
            ) from error
        if folder.exists() and os.stat(folder).st_ino == os.fstat(descriptor).st_ino:
            break
        os.close(descriptor)  # the holder published and moved the folder between our mkdir and our lock
    try:
        for entry in folder.iterdir():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        yield folder
    finally:
        os.close(descriptor)


@contextmanager
def disk_full_named(folder: Path) -> Iterator[None]:
    """Turn "no space left" into an error that says where and how much there is.

    Raises:
        DiskFullError: the device or the quota is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(folder if folder.exists() else folder.parent).free
        raise DiskFullError(
            expected="room for the partition being written",
            found=f"{free / 1e6:,.0f} MB free",
            where=str(folder),
            remedy="Free space on that disk and run again; what was published before is untouched.",
        ) from error
