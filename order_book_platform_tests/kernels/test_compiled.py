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


APART = """
from pathlib import Path
from numba import config
from order_book_platform.kernels.compiled import cache_folder
config.CACHE_DIR = str(cache_folder(here=Path(__file__).parent))
"""


def asked(folder: Path) -> str:
    """What the calling kernel says, in a process of its own."""
    paths = os.pathsep.join([str(folder), str(compiled.HERE.parents[1])])
    done = subprocess.run(
        [sys.executable, "-B", "-c", "from loops.caller import asked; print(asked())"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "NUMBA_DISABLE_JIT": "0"},
        timeout=120,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("first_lines", "second_answer"), [(APART, "42"), ("", "41")], ids=["apart", "numba"]
)
def test_a_change_in_a_called_file_is_noticed(tmp_path: Path, first_lines: str, second_answer: str) -> None:
    """The loop that calls it is compiled anew; left to itself, numba goes on with the old one."""
    package = tmp_path / "loops"
    package.mkdir()
    (package / "__init__.py").write_text(first_lines, encoding="utf-8")
    (package / "caller.py").write_text(CALLER.format(package="loops"), encoding="utf-8")
    (package / "callee.py").write_text(CALLEE.format(value=41), encoding="utf-8")
    assert asked(tmp_path) == "41"
    (package / "callee.py").write_text(CALLEE.format(value=42), encoding="utf-8")
    assert asked(tmp_path) == second_answer


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
