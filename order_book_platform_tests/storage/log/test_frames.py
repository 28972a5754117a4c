"""Frames, byte by byte: an incomplete or damaged frame is not read."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.errors import LogCorruptError
from order_book_platform.storage.log import frames
from order_book_platform.storage.log.frames import (
    FrameKind,
    later_synced_frame,
    pack_frame,
    read_frame,
    write_all,
)


def made(
    first_row: int = 7, synced_row: int = 5, payload: bytes = b"13 bytes here", kind: int = FrameKind.ROWS
) -> bytes:
    """Return the bytes of a frame."""
    return b"".join(pack_frame(FrameKind(kind), first_row, synced_row, 2, pa.py_buffer(payload)))


def again(frame: bytes, **changed: int) -> bytes:
    """The same frame with other numbers in its header, and the checksum that fits them."""
    names = ("magic", "crc", "first_row", "synced_row", "rows", "size", "kind", "version")
    header = dict(zip(names, struct.unpack_from("<4sIQQIIII", frame), strict=True)) | changed
    packed = struct.pack("<4sIQQIIII", *header.values())
    return packed[:4] + struct.pack("<I", zlib.crc32(packed[8:] + frame[40:])) + packed[8:] + frame[40:]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[[bytes], int]]:
    """Put bytes into a file and open it, until the next call or the end of the test."""
    path = tmp_path / "frames"
    with ExitStack() as stack:

        def opens(content: bytes) -> int:
            stack.close()
            path.write_bytes(content)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
            stack.callback(os.close, descriptor)
            return descriptor

        yield opens


def test_the_layout_is_that_of_the_format_document() -> None:
    """Offsets, types and the span of the checksum; a payload of 13 bytes is padded to 16."""
    frame = made()
    assert len(frame) == 40 + 16
    assert frame[:4] == b"OBPf"
    assert struct.unpack_from("<I", frame, 4)[0] == zlib.crc32(frame[8:])
    assert struct.unpack_from("<QQIIII", frame, 8) == (7, 5, 2, 13, 2, 1)
    assert frame[40:] == b"13 bytes here\0\0\0"


@pytest.mark.parametrize("payload", [b"", b"x", b"12345678", bytes(100_003)])
def test_what_is_packed_is_read(opened: Callable[[bytes], int], payload: bytes) -> None:
    """A frame is read back at any offset, with any length of payload, without its padding."""
    descriptor = opened(bytes(24) + made(payload=payload) + made(first_row=9))
    frame = read_frame(descriptor, 24, "file")
    assert frame is not None
    assert (frame.offset, frame.kind, frame.first_row, frame.synced_row, frame.rows) == (24, 2, 7, 5, 2)
    assert frame.payload.to_pybytes() == payload
    following = read_frame(descriptor, frame.end, "file")
    assert following is not None
    assert following.first_row == 9


def test_a_frame_cut_at_any_byte_is_not_there(opened: Callable[[bytes], int]) -> None:
    """A frame is not read while as much as the last byte of its padding is missing."""
    frame = made()
    for length in range(len(frame)):
        assert read_frame(opened(frame[:length]), 0, "file") is None
    assert read_frame(opened(frame), 0, "file") is not None


def test_a_frame_with_any_bit_flipped_is_not_there(opened: Callable[[bytes], int]) -> None:
    """Header, checksum, payload or padding: none of them is believed; a damaged length takes no memory."""
    frame = bytearray(made())
    for position in range(len(frame) * 8):
        frame[position // 8] ^= 1 << position % 8
        assert read_frame(opened(bytes(frame) + bytes(64)), 0, "file") is None
        frame[position // 8] ^= 1 << position % 8


def test_another_version_is_not_taken_for_a_torn_frame(opened: Callable[[bytes], int]) -> None:
    """A later package's rows are refused, not cut off."""
    with pytest.raises(
        LogCorruptError, match=r"file, byte 8: expected a frame of version 1 or 2, found version 3"
    ):
        read_frame(opened(bytes(8) + again(made(), version=3)), 8, "file")


@pytest.mark.parametrize("distance", [0, 8, 1_000, (1 << 20) - 8, 1 << 20, (1 << 20) + 8])
def test_a_later_synced_frame_is_found_wherever_it_is(opened: Callable[[bytes], int], distance: int) -> None:
    """Behind any number of damaged bytes, the first letters of a frame among them."""
    lure = (b"OBPf" * (distance // 4 + 1))[:distance]
    descriptor = opened(bytes(16) + lure + made(synced_row=4) + made(synced_row=8))
    found = later_synced_frame(descriptor, 16, 7, "file")
    assert found is not None
    assert (found.offset, found.synced_row) == (16 + distance + len(made()), 8)
    assert later_synced_frame(descriptor, 16, 8, "file") is None
    assert later_synced_frame(descriptor, found.end, 0, "file") is None


def test_a_claim_out_of_step_is_none(opened: Callable[[bytes], int]) -> None:
    """Frames lie at multiples of 8: what looks like one elsewhere is content."""
    assert later_synced_frame(opened(bytes(4) + made(synced_row=8)), 0, 0, "file") is None


@given(taken=st.lists(st.integers(1, 30), max_size=12), parts=st.lists(st.binary(max_size=20), max_size=6))
def test_writes_that_are_taken_in_pieces(taken: list[int], parts: list[bytes]) -> None:
    """However little the system takes at once, all bytes are written, once and in order."""
    written = bytearray()
    allowed = iter(taken)

    def some(descriptor: int, buffers: list[memoryview]) -> int:
        content = b"".join(buffers)[: next(allowed, 10**6)]
        written.extend(content)
        return len(content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames.os, "writev", some)
        assert write_all(0, [memoryview(part) for part in parts]) == sum(map(len, parts))
    assert bytes(written) == b"".join(parts)


def test_reads_that_come_in_pieces(opened: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives three bytes at a time gives the same frame; a file that shrinks meanwhile gives none."""
    descriptor = opened(made())
    preadv = os.preadv
    monkeypatch.setattr(frames.os, "preadv", lambda file, buffers, at: preadv(file, [buffers[0][:3]], at))
    frame = read_frame(descriptor, 0, "file")
    assert frame is not None
    assert frame.payload.to_pybytes() == b"13 bytes here"

    def shrinking(file: int, buffers: list[memoryview], at: int) -> int:
        os.ftruncate(file, 44)
        return preadv(file, buffers, at)

    monkeypatch.setattr(frames.os, "preadv", shrinking)
    assert read_frame(descriptor, 0, "file") is None
