"""The high-water file of an encrypted log: how many rows were known to be on the device, authenticated.

Without it, somebody could cut whole frames off the end of a log, and what is left would look like a whole log.
"""

from __future__ import annotations

import hmac
import os
import struct
from pathlib import Path

from order_book_platform.errors import LogCorruptError
from order_book_platform.storage.disk import sync_path
from order_book_platform.storage.master_keys import MasterKeys

NAME = "high_water"
_MAGIC, _VERSION = b"OBPh", 1
_SLOT = struct.Struct("<4sI8sQQ16s")
_SLOT_BYTES = 128
"""Two slots are written in turn, so that a write that was cut short leaves the other one."""
_DIGEST_BYTES = 32
_PURPOSE = b"high water"


class HighWater:
    """Writes the high-water file of one log, which is created if it is not there.

    Args:
        folder: Folder of the log.
        log_id: 16 bytes of the log.
        keys: Master keys, of which the active one authenticates the file.
    """

    def __init__(self, folder: Path, log_id: bytes, keys: MasterKeys) -> None:
        self._active, self._log_id = keys.active, log_id
        self._key = keys.derive(_PURPOSE, keys.active)
        path = folder / NAME
        is_new = not path.exists()
        self._turn = 0 if is_new else max((turn for turn, *_ in _slots(path)), default=0)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if is_new:
            self.write(0)
            self.sync()
            sync_path(folder)

    def write(self, row: int) -> None:
        """Note that the first `row` rows are on the device; the note itself is left to the system to write."""
        self._turn += 1
        slot = _SLOT.pack(_MAGIC, _VERSION, self._active.encode(), self._turn, row, self._log_id)
        digest = hmac.digest(self._key, slot, "sha256")
        os.pwrite(self._descriptor, (slot + digest).ljust(_SLOT_BYTES, b"\0"), self._turn % 2 * _SLOT_BYTES)

    def sync(self) -> None:
        """Flush the file to the device."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_high_water(folder: Path, log_id: bytes, keys: MasterKeys) -> int:
    """Return how many rows an encrypted log is known to have had on the device.

    Args:
        folder: Folder of the log.
        log_id: 16 bytes that the segments of the log name.
        keys: Master keys at hand.

    Raises:
        LogKeyError: The file is authenticated with a master key that is not at hand.
        LogCorruptError: The file is missing, or no slot of it was written by a writer of this log.
    """
    path = folder / NAME
    valid = []
    for turn, row, master, found_id, slot, digest in _slots(path):
        key = keys.derive(_PURPOSE, master)
        if found_id == log_id and hmac.compare_digest(hmac.digest(key, slot, "sha256"), digest):
            valid.append((turn, row))
    if not valid:
        raise LogCorruptError(
            expected="a high-water file that belongs to the log",
            found="another one" if path.exists() else "none",
            where=str(path),
            remedy="The file was removed or changed, and the end of the log may have been, too: compare with a copy.",
        )
    return max(valid)[1]


def _slots(path: Path) -> list[tuple[int, int, str, bytes, bytes, bytes]]:
    """Return turn, row, master key, log, authenticated bytes and digest of each slot that has the right form."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for at in (0, _SLOT_BYTES):
        slot, digest = content[at : at + _SLOT.size], content[at + _SLOT.size :][:_DIGEST_BYTES]
        if len(digest) < _DIGEST_BYTES:
            continue
        magic, version, master, turn, row, log_id = _SLOT.unpack(slot)
        if (magic, version) == (_MAGIC, _VERSION):
            found.append((turn, row, master.decode(errors="replace"), log_id, slot, digest))
    return found
