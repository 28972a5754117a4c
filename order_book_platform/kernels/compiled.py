"""`kernel`, the decorator of every compiled loop, and where the machine code is kept for the next process.

Each loop is a file of its own, a checksum and what numba pickles of it, in a folder named after everything that can
change the code. It is written aside and renamed. A file that is torn or damaged does not match its checksum and counts
as absent; what is absent is compiled, by one process at a time while others wait for it; what cannot be written is
compiled in every process, with a warning.

numba's own cache (caching.py of 0.68) is not enough. A damaged file, a full disk or no writable folder is a traceback
at import. It takes a loop for unchanged when a function it calls, a constant it imports or NUMBA_BOUNDSCHECK has
changed. It loads every loop at import. And its folder is one setting for every package in the process.
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
"""What a loop can be made of: the kernels and all that they may import."""

STATES_KEPT = 8
"""So many folders stay beside each other, the most recently used ones; some 5 MB each."""

PATIENCE_S = 120.0
"""How long in all a process waits for others to compile, lest a suspended one should hold it up for good."""

_POLL_S = 0.02
_DAY_S = 86_400
_DIGEST_BYTES = hashlib.sha256().digest_size
_WITHOUT_EFFECT = {"NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS"}


def kernel(signature: Any, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function for one signature, or use what an earlier process compiled.

    It runs with the GIL released and cannot allocate: without numba's runtime, which counts references, that is an
    error when it is compiled.

    Args:
        signature: as for `numba.njit`.
        options: more of its options.

    Returns:
        The decorator of a function of a module; under NUMBA_DISABLE_JIT it leaves the function as it is.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        return function if config.DISABLE_JIT else Kernel(function, signature, options)

    return decorate


class Kernel:
    """A compiled loop. What is kept is loaded when it is first called, or compiled into another loop.

    A loop's code has that of all it calls in it: of the thirty in a replay Python calls three, and only these are
    loaded (0.03 s instead of 0.2 s).
    """

    def __init__(self, function: Callable[..., Any], signature: Any, options: dict[str, Any]) -> None:
        if "<locals>" in function.__qualname__:
            raise TypeError(f"expected a function of a module, found {function.__qualname__}")
        update_wrapper(self, function)
        self.py_func = function
        self._signature = signature
        self._loop = njit(nogil=True, _nrt=False, **options)(function)
        self._loop._cache = kept = KeptCode(function)
        with _TURNS.turn(kept.path(signature)) as absent:
            if absent:
                self._compile()

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        return self.loop(*arguments)

    @property
    def loop(self) -> Any:
        """The dispatcher of numba, with the one signature compiled."""
        if not self._loop.overloads:
            self._compile()
        return self._loop

    @property
    def _numba_type_(self) -> Any:
        """What numba asks of a name that it meets in another loop."""
        return self.loop._numba_type_

    def _compile(self) -> None:
        with global_compiler_lock:  # of two threads that call it first, the second finds it done
            if not self._loop.overloads:
                self._loop.compile(self._signature)
                self._loop.disable_compile()


def source_stamp(package: Path = PACKAGE) -> str:
    """SHA-256 over names and contents of all Python files in ROOMS."""
    digest = hashlib.sha256()
    for room in ROOMS:
        top = package / room
        for path in sorted(top.rglob("*.py")) if top.is_dir() else [top]:
            content = path.read_bytes()
            digest.update(f"{path.relative_to(package)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


_SOURCES = source_stamp()  # before any loop is imported


def state(sources: str) -> str:
    """Name of all that decides the machine code: sources, versions, processor, numba's settings in the environment."""
    settings = sorted(
        f"{name}={value}"
        for name, value in os.environ.items()
        if name.startswith("NUMBA_") and name not in _WITHOUT_EFFECT
    )
    processor = cpu_target.target_context.codegen().magic_tuple()
    parts = [sources, sys.version, numba.__version__, np.__version__, *processor, *settings]
    return f"compiled-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"


