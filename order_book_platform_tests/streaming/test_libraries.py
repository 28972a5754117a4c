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
        found = list(libraries._untouched())
    holds = {name: any(first <= at < last for first, last in found) for name, (_, at) in ranges.items()}
    assert holds == {"written": False, "read": True}


@linux
def test_parts_that_are_written_to_are_none_of_it() -> None:
    """Nothing that the loader calls constant lies where the system says that it can be written to."""
    parts = libraries._constant(ctypes.PyDLL(None))
    maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    written = [
        tuple(int(each, 16) for each in line.split()[0].split("-")) for line in maps if "w" in line.split()[1]
    ]
    assert len(parts) > 20
    assert not [
        (begin, end) for begin, end in parts for first, last in written if begin < last and first < end
    ]


def test_elsewhere_nothing_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that does not say which pages differ from their files keeps them all."""
    monkeypatch.setattr(libraries, "_MAPS", tmp_path / "absent")
    assert let_go_of_pages() == 0
