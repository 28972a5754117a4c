"""`kernel`, the decorator of every compiled loop, and the code cache that keeps its machine code for the next process.

The machine code of each loop is one file, a checksum and what numba pickles of the compiled function, in a folder named
after everything that can change the code. A file is written under another name and renamed. One that is torn or damaged
does not match its checksum and counts as absent. A loop whose file is absent is compiled, by one process at a time
while others wait for it. Where files cannot be written, every process compiles for itself, with a warning.

numba's own cache (caching.py of 0.68) does not suffice. A damaged file, a full disk or the lack of a writable folder is
a traceback at import. A loop counts as unchanged when a function it calls, a constant it imports or NUMBA_BOUNDSCHECK
has changed. Every loop is loaded at import. And its folder is one setting for every package in the process. Reasons and
measurements: docs/adr/0008.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pickle
import re
import shutil
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, update_wrapper
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import config, njit
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

PACKAGE = Path(__file__).parents[1]
ROOMS = ("kernels", "model", "clock.py", "errors.py")
"""Rooms of which a loop can be made: the kernels and all that they may import."""

FOLDERS_KEPT = 8
"""How many folders of code are kept whatever their age: those used last, some 5 MB each."""

MAX_WAIT_S = 120.0
"""How long a process waits in all for others to compile, so that a suspended one does not hold it up for good."""

_POLL_S = 0.02
_DAY_S = 86_400
_DIGEST_BYTES = hashlib.sha256().digest_size
_WITHOUT_EFFECT = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS"}


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function of a module for one signature, or load what an earlier process compiled.

    The loop runs with the GIL released. It is compiled without numba's runtime, which counts references to arrays (two
    atomic operations for each array handed from loop to loop: 1,000 ns a message in a replay instead of 40, see
    docs/adr/0007). Without it a loop cannot allocate memory: an allocation is an error when it is compiled. Signature
    and options are those of `numba.njit`. Under NUMBA_DISABLE_JIT the function is left as it is.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        return function if config.DISABLE_JIT else Kernel(function, signature, options)

    return decorate


class Kernel:
    """A compiled loop. Kept code is loaded when the loop is first called, or compiled into another loop.

    The code of a loop contains that of all loops it calls. Of the thirty in a replay Python calls three, so only these
    three are loaded, which takes 0.03 s instead of 0.2 s. `py_func` is the function as it was written.
    """

    def __init__(self, function: Callable[..., Any], signature: Any, options: dict[str, Any]) -> None:
        if (
            "<locals>" in function.__qualname__
        ):  # two such functions could have one name, and would share a file
            raise TypeError(f"expected a function of a module, found {function.__qualname__}")
        update_wrapper(self, function)
        self.py_func = function
        self._signature = signature
        # Without a signature numba compiles nothing yet; the cache in front of it is set before it is given one.
        self._loop = njit(nogil=True, _nrt=False, **options)(function)
        self._loop._cache = code = CodeCache(function)
        with _COMPILE_LOCK.turn(code.path(signature)) as absent:
            if absent:
                self._compile()

    def __call__(self, *arguments: Any) -> Any:
        """Run the compiled loop, on arguments of its one signature."""
        return self.loop(*arguments)

    @property
    def loop(self) -> Any:
        """The dispatcher of numba, with the one signature compiled or loaded."""
        if not self._loop.overloads:
            self._compile()
        return self._loop

    @property
    def _numba_type_(self) -> Any:
        """The type that numba gives to the name of this loop where it meets it in another loop."""
        return self.loop._numba_type_

    def _compile(self) -> None:
        with global_compiler_lock:  # of two threads that call the loop first, the second finds it compiled
            if not self._loop.overloads:
                self._loop.compile(self._signature)
                self._loop.disable_compile()  # other types are an error and not compiled for


def source_stamp(package: Path = PACKAGE) -> str:
    """Compute the SHA-256 over names and contents of all Python files in ROOMS."""
    digest = hashlib.sha256()
    for room in ROOMS:
        top = package / room
        for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


_SOURCES = source_stamp()  # taken before any loop is imported


def folder_name(sources: str) -> str:
    """Name the folder of code after all that decides it: stamp of sources, versions, processor, numba's settings."""
    settings = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith("NUMBA_") and name not in _WITHOUT_EFFECT
    )
    processor = cpu_target.target_context.codegen().magic_tuple()
    parts = [sources, sys.version, numba.__version__, np.__version__, *processor, *settings]
    return f"compiled-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def folder_path(name: str, chosen: str = "", package: Path = PACKAGE) -> Path:
    """Decide where a folder of code is, or is to be made.

    It is below the value `chosen` of NUMBA_CACHE_DIR, if set; else beside the sources, if it is there already or can be
    made there; else in the user's cache.
    """
    if chosen:
        return Path(chosen) / "order_book_platform" / name
    beside = package / "kernels" / "__pycache__" / name
    parent = beside.parent if beside.parent.is_dir() else package / "kernels"
    if beside.is_dir() or os.access(parent, os.W_OK):
        return beside
    try:
        user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return beside
    return user_cache / "order_book_platform" / name


