"""Pages of libraries: a process reads them in as it needs them, and counts them as its memory for good.

Of 370 MB that a reconstruction takes at the least, 148 MB are such pages, 70 of them of the compiler that has loaded
its loops and is done; 110 MB are not used again. The system has them in its cache of files and would get them back when
it needs room; a limit on what the process occupies does not wait for that.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_MAPS = Path("/proc/self/smaps")
_MADV_DONTNEED = 4
"""Of Linux's mman.h."""
_PT_LOAD, _PF_W = 1, 2
"""Of elf.h: a part of the file that is mapped, and that it can be written to."""
_FILE, _SEGMENT = struct.Struct("<4sBBB25xQ14xHH"), struct.Struct("<IIQQQQQ")
"""`Elf64_Ehdr` from its magic to the place, size and number of its parts; `Elf64_Phdr` up to its size in memory."""
_ELF64 = (b"\x7fELF", 2, 1)
"""Magic, 64 bits, low byte first."""
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ (\d+) +(/.*)")
_UNCHANGED = ("Anonymous", "Swap")
"""Pages that differ from the file, in memory and out of it."""


@dataclass(frozen=True, slots=True)
class _Mapping:
    """A part of a file in memory that nobody can write to, and in which no page differs from the file."""

    begin: int
    end: int
    offset: int
    inode: int
    path: str


@dataclass(frozen=True, slots=True)
class _Segment:
    """A part of a library, as its header has it."""

    address: int
    bytes: int
    offset: int
    file_bytes: int
    constant: bool


def let_go_of_pages() -> int:
    """Take code and constants of libraries out of this process's memory; what is used comes back from the file.

    Only pages that nobody can have written to: of parts that a library's own header calls read-only, and in which
    the system knows no page that differs from the file. The header is asked because, while another thread loads a
    library, a part that will be written to looks for a moment as if it were constant.

    Returns:
        Bytes of the parts that were let go; 0 where the system does not say what is safe (it is a Linux matter).
    """
    let_go = 0
    try:
        parts = [part for mapping in _unchanged() for part in _constant(mapping)]
    except OSError:
        return 0
    for begin, end in parts:
        if (
            ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)
            == 0
        ):
            let_go += end - begin
    return let_go


def _unchanged() -> Iterator[_Mapping]:
    """Mapped files, or parts of them, that cannot be written to and are as they lie on the disk.

    Raises:
        OSError: the system does not say.
    """
    mapping: _Mapping | None = None
    seen = 0
    for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name in _UNCHANGED:
            seen += value.split() == ["0", "kB"]
            if mapping and seen == len(_UNCHANGED):
                yield mapping
        elif " " in name:
            found, seen, mapping = _MAPPING.match(line), 0, None
            if found and "w" not in found[3] and found[3].endswith("p"):
                begin, end, offset = (int(found[at], 16) for at in (1, 2, 4))
                mapping = _Mapping(begin, end, offset, int(found[5]), found[6])


def _constant(mapping: _Mapping) -> Iterator[tuple[int, int]]:
    """Begin and end of whole pages of a mapping that belong to read-only parts of a library, and to no other part."""
    segments = _segments(mapping.path, mapping.inode)
    for segment in segments:
        if not (segment.constant and _page(segment.offset) <= mapping.offset):
            continue
        if mapping.offset >= segment.offset + segment.file_bytes:
            continue
        base = mapping.begin - mapping.offset - segment.address + segment.offset
        first = base + segment.address
        begin, end = max(mapping.begin, -_page(-first)), min(mapping.end, _page(first + segment.file_bytes))
        written = (
            (_page(base + other.address), -_page(-(base + other.address + other.bytes)))
            for other in segments
            if not other.constant
        )
        if begin < end and not any(low < end and begin < high for low, high in written):
            yield begin, end


def _page(address: int) -> int:
    """Begin of the page that this address is in."""
    return address // mmap.PAGESIZE * mmap.PAGESIZE


@lru_cache(maxsize=4096)
def _segments(path: str, inode: int) -> tuple[_Segment, ...]:
    """Mapped parts of a library; none of a file that is no library, or another one than was mapped."""
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_ino != inode:
                return ()
            head = file.read(_FILE.size)
            if len(head) < _FILE.size:
                return ()
            *kind, _, place, size, count = _FILE.unpack(head)
            if tuple(kind) != _ELF64:
                return ()
            file.seek(place)
            table = file.read(size * count)
    except OSError:
        return ()
    if size < _SEGMENT.size or len(table) < size * count:
        return ()
    segments = []
    for at in range(0, size * count, size):
        what, flags, offset, address, _, file_bytes, memory_bytes = _SEGMENT.unpack_from(table, at)
        if what == _PT_LOAD:
            segments.append(_Segment(address, memory_bytes, offset, file_bytes, not flags & _PF_W))
    return tuple(segments)