def place(name: str, chosen: str = "", package: Path = PACKAGE) -> Path:
    """Where the folder of a state is, or shall be made.

    Args:
        name: of the state.
        chosen: what NUMBA_CACHE_DIR says, if anything.
        package: the folder of the package.

    Returns:
        A folder below the chosen one, else beside the sources, else (where those cannot be written and do not have it
        already) in the user's cache.
    """
    if chosen:
        return Path(chosen) / "order_book_platform" / name
    beside = package / "kernels" / "__pycache__" / name
    writable = beside.parent if beside.parent.is_dir() else package / "kernels"
    if beside.is_dir() or os.access(writable, os.W_OK):
        return beside
    try:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        return beside
    return home / "order_book_platform" / name


@cache
def own_folder() -> Path:
    """The folder of this process's state, marked as used now."""
    folder = place(state(_SOURCES), config.CACHE_DIR)
    with suppress(OSError):
        os.utime(folder)
    return folder


def make(folder: Path) -> None:
    """Make the folder of a state, and remove those beyond STATES_KEPT that were not used for a day.

    A process that still lacks a loop of a removed state compiles it again.
    """
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    used: list[tuple[float, Path]] = []
    for path in folder.parent.iterdir():
        with suppress(OSError):  # another process may be removing it
            if re.fullmatch("compiled-[0-9a-f]{16}", path.name):
                used.append((path.stat().st_mtime, path))
    for when, path in sorted(used, reverse=True)[STATES_KEPT:]:
        if when < time.time() - _DAY_S:
            shutil.rmtree(path, ignore_errors=True)


class KeptCode(NullCache):  # type: ignore[misc]
    """What numba asks for the machine code of a loop before it compiles it, and tells it afterwards."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name = f"{function.__module__}.{function.__qualname__}"

    def path(self, signature: Any) -> Path:
        """The file of one signature."""
        return own_folder() / f"{self._name}-{hashlib.sha256(str(signature).encode()).hexdigest()[:8]}.code"

    def load_overload(self, signature: Any, context: Any) -> Any:
        """The compiled loop, or None where its file is absent, unreadable, torn or damaged."""
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
        """Write the file, whole or not at all."""
        if result.library.has_dynamic_globals or result.lifted:
            return  # it holds addresses of this process
        if source_stamp() != _SOURCES:
            return  # edited since the start: nobody knows which of both was compiled
        code = dumps(result._reduce())
        path = self.path(signature)
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            make(path.parent)
            aside.write_bytes(hashlib.sha256(code).digest() + code)
            aside.replace(path)
        except OSError as error:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            _warn_once(path.parent, error.strerror)


@cache
def _warn_once(folder: Path, reason: str) -> None:
    warnings.warn(
        f"Compiled loops cannot be kept in {folder} ({reason}): every process compiles them again. "
        "Make room there, or set NUMBA_CACHE_DIR to a folder that can be written to.",
        RuntimeWarning,
        stacklevel=3,
    )


class Turns:
    """Processes that lack the same loops: one compiles, the others wait for its files.

    The lock is the operating system's and goes when its process dies, however it dies. It only saves work: without
    it each process compiles for itself, with the same result.
    """

    def __init__(self) -> None:
        self.patience_s = PATIENCE_S

    @contextmanager
    def turn(self, path: Path) -> Iterator[bool]:
        """Go on once a file is there, or it is this process's turn to make it, or patience has run out.

        Yields:
            Whether the file is still absent.
        """
        descriptor = None
        if not _is_there(path):
            with suppress(OSError):  # where nothing can be kept, there is nothing to wait for
                make(path.parent)
                descriptor = os.open(path.with_name("lock"), os.O_RDWR | os.O_CREAT, 0o644)
        if descriptor is None:
            yield not _is_there(path)
            return
        try:
            while not (_locked(descriptor) or _is_there(path) or self.patience_s <= 0):
                time.sleep(_POLL_S)
                self.patience_s -= _POLL_S
            yield not _is_there(path)
        finally:
            os.close(descriptor)


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a folder that cannot be looked into
        return False


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


_TURNS = Turns()
