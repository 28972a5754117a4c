"""Frames of an open segment: a header, a payload, and the checksum that tells whether both are whole.

The layout is docs/formats/log.md. Files are read with `preadv` into memory of our own: a mapped file would kill
the reader with a bus error if its writer, out of room, cuts half a frame off; and it is no faster (1.5 to 4.2 GB/s
mapped, 1.7 to 3.7 GB/s read, CRC included, which is what takes the time).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

import pyarrow as pa

from order_book_platform.errors import LogCorruptError

MAGIC = b"OBPf"
VERSION = 1
ALIGNMENT = 8
MAX_PAYLOAD_BYTES = 2**32 - ALIGNMENT
"""What the length of a payload can say."""

_HEADER = struct.Struct("<4sIQQIIII")
_UNCHECKED_BYTES = 8
_LOOK_BYTES = 1 << 20


class Kind(IntEnum):
    """What a frame is for."""

    SCHEMA = 1
    ROWS = 2
    SYNCED = 3


class Frame(NamedTuple):
    """A frame that is whole and right.

    Attributes:
        offset: of its first byte in the file.
        end: of the first byte behind it.
        kind: a `Kind`, or a number that this version does not know.
        first_row: place in the log of its first row.
        synced_row: rows of the log that were known to be on the device when it was written.
        rows: how many it holds.
        payload: the Arrow IPC message, without padding.
    """

    offset: int
    end: int
    kind: int
    first_row: int
    synced_row: int
    rows: int
    payload: pa.Buffer


def pack(kind: Kind, first_row: int, synced_row: int, rows: int, payload: pa.Buffer) -> list[memoryview]:
    """The bytes of a frame, as buffers to be written one after the other; the payload is not copied."""
    size = len(payload)
    header = bytearray(_HEADER.size)
    _HEADER.pack_into(header, 0, MAGIC, 0, first_row, synced_row, rows, size, kind, VERSION)
    padding = bytes(-size % ALIGNMENT)
    crc = zlib.crc32(memoryview(header)[_UNCHECKED_BYTES:])
    crc = zlib.crc32(padding, zlib.crc32(payload, crc))
    struct.pack_into("<I", header, 4, crc)
    return [memoryview(part) for part in (header, payload, padding)]


def write_all(descriptor: int, parts: Sequence[memoryview]) -> int:
    """Write buffers one after the other, however little of them the system takes at a time; returns their bytes."""
    left = [part for part in parts if len(part)]
    total = sum(len(part) for part in left)
    while left:
        written = os.writev(descriptor, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]
    return total


def read_frame(descriptor: int, offset: int, where: str) -> Frame | None:
    """The frame at `offset`, or None if there is none that is whole and right.

    Args:
        descriptor: of the open file.
        offset: where it would begin, in bytes.
        where: the file's name, for the error.

    Raises:
        LogCorruptError: it is whole and right, and of a version that this one does not know.
    """
    header = os.pread(descriptor, _HEADER.size, offset)
    if len(header) < _HEADER.size or not header.startswith(MAGIC):
        return None
    _, crc, first_row, synced_row, rows, size, kind, version = _HEADER.unpack(header)
    padded = size + -size % ALIGNMENT
    end = offset + _HEADER.size + padded
    if end > os.fstat(descriptor).st_size:
        return None  # cut short, or a damaged length: memory is taken only for what is there
    payload = pa.allocate_buffer(padded)
    if _read_into(descriptor, memoryview(payload), offset + _HEADER.size) < padded:
        return None
    if zlib.crc32(payload, zlib.crc32(header[_UNCHECKED_BYTES:])) != crc:
        return None
    if version != VERSION:
        raise LogCorruptError(
            expected=f"a frame of version {VERSION}",
            found=f"version {version}",
            where=f"{where}, byte {offset}",
            remedy="Read it with the version of this package that wrote it, or a later one.",
        )
    return Frame(offset, end, kind, first_row, synced_row, rows, payload.slice(0, size))


def later_claim(descriptor: int, offset: int, row: int, where: str) -> Frame | None:
    """The first frame at or behind `offset` that is right and says that rows beyond `row` were on the device.

    Raises:
        LogCorruptError: there is a frame of a version that this one does not know.
    """
    while True:
        look = os.pread(descriptor, _LOOK_BYTES, offset)
        found = look.find(MAGIC)
        while found >= 0:
            frame = read_frame(descriptor, offset + found, where) if found % ALIGNMENT == 0 else None
            if frame is not None and frame.synced_row > row:
                return frame
            found = look.find(MAGIC, found + 1)
        if len(look) < _LOOK_BYTES:
            return None
        offset += _LOOK_BYTES


def _read_into(descriptor: int, target: memoryview, offset: int) -> int:
    """Fill `target` from the file; returns the bytes that were there."""
    done = 0
    while done < len(target):
        got = os.preadv(descriptor, [target[done:]], offset + done)
        if got == 0:
            break
        done += got
    return done
