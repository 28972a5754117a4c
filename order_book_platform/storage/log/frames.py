"""Frames of an open segment: a header, a payload, and a checksum that shows whether both are complete.

The layout is in docs/formats/log.md. Files are read with `preadv` into allocated memory, not mapped: a mapped file
would kill the reader with a bus error if its writer, out of disk space, cuts off half a frame; and it is no faster (1.5
to 4.2 GB/s mapped, 1.7 to 3.7 GB/s read, including the CRC, which takes most of the time).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

import pyarrow as pa

from order_book_platform.errors import LogCorruptError

MAGIC = b"OBPf"
VERSION, ENCRYPTED_VERSION = 1, 2
"""Version of frames whose payload is as written, and of those whose payload is encrypted."""
ALIGNMENT = 8
MAX_PAYLOAD_BYTES = 2**32 - ALIGNMENT
"""Largest length that the header of a frame can hold."""

_HEADER = struct.Struct("<4sIQQIIII")
_UNCHECKED_BYTES = 8
"""Bytes at the beginning of a header that the CRC does not cover: the magic and the CRC itself."""
SEAL_BYTES = 40
"""Bytes that encryption adds to a payload: a counter, the tag of the frame before, and the frame's own tag."""
Seal = Callable[[pa.Buffer, bytes], bytes]
"""Encrypts a payload, given the header behind the checksum; the result is `SEAL_BYTES` longer."""
_SEARCH_BYTES = 1 << 20


class FrameKind(IntEnum):
    """Purpose of a frame."""

    SCHEMA = 1
    ROWS = 2
    SYNCED = 3
    KEY = 4


class Frame(NamedTuple):
    """A complete frame whose checksum is right.

    It takes the bytes from `offset` to `end` of its file. Its `rows` rows have the numbers from `first_row` on in the
    log, of which `synced_row` rows were known to be on the device when it was written. `kind` is a `FrameKind`, or a
    number that this version does not know; `payload` is an Arrow IPC message, without padding, or that encrypted where
    `version` is `ENCRYPTED_VERSION`. `header` has the 32 bytes behind the checksum.
    """

    offset: int
    end: int
    kind: int
    first_row: int
    synced_row: int
    rows: int
    payload: pa.Buffer
    version: int
    header: bytes


def pack_frame(
    kind: FrameKind,
    first_row: int,
    synced_row: int,
    rows: int,
    payload: pa.Buffer | bytes,
    seal: Seal | None = None,
) -> list[memoryview]:
    """Return the bytes of a `Frame` as buffers to be written one after the other; the payload is not copied.

    A frame of kind `KEY`, and one whose payload `seal` encrypts, is of the version of encrypted logs.
    """
    version = VERSION if seal is None and kind != FrameKind.KEY else ENCRYPTED_VERSION
    size = len(payload) + (0 if seal is None else SEAL_BYTES)
    header = bytearray(_HEADER.size)
    _HEADER.pack_into(header, 0, MAGIC, 0, first_row, synced_row, rows, size, kind, version)
    if seal is not None:
        payload = seal(payload, bytes(header[_UNCHECKED_BYTES:]))
    padding = bytes(-size % ALIGNMENT)
    crc = zlib.crc32(memoryview(header)[_UNCHECKED_BYTES:])
    crc = zlib.crc32(padding, zlib.crc32(payload, crc))
    struct.pack_into("<I", header, 4, crc)
    return [memoryview(part) for part in (header, payload, padding)]


def write_all(descriptor: int, parts: Sequence[memoryview]) -> int:
    """Write all buffers, however few bytes the system accepts at a time; returns the number of bytes."""
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
    """Read the frame at a byte of a file; returns None if there is no complete frame with a right checksum.

    Raises:
        LogCorruptError: the frame has a version that this package does not know; `where` names the file in the error.
    """
    header = os.pread(descriptor, _HEADER.size, offset)
    if len(header) < _HEADER.size or not header.startswith(MAGIC):
        return None
    _, crc, first_row, synced_row, rows, size, kind, version = _HEADER.unpack(header)
    padded = size + -size % ALIGNMENT
    end = offset + _HEADER.size + padded
    if end > os.fstat(descriptor).st_size:
        return None  # cut short, or a damaged length: no memory is allocated for bytes that do not exist
    payload, done = pa.allocate_buffer(padded), 0
    while done < padded:
        got = os.preadv(descriptor, [memoryview(payload)[done:]], offset + _HEADER.size + done)
        if got == 0:
            return None
        done += got
    if zlib.crc32(payload, zlib.crc32(header[_UNCHECKED_BYTES:])) != crc:
        return None
    if version not in (VERSION, ENCRYPTED_VERSION):
        raise LogCorruptError(
            expected=f"a frame of version {VERSION} or {ENCRYPTED_VERSION}",
            found=f"version {version}",
            where=f"{where}, byte {offset}",
            remedy="Read it with the version of this package that wrote it, or a later one.",
        )
    content = payload.slice(0, size)
    return Frame(offset, end, kind, first_row, synced_row, rows, content, version, header[_UNCHECKED_BYTES:])


def next_complete_frame(descriptor: int, offset: int, where: str) -> Frame | None:
    """Return the first complete frame that begins at byte `offset` or behind it."""
    while True:
        block = os.pread(descriptor, _SEARCH_BYTES, offset)
        found = block.find(MAGIC)
        while found >= 0:
            frame = (
                read_frame(descriptor, offset + found, where) if (offset + found) % ALIGNMENT == 0 else None
            )
            if frame is not None:
                return frame
            found = block.find(MAGIC, found + 1)
        if len(block) < _SEARCH_BYTES:
            return None
        offset += _SEARCH_BYTES


def later_synced_frame(descriptor: int, offset: int, row: int, where: str) -> Frame | None:
    """Return the first frame from byte `offset` on that proves that more than `row` rows had reached the device."""
    while (frame := next_complete_frame(descriptor, offset, where)) is not None:
        if frame.synced_row > row:
            return frame
        offset = frame.end
    return None
