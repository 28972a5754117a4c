"""Pages of libraries: a process reads them in as it needs them, and counts them as its memory for good.

Of 370 MB that a reconstruction takes at the least, 148 MB are such pages, 70 of them of the compiler that has loaded
its loops and is done; 110 MB are not used again. The system has them in its cache of files and would get them back when
it needs room; a limit on what the process occupies does not wait for that.
"""

from __future__ import annotations

import ctypes
import mmap
import re
from collections.abc import Iterator
from pathlib import Path

_MAPS = Path("/proc/self/smaps")
_MADV_DONTNEED = 4
"""Of Linux's mman.h."""
_PT_LOAD, _PF_W = 1, 2
"""Of elf.h: a part of the file that is mapped, and that it can be written to."""


class _Header(ctypes.Structure):
    """`Elf64_Phdr`."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("file_bytes", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("align", ctypes.c_uint64),
    )


class _Object(ctypes.Structure):
    """`dl_phdr_info`, as far as it is the same everywhere."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_Header)),
        ("count", ctypes.c_uint16),
    )


_Visit = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Object), ctypes.c_size_t, ctypes.c_void_p)


def let_go_of_pages() -> int:
    """Take code and constants of libraries out of this process's memory; what is used comes back from the file.

    Only pages that nobody can have written to: of parts that a library's own header calls read-only, and in which
    the system knows no page that differs from the file.

    Returns:
        Bytes of the parts that were let go; 0 where the system does not say what is safe (it is a Linux matter).
    """
    process = ctypes.PyDLL(None)
    if not (_MAPS.exists() and hasattr(process, "dl_iterate_phdr") and ctypes.sizeof(ctypes.c_void_p) == 8):
        return 0
    untouched = list(_untouched())
    let_go = 0
    for begin, end in _constant(process):
        if any(first <= begin and end <= last for first, last in untouched):
            let_go += end - begin
            process.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), _MADV_DONTNEED)
    return let_go


def _untouched() -> Iterator[tuple[int, int]]:
    """Begin and end of mapped files, or parts of them, that cannot be written to and are as they lie on the disk."""
    begin = end = 0
    for line in _MAPS.read_text(encoding="utf-8", errors="replace").splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ [1-9]", line):
            begin, end = (int(found[1], 16), int(found[2], 16)) if "w" not in found[3] else (0, 0)
        elif re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            begin = end = 0
        elif end and re.match(r"Anonymous: +0 kB", line):
            yield begin, end


def _constant(process: ctypes.PyDLL) -> list[tuple[int, int]]:
    """Begin and end of the pages of each read-only part of each library.

    Asked of the loader: while another thread loads a library, a mapping may look like a constant part, and become one
    that is written to a moment later. Without letting go of the interpreter, which that thread may be waiting for.
    """
    parts: list[tuple[int, int]] = []

    def visit(described: ctypes._Pointer[_Object], _size: int, _data: int | None) -> int:
        library = described.contents
        for header in library.headers[: library.count]:
            if header.type == _PT_LOAD and not header.flags & _PF_W:
                begin = library.base + header.address
                page = -begin % mmap.PAGESIZE, (begin + header.bytes) % mmap.PAGESIZE
                parts.append((begin + page[0], begin + header.bytes - page[1]))
        return 0

    process.dl_iterate_phdr(_Visit(visit), None)
    return parts
