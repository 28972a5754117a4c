"""Compiled loops are kept whole, never older than what they were made from, and shared by processes that start at once.

Each question is asked of a process of its own, about a package in miniature: one loop that calls another one, which
takes a constant of the model. Where it says `numba`, numba's own cache is asked the same, to show what it is not up to.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

import numpy as np
import pytest
from numba import config

from order_book_platform import kernels
from order_book_platform.kernels import compiled
from order_book_platform.kernels.compiled import (
    CompileLock,
    folder_name,
    folder_path,
    make_folder,
    source_stamp,
)

CALLER = """
from order_book_platform.kernels.callee import answer
from order_book_platform.kernels.compiled import kernel

@kernel("int64(int64[::1], int64)")
def asked(values, at):
    return answer(values, at)
"""
CALLEE = """
from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.constants import ADDED

@kernel("int64(int64[::1], int64)")
def answer(values, at):
    if at < values.shape[0]:
        return values[at] + ADDED
    return 0
"""
ASK = """
import numpy as np
from order_book_platform.kernels.caller import answer, asked
values = np.full(4, 40)
print(asked(values, 1), answer(values, 1), sum(sum(each.loop.stats.cache_misses.values()) for each in (asked, answer)))
"""
"""What both loops say, and how many of them had to be compiled."""
NUMBA = """
from numba import njit

def kernel(signature):
    def decorate(function):
        loop = njit(signature, cache=True, nogil=True)(function)
        loop.__dict__["loop"] = loop
        return loop
    return decorate
"""

HANGS_AFTER_S = 500
"""Far beyond what anything here takes, also where eight processes that compile share a busy core."""

pytestmark = pytest.mark.skipif(
    bool(config.DISABLE_JIT or config.BOUNDSCHECK),
    reason="the processes asked have numba's settings as they come; `make test` asks them",
)


class Miniature:
    """A package in miniature, and the processes that use it."""

    def __init__(self, folder: Path) -> None:
        self.writings = 0
        self.root = folder / "sources"
        self.kept = folder / "kept"
        self.package = self.root / "order_book_platform"
        for room in ("kernels", "model"):
            (self.package / room).mkdir(parents=True)
            (self.package / room / "__init__.py").touch()
        for name in ("__init__.py", "clock.py", "errors.py"):
            (self.package / name).touch()
        shutil.copy(compiled.__file__, self.package / "kernels")
        self.write("kernels/caller.py", CALLER)
        self.write("kernels/callee.py", CALLEE)
        self.write("model/constants.py", "ADDED = 2\n")

    def write(self, name: str, text: str) -> None:
        """Write a file of the package; never at the time of another writing, or Python would take its bytecode."""
        path = self.package / name
        path.write_text(text, encoding="utf-8")
        self.writings += 1
        os.utime(path, (1_000_000_000 + self.writings,) * 2)

    def start(
        self, before: str = "", *, ask: str = ASK, root: Path | None = None, **settings: str
    ) -> subprocess.Popen[str]:
        """Start a process that asks; `before` is what it does first."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
        return subprocess.Popen(
            [sys.executable, "-c", before + ask],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=root or self.root,
            env=others | {"NUMBA_CACHE_DIR": str(self.kept)} | settings,
            preexec_fn=obey_permissions,  # noqa: PLW1509 - one call, which takes no lock
        )

    def ask(self, before: str = "", **settings: str) -> str:
        """What a process says."""
        return answer_of(self.start(before, **settings))

    def files(self) -> list[Path]:
        """The files of the loops, and others like them."""
        return sorted(path for path in self.kept.rglob("*.code*") if path.is_file())


def obey_permissions() -> None:
    """Take away from root what lets it write where nobody may (PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def answer_of(process: subprocess.Popen[str]) -> str:
    """What a process prints, errors and warnings included."""
    try:
        said, complained = process.communicate(timeout=HANGS_AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return said.strip() + complained


@pytest.fixture
def miniature(tmp_path: Path) -> Miniature:
    """A package that nothing was compiled of yet."""
    return Miniature(tmp_path)


def test_the_next_process_compiles_nothing(miniature: Miniature) -> None:
    """Both loops are compiled once; a caller holds its callee's code, which is loaded only when called itself."""
    assert miniature.ask() == "42 42 2"
    assert len(miniature.files()) == 2
    assert miniature.ask() == "42 42 0"
    only_the_caller = ASK.replace("answer(values, 1)", "len(answer._loop.overloads)")
    assert answer_of(miniature.start(ask=only_the_caller)) == "42 0 0"


