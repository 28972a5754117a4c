"""The version of the package, and the version of the code that makes a dataset."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

__version__ = "0.2.0"

COMPONENTS = frozenset({"assess", "capture", "exchange", "fidelity", "reconstruct", "rl", "simulate"})
"""Rooms of the components, which never import each other: import-linter sees to it. `capture` and `exchange` are
planned."""
WAYS_IN = frozenset({"cli", "definitions.py", "defs"})
"""Rooms that nothing else imports: they start components and show results, and cannot change them."""
_DIGITS = 12


@cache
def code_version(component: str) -> str:
    """Return the version of the code that a component's results depend on, such as `0.2.0+3f2a9c1d0b7e`.

    The part behind the plus is the beginning of a SHA-256 over names and contents of the package's files: those of the
    component's room and of all rooms below the components. A change in another component or in a way in (`WAYS_IN`)
    leaves it as it is. A wheel and a checkout of the same sources have the same version (docs/adr/0021). A component is
    named by its folder, such as `reconstruct`; the ingest is `sources`.
    """
    digest = hashlib.sha256()
    for name, content in _source_digests().items():
        room = name.partition("/")[0]
        if room == component or room not in COMPONENTS | WAYS_IN:
            digest.update(f"{name}\0{content}\n".encode())
    return f"{__version__}+{digest.hexdigest()[:_DIGITS]}"


@cache
def _source_digests() -> dict[str, str]:
    """Return the digests of this package, which are read once in a process."""
    return source_digests(Path(__file__).parent)


def source_digests(package: Path) -> dict[str, str]:
    """Return the SHA-256 of each source file below a folder, in hex, by relative path with slashes, sorted.

    Bytecode, compiled loops and hidden files are left out.
    """
    digests = {}
    for folder, folders, files in os.walk(package):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        for path in (Path(folder, name) for name in files if not name.startswith(".")):
            digests[path.relative_to(package).as_posix()] = hashlib.sha256(path.read_bytes()).hexdigest()
    return dict(sorted(digests.items()))
