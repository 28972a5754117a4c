"""Where compiled loops are kept: one folder for each state of all source files here.

numba's own index notices a change of the file that a function stands in, but not of the files whose functions it calls
(its documentation says so): a corrected ladder would leave the old one inside the compiled replay. A folder named
after the content of all kernels cannot be stale, and a new version never meets the code of an old one.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from numba import config

HERE = Path(__file__).parent


def source_stamp(folder: Path = HERE) -> str:
    """Name of the state of all Python files in a folder: 16 hex digits over their names and contents."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def cache_folder(chosen: str = "", here: Path = HERE) -> Path:
    """The folder for this state of the sources.

    Args:
        chosen: what NUMBA_CACHE_DIR says, if anything.
        here: the folder of the kernels.

    Returns:
        A folder below the chosen one, else beside the sources, else (where those cannot be written) the user's cache.
    """
    if chosen:
        base = Path(chosen)
    elif os.access(here, os.W_OK):
        base = here / "__pycache__"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "order_book_platform"
    return base / f"compiled-{source_stamp(here)}"


def keep_apart() -> None:
    """Point numba's cache to this state's folder; to be called before any kernel is imported."""
    config.CACHE_DIR = str(cache_folder(config.CACHE_DIR))