@pytest.mark.parametrize(
    ("cache", "said"),
    [("ours", ["43 43 2", "53 53 2", "53 53 2"]), ("numba", ["42 42 0", "42 53 1", "42 53 0"])],
    ids=["ours", "numba"],
)
def test_a_change_is_noticed(miniature: Miniature, cache: str, said: list[str]) -> None:
    """All is compiled anew after a change of a constant, of a callee or of a setting; numba goes on with the old."""
    if cache == "numba":
        miniature.write("kernels/compiled.py", NUMBA)
    assert miniature.ask() == "42 42 2"
    miniature.write("model/constants.py", "ADDED = 3\n")
    assert miniature.ask() == said[0]
    miniature.write("kernels/callee.py", CALLEE.replace("+ ADDED", "+ ADDED + 10"))
    assert miniature.ask() == said[1]
    assert miniature.ask(NUMBA_BOUNDSCHECK="1") == said[2]


def test_an_edit_during_the_start_is_not_kept(miniature: Miniature) -> None:
    """Code of sources that came after the stamp was taken would be found again once they are back."""
    edit = f"""
import order_book_platform.kernels.compiled
from pathlib import Path
Path({str(miniature.package / "model/constants.py")!r}).write_text("ADDED = 3\\n")
"""
    assert miniature.ask(edit) == "43 43 2"
    miniature.write("model/constants.py", "ADDED = 2\n")
    assert miniature.ask() == "42 42 2"