@cache
def own_folder() -> Path:
    """Give the folder of code that this process uses, and mark it as used now."""
    folder = folder_path(folder_name(_SOURCES), config.CACHE_DIR)
    with suppress(OSError):
        os.utime(folder)
    return folder


def make_folder(folder: Path) -> None:
    """Make a folder of code, and remove the others that were not used for a day, except for the FOLDERS_KEPT latest.

    Removing is safe at any time: a process that still lacks a loop of a removed folder compiles it again.
    """
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    found: list[tuple[float, Path]] = []
    for path in folder.parent.iterdir():
        with suppress(OSError):  # another process may be removing it
            if re.fullmatch("compiled-[0-9a-f]{16}", path.name):
                found.append((path.stat().st_mtime, path))
    for used_at, path in sorted(found, reverse=True)[FOLDERS_KEPT:]:
        if used_at < time.time() - _DAY_S:
            shutil.rmtree(path, ignore_errors=True)


class CodeCache(NullCache):  # type: ignore[misc]
    """The interface by which numba asks for the code of a loop before it compiles it, and hands it over afterwards."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"

    def path(self, signature: Any) -> Path:
        """Give the file of one signature."""
        return own_folder() / f"{self._name}-{hashlib.sha256(str(signature).encode()).hexdigest()[:8]}.code"

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Load the compiled loop; None where its file is absent, unreadable, torn or damaged."""
        context.refresh()
        try:
            content = self.path(signature).read_bytes()
        except OSError:
            return None
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(code).digest() != digest:
            return None
        return CompileResult._rebuild(context, *pickle.loads(code))

    def save_overload(self, signature: Any, result: Any) -> None:
        """Write the file of a compiled loop, whole or not at all; a failure is a warning."""
        if result.library.has_dynamic_globals or result.lifted:
            return  # the code holds addresses of this process
        if source_stamp() != _SOURCES:
            return  # edited since the start: which of both states was compiled is not known
        code = dumps(result._reduce())
        path = self.path(signature)
        # Under a name of its own first, so that no reader meets half a file and no two writers meet.
        unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            make_folder(path.parent)
            unfinished.write_bytes(hashlib.sha256(code).digest() + code)
            unfinished.replace(path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            _warn_once(path.parent, error.strerror)


@cache
def _warn_once(folder: Path, reason: str) -> None:
    warnings.warn(
        f"Compiled loops cannot be kept in {folder} ({reason}): every process compiles them again. "
        "Make room there, or set NUMBA_CACHE_DIR to a folder that can be written to.",
        RuntimeWarning,
        stacklevel=3,
    )


class CompileLock:
    """Lets one process compile a loop while the others that lack it wait for its file.

    The lock is the operating system's and goes with its process, however that ends. It only saves work: without it each
    process compiles for itself, with the same result. `remaining_s` is how much longer this process may wait in all.
    """

    def __init__(self) -> None:
        self.remaining_s = MAX_WAIT_S

    @contextmanager
    def turn(self, path: Path) -> Iterator[bool]:
        """Go on once a file is there, or it is this process's turn to make it, or the time to wait is used up.

        It yields whether the file is still absent.
        """
        descriptor = None
        if not _is_file(path):
            with suppress(OSError):  # where nothing can be written, there is nothing to wait for
                make_folder(path.parent)
                descriptor = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT, 0o644)
        if descriptor is None:
            yield not _is_file(path)
            return
        try:
            while not (_try_lock(descriptor) or _is_file(path) or self.remaining_s <= 0):
                time.sleep(_POLL_S)
                self.remaining_s -= _POLL_S
            yield not _is_file(path)
        finally:
            os.close(descriptor)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that cannot be looked into
        return False


def _try_lock(descriptor: int) -> bool:
    """Take the lock without waiting; True where it is taken, or where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


_COMPILE_LOCK = CompileLock()
