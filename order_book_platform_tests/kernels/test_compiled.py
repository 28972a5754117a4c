"""Compiled loops are never older than the sources they were made from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from order_book_platform.kernels import compiled
from order_book_platform.kernels.compiled import cache_folder, source_stamp

CALLER = """
from numba import njit, types
from {package}.callee import answer

@njit(types.int64(), cache=True)
def asked():
    return answer()
"""
CALLEE = """
from numba import njit, types

@njit(types.int64(), cache=True)
def answer():
    return {value}
"""


def write(folder: Path, value: int) -> None:
    """A package whose one kernel calls a kernel of another file."""
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").write_text(
        "from pathlib import Path\nfrom numba import config\n"
        "from order_book_platform.kernels.compiled import cache_folder\n"
        "config.CACHE_DIR = str(cache_folder(here=Path(__file__).parent))\n",
        encoding="utf-8",
    )
    (folder / "caller.py").write_text(CALLER.format(package=folder.name), encoding="utf-8")
    (folder / "callee.py").write_text(CALLEE.format(value=value), encoding="utf-8")


def test_a_change_in_a_called_file_is_noticed(tmp_path: Path) -> None:
    """The loop that calls it is compiled anew; numba alone would have gone on with the old one."""
    package = tmp_path / "loops"
    for value in (41, 42):
        write(package, value)
        done = subprocess.run(
            [sys.executable, "-c", "from loops.caller import asked; print(asked())"],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(compiled.HERE.parents[1])])},
            timeout=120,
        )
        assert done.stdout.strip() == str(value)


def test_the_stamp_follows_every_file(tmp_path: Path) -> None:
    """Another content, name or number of files is another state; other kinds of files are not looked at."""
    (tmp_path / "a.py").write_text("x = 1\n", encoding="utf-8")
    first = source_stamp(tmp_path)
    (tmp_path / "notes.txt").write_text("", encoding="utf-8")
    assert source_stamp(tmp_path) == first
    (tmp_path / "a.py").write_text("x = 2\n", encoding="utf-8")
    second = source_stamp(tmp_path)
    (tmp_path / "b.py").write_text("", encoding="utf-8")
    third = source_stamp(tmp_path)
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert len({first, second, third, source_stamp(tmp_path)}) == 4


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the sources; where those are read-only, with the user; where NUMBA_CACHE_DIR says, if it does."""
    name = f"compiled-{source_stamp(tmp_path)}"
    assert cache_folder(here=tmp_path) == tmp_path / "__pycache__" / name
    assert cache_folder("/var/cache/numba", tmp_path) == Path("/var/cache/numba") / name
    monkeypatch.setattr(compiled.os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/somebody/cache")
    assert cache_folder(here=tmp_path) == Path("/home/somebody/cache/order_book_platform") / name
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert cache_folder(here=tmp_path) == Path("/home/somebody/.cache/order_book_platform") / name


def test_it_is_in_force() -> None:
    """Importing any kernel has set it."""
    assert Path(numba.config.CACHE_DIR).name.startswith("compiled-")