def test_damaged_files_are_made_again(miniature: Miniature) -> None:
    """Torn anywhere or changed in a single bit, a file counts as absent, and a whole one takes its place."""
    assert miniature.ask() == "42 42 2"
    for damage in (
        lambda content: b"",
        lambda content: content[:20],
        lambda content: content[: len(content) // 2],
        lambda content: content[:9999] + bytes([content[9999] ^ 1]) + content[10000:],
    ):
        for path in miniature.files():
            path.write_bytes(damage(path.read_bytes()))
        assert miniature.ask() == "42 42 2"
    assert miniature.ask() == "42 42 0"


def test_eight_processes_at_once_on_damaged_files(miniature: Miniature) -> None:
    """Each gives the right answer, and whole files are left behind."""
    assert miniature.ask() == "42 42 2"
    for path in miniature.files():
        path.write_bytes(path.read_bytes()[:1000])
    several = [miniature.start() for _ in range(8)]
    assert {answer_of(each)[:5] for each in several} == {"42 42"}
    assert miniature.ask() == "42 42 0"


def test_numba_stumbles_over_damaged_files(miniature: Miniature) -> None:
    """Which is what the checksum is for."""
    miniature.write("kernels/compiled.py", NUMBA)
    assert miniature.ask() == "42 42 2"
    for path in miniature.kept.rglob("*.nbc"):
        path.write_bytes(path.read_bytes()[:1000])
    assert "UnpicklingError" in miniature.ask()


@pytest.mark.parametrize("step", ["dumps", "Path.replace"])
def test_killed_while_compiling(miniature: Miniature, step: str) -> None:
    """Killed before or after writing a file aside, with the lock held: the next one goes on at once, and is right."""
    stop = f"""
import order_book_platform.kernels.compiled as compiled
def stop(*arguments):
    print("here", flush=True)
    input()
compiled.{step} = stop
"""
    victim = miniature.start(stop)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "here\n"
    victim.kill()
    victim.communicate()
    assert [path.suffix == ".code" for path in miniature.files()] == ([] if step == "dumps" else [False])
    assert miniature.ask() == "42 42 2"


@pytest.mark.parametrize("cache", ["ours", "numba"])
def test_a_full_disk(miniature: Miniature, cache: str) -> None:
    """Loops are compiled, with one warning, and nothing half-written stays; numba gives up."""
    full = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    if cache == "numba":
        miniature.write("kernels/compiled.py", NUMBA)
        assert "OSError: [Errno 27] File too large" in miniature.ask(full)
        return
    said = miniature.ask(full)
    assert said.startswith("42 42 2")
    assert said.count("RuntimeWarning: Compiled loops cannot be kept in ") == 1
    assert (
        "(File too large): every process compiles them again. Make room there, or set NUMBA_CACHE_DIR" in said
    )
    assert miniature.files() == []


def test_a_folder_that_cannot_be_written(miniature: Miniature) -> None:
    """What is in it is used; what is not is compiled, with a warning."""
    assert miniature.ask() == "42 42 2"
    state_folder = miniature.files()[0].parent
    state_folder.chmod(0o555)
    assert miniature.ask() == "42 42 0"
    state_folder.chmod(0o755)
    shutil.rmtree(state_folder)
    state_folder.parent.chmod(0o555)
    said = miniature.ask()
    assert said.startswith("42 42 2")
    assert "RuntimeWarning: Compiled loops cannot be kept" in said
    assert "(Permission denied)" in said
    state_folder.parent.chmod(0o000)
    assert miniature.ask().startswith("42 42 2")
    state_folder.parent.chmod(0o755)


def test_a_file_where_the_folder_should_be(miniature: Miniature) -> None:
    """That is as bad as a folder that cannot be written."""
    miniature.kept.touch()
    said = miniature.ask()
    assert said.startswith("42 42 2")
    assert "(Not a directory)" in said


def test_a_suspended_process_does_not_hold_up_others(miniature: Miniature) -> None:
    """Whoever has waited long enough for the lock compiles without it."""
    assert miniature.ask() == "42 42 2"
    for path in miniature.files():
        path.unlink()
    (lock,) = miniature.kept.rglob("lock")
    with lock.open() as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        impatient = "import order_book_platform.kernels.compiled as c\nc._COMPILE_LOCK.remaining_s = 0.1\n"
        assert miniature.ask(impatient) == "42 42 2"
    assert miniature.ask() == "42 42 0"


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process then compiles for itself."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with CompileLock().turn(tmp_path / "state" / "file") as absent:
        assert absent


def test_two_threads_that_call_it_first(miniature: Miniature) -> None:
    """Both find it not loaded; one loads it, and the other takes what it finds then."""
    assert miniature.ask() == "42 42 2"
    together = """
import threading
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from order_book_platform.kernels.compiled import Kernel
both, once = threading.Barrier(2), Kernel._compile
def compile_together(self):
    both.wait()
    once(self)
Kernel._compile = compile_together
from order_book_platform.kernels.caller import asked
with ThreadPoolExecutor(2) as pool:
    print(*pool.map(asked, [np.full(4, 40)] * 2, [1, 2]))
"""
    assert answer_of(miniature.start(ask=together)) == "42 42"


BOOK = """
import hashlib, sys
import numba
import numpy as np
from order_book_platform.kernels.compiled import _COMPILE_LOCK, Kernel
_COMPILE_LOCK.remaining_s = 1e9  # who comes first and who waits is asked here, not for how long
from order_book_platform.replay.book import Book
from order_book_platform.datasets.raw_deltas import DeltaBatch

rng = np.random.default_rng(8)
n = 4000
sequence = np.sort(rng.integers(1, 1000, n))
is_bid = rng.random(n) < 0.5
price = np.where(is_bid, 100_000 - rng.integers(0, 300, n), 100_001 + rng.integers(0, 300, n))
columns = {name: sequence for name in DeltaBatch.__slots__}
columns |= {"is_bid": is_bid, "encoded_price": price, "encoded_size": rng.integers(0, 9, n)}
digest = hashlib.sha256()
for rows in Book(1, depth=5).feed(DeltaBatch(**columns)):
    digest.update(rows.tobytes())
loops = {id(each): each for name, module in list(sys.modules.items()) if name.startswith("order_book_platform.kernels.")
         for each in vars(module).values() if isinstance(each, Kernel)}
compiled = sum(sum(each._loop.stats.cache_misses.values()) for each in loops.values())
print(digest.hexdigest(), compiled, len(loops))
"""


def test_eight_processes_at_once_from_nothing(miniature: Miniature) -> None:
    """All replay the same book as plain Python does; each loop is compiled by exactly one of them, and all are kept."""
    root = compiled.PACKAGE.parent
    several = [miniature.start(ask=BOOK, root=root) for _ in range(8)]
    plain = answer_of(miniature.start(ask=BOOK, root=root, NUMBA_DISABLE_JIT="1")).split()[0]
    said = [answer_of(each).split() for each in several]
    assert {words[0] for words in said} == {plain}
    (loops,) = {int(words[2]) for words in said}
    assert loops > 10
    assert sum(int(words[1]) for words in said) == loops
    assert len(miniature.files()) == loops
    assert answer_of(miniature.start(ask=BOOK, root=root)).split() == [plain, "0", str(loops)]


def test_every_loop_of_the_package_is_kept() -> None:
    """No module goes past the decorator to numba's own cache."""
    for module in walk_packages(kernels.__path__, f"{kernels.__name__}."):
        for each in vars(import_module(module.name)).values():
            assert type(getattr(each, "_cache", None)).__name__ != "FunctionCache", each


def test_only_functions_of_modules() -> None:
    """Two functions made in one place have one name, and would share a file."""
    with pytest.raises(TypeError, match="expected a function of a module, found"):
        compiled.kernel("int64(int64)")(lambda x: x)


def test_wrong_types_are_refused() -> None:
    """The one signature is all there is: nothing is compiled for other types."""
    columns = import_module("order_book_platform.kernels.book.visible_rows")
    with pytest.raises(TypeError, match="No matching definition"):
        columns.rows_to_columns(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int64), 1)


