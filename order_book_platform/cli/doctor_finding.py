"""One finding of `obp doctor`, and what several of its checks look at."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from order_book_platform.clock import NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check; `warn` is usable, but somebody should look."""

    check: str
    status: Literal["ok", "warn", "fail"]
    found: str
    remedy: str = ""


def check_writable(name: str, folder: Path) -> Finding:
    """Check that files can be made in a folder, which may still have to be created."""
    if is_writable(folder):
        return Finding(name, "ok", str(folder) if folder.is_dir() else f"{folder} (will be created)")
    return Finding(name, "fail", f"cannot write to {folder}", "Set it to a folder that can be written to.")


def age_text(age_ns: int) -> str:
    """Format an age in the largest unit that gives at least 2, such as `3 days`."""
    seconds = age_ns // NS_PER_SECOND
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def is_writable(folder: Path) -> bool:
    """Try whether a file can be made in the folder, or the folder be made; leaves nothing behind."""
    try:
        with tempfile.NamedTemporaryFile(dir=existing(folder), prefix=".obp-doctor-"):
            return True
    except OSError:
        return False
