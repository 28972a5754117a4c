"""Pages of libraries: let go of, back when they are needed, and never those that somebody wrote to."""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from order_book_platform.streaming import libraries
from order_book_platform.streaming.libraries import let_go_of_pages

linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is let go of")
_READ_ONLY = 1
"""PROT_READ."""


def file_bytes() -> int:
    """Memory of this process that is pages of files."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (found,) = re.findall(r"RssFile:\s+(\d+) kB", status)
    return int(found) * 1024


@linux
def test_most_pages_go() -> None:
    """Of code that has been read, and is not at work."""
    let_go_of_pages()
    least = file_bytes()
    touch_pages("libarrow.so")
    full = file_bytes()
    assert full - least > 10_000_000
    assert let_go_of_pages() > 10_000_000
    assert file_bytes() < full - (full - least) // 2


def touch_pages(name: str) -> None:
    """Read one byte of each page of the code of a library."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        if f"/{name}." in line and " r-xp " in line:
            first, last = (int(each, 16) for each in line.split()[0].split("-"))
            for page in range(first, last, mmap.PAGESIZE):
                ctypes.c_char.from_address(page).value  # noqa: B018 - to read it is the point


@linux
def test_work_goes_on_meanwhile() -> None:
    """Threads whose code is let go of again and again: it comes back as it was."""
    stop, sums = threading.Event(), []

    def work() -> None:
        numbers = pa.array(range(1_000))
        while not stop.is_set():
            sums.append(pc.sum(pc.add(numbers, 1)).as_py())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        let_go_of_pages()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(sums) == {500_500}


@linux
def test_what_was_written_to_is_kept(tmp_path: Path) -> None:
    """A page that differs from its file, as those that a loader corrects, though nobody may write to it any more."""
    path = tmp_path / "file"
    path.write_bytes(b"a" * 2 * mmap.PAGESIZE)
    ranges = {}
    with path.open("rb") as file:
        for name in ("written", "read"):
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            begin = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
            assert mapped[0] == ord("a")
            if name == "written":
                mapped[0] = ord("b")
            process = ctypes.CDLL(None)
            assert process.mprotect(ctypes.c_void_p(begin), ctypes.c_size_t(len(mapped)), _READ_ONLY) == 0
            ranges[name] = (mapped, begin)
        found = list(libraries._unchanged())
    holds = {
        name: any(mapping.begin <= at < mapping.end for mapping in found) for name, (_, at) in ranges.items()
    }
    assert holds == {"written": False, "read": True}


ENTRY = """\
7f0000000000-7f0000004000 r-xp 00001000 fe:00 77                         /lib/x.so
Rss:                  16 kB
Anonymous:             {anonymous} kB
AnonHugePages:         0 kB
Swap:                  {swap} kB
SwapPss:               0 kB
VmFlags: rd ex mr mw me
"""


@pytest.mark.parametrize(("anonymous", "swap", "told"), [(0, 0, 1), (4, 0, 0), (0, 4, 0)])
def test_a_changed_page_that_was_swapped_out_is_a_changed_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anonymous: int, swap: int, told: int
) -> None:
    """Such a page is counted as anonymous no longer, and would be gone."""
    monkeypatch.setattr(libraries, "_MAPS", tmp_path / "smaps")
    libraries._MAPS.write_text(ENTRY.format(anonymous=anonymous, swap=swap))
    assert len(list(libraries._unchanged())) == told


@linux
def test_parts_that_are_written_to_are_none_of_it() -> None:
    """All that would be let go of lies in parts that the loader knows, too, and calls constant."""
    parts = [part for mapping in libraries._unchanged() for part in libraries._constant(mapping)]
    known = loaded_parts()
    assert sum(end - begin for begin, end in parts) > 50_000_000
    for begin, end in parts:
        assert any(low <= begin and end <= high for low, high, constant in known if constant)
        assert not any(low < end and begin < high for low, high, constant in known if not constant)


class Header(ctypes.Structure):
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


class Object(ctypes.Structure):
    """`dl_phdr_info`, as far as it is the same everywhere."""

    _fields_ = (
        ("base", ctypes.c_uint64),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(Header)),
        ("count", ctypes.c_uint16),
    )


def loaded_parts() -> list[tuple[int, int, bool]]:
    """What the loader itself says of every library: begin, end, and whether it is constant."""
    parts: list[tuple[int, int, bool]] = []

    def visit(described: ctypes._Pointer[Object], _size: int, _data: int | None) -> int:
        library = described.contents
        for header in library.headers[: library.count]:
            if header.type == 1:
                begin = library.base + header.address
                parts.append((begin, begin + header.bytes, not header.flags & 2))
        return 0

    kind = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.POINTER(Object), ctypes.c_size_t, ctypes.c_void_p)
    ctypes.PyDLL(None).dl_iterate_phdr(kind(visit), None)
    return parts


@linux
def test_a_file_that_is_no_library_or_another_one_has_no_parts(tmp_path: Path) -> None:
    """Nor has one that is cut, or gone: nothing is let go of then."""
    (library,) = {
        mapping for mapping in libraries._unchanged() if "libarrow.so" in mapping.path and mapping.offset == 0
    }
    inode = Path(library.path).stat().st_ino
    assert inode == library.inode
    assert libraries._segments(library.path, inode)
    assert libraries._segments(library.path, inode + 1) == ()
    content = Path(library.path).read_bytes()[:4096]
    for name, some in (("short", content[:20]), ("cut", content[:100]), ("other", b"x" * 4096)):
        path = tmp_path / name
        path.write_bytes(some)
        assert libraries._segments(str(path), path.stat().st_ino) == ()
    assert libraries._segments(str(tmp_path / "gone"), 1) == ()


def test_elsewhere_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that does not say which pages differ from their files keeps them all."""
    for unreadable in (tmp_path / "absent", tmp_path):
        monkeypatch.setattr(libraries, "_MAPS", unreadable)
        assert let_go_of_pages() == 0