def test_the_stamp_follows_every_file(tmp_path: Path) -> None:
    """Another content, name or number of files is another state; other kinds of files and other rooms are not."""
    for room in ("kernels", "model", "settings"):
        (tmp_path / room).mkdir()
    for name in ("clock.py", "errors.py", "kernels/a.py"):
        (tmp_path / name).write_text("x = 1\n", encoding="utf-8")
    first = source_stamp(tmp_path)
    (tmp_path / "kernels" / "notes.txt").touch()
    (tmp_path / "settings" / "a.py").touch()
    assert source_stamp(tmp_path) == first
    (tmp_path / "kernels" / "a.py").write_text("x = 2\n", encoding="utf-8")
    second = source_stamp(tmp_path)
    (tmp_path / "model" / "b.py").touch()
    third = source_stamp(tmp_path)
    (tmp_path / "model" / "b.py").rename(tmp_path / "model" / "c.py")
    assert len({first, second, third, source_stamp(tmp_path)}) == 4


def test_the_state_follows_all_that_decides_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources, versions and settings; not where it is kept, nor how many threads there are."""
    states = [folder_name("a"), folder_name("b")]
    monkeypatch.setattr(compiled.numba, "__version__", "0.0")
    states.append(folder_name("a"))
    monkeypatch.setenv("NUMBA_OPT", "1")
    states.append(folder_name("a"))
    assert len(set(states)) == 4
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert folder_name("a") == states[-1]


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the sources if it is there or can be made there, else with the user; or where NUMBA_CACHE_DIR says."""
    beside = tmp_path / "kernels" / "__pycache__" / "compiled-x"
    assert folder_path("compiled-x", "/var/cache", tmp_path) == Path(
        "/var/cache/order_book_platform/compiled-x"
    )
    beside.parent.mkdir(parents=True)
    assert folder_path("compiled-x", package=tmp_path) == beside
    monkeypatch.setattr(compiled.os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/home/somebody/cache")
    assert folder_path("compiled-x", package=tmp_path) == Path(
        "/home/somebody/cache/order_book_platform/compiled-x"
    )
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert folder_path("compiled-x", package=tmp_path) == Path(
        "/home/somebody/.cache/order_book_platform/compiled-x"
    )
    beside.mkdir()
    assert folder_path("compiled-x", package=tmp_path) == beside


def test_a_user_without_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is as one who cannot write: nothing is kept."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(compiled.os, "access", lambda path, mode: False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert folder_path("compiled-x", package=tmp_path) == tmp_path / "kernels" / "__pycache__" / "compiled-x"


def test_old_states_are_removed(tmp_path: Path) -> None:
    """Of those not used for a day only the latest stay; what others keep there is left alone."""
    for age in range(12):
        folder = tmp_path / f"compiled-{age:016x}"
        folder.mkdir()
        (folder / "loop.code").touch()
        when = time.time() - (age if age < 10 else age * 86_400)
        os.utime(folder, (when, when))
    (tmp_path / "compiled-by-hand").mkdir()
    os.utime(tmp_path / "compiled-by-hand", (0, 0))
    make_folder(tmp_path / f"compiled-{0:016x}")
    assert len(list(tmp_path.iterdir())) == 13
    make_folder(tmp_path / "compiled-ffffffffffffffff")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"compiled-by-hand", "compiled-ffffffffffffffff"} | {
        f"compiled-{age:016x}" for age in range(10)
    }
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    make_folder(tmp_path / "compiled-fffffffffffffffe")
    assert len(list(tmp_path.iterdir())) == compiled.FOLDERS_KEPT + 1
