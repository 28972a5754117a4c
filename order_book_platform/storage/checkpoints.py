"""Checkpoints: arrays and facts from which work goes on, the newest few of them, each whole or not there."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from order_book_platform.storage.atomic import sync_path

KEPT = 3
"""So many; one that turns out to be damaged leaves the one before."""
DIGEST_BYTES = 32
_FACTS = "facts"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One of them.

    Attributes:
        facts: JSON-ready.
        arrays: by name.
    """

    facts: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]


class Checkpoints:
    """A folder of checkpoints, `checkpoint-00000042.state`; numbers grow.

    Each is the SHA-256 of what follows, and numpy's npz of the arrays, with the facts as JSON bytes in one more.

    Args:
        folder: made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged = 0
        """Checkpoints that could not be read."""

    def exist(self) -> bool:
        """Whether there is any, damaged or not."""
        return bool(self._paths())

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep one more, and drop the oldest beyond `KEPT`; on the device when this returns.

        Somebody else who was given up may wake up and save, too. So nobody writes to a file that was there before,
        and none is taken for granted.
        """
        if not self.folder.is_dir():
            self.folder.mkdir(exist_ok=True)
            sync_path(self.folder.parent)
        paths, begun = self._paths(), sorted(self.folder.glob("checkpoint-*.unfinished"))
        number = 1 + max((int(path.stem.removeprefix("checkpoint-")) for path in paths + begun), default=-1)
        # Names of arrays are kept apart from ours, and from the arguments of `savez`, by a dot.
        members: dict[str, Any] = {f".{name}": array for name, array in checkpoint.arrays.items()}
        members[_FACTS] = np.frombuffer(json.dumps(checkpoint.facts).encode(), np.uint8)
        path = self.folder / f"checkpoint-{number:08}.state"
        content = io.BytesIO()
        np.savez(content, **members)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
        sync_path(unfinished)
        unfinished.rename(path)
        sync_path(self.folder)
        for old in paths[: 1 - KEPT] + begun:
            old.unlink(missing_ok=True)

    def newest_first(self) -> Iterator[Checkpoint]:
        """Those that can be read; of others the log says why not."""
        for path in reversed(self._paths()):
            try:
                yield _read(path)
            except (OSError, ValueError) as error:
                self.damaged += 1
                _LOG.warning("checkpoint %s cannot be read (%s): the one before it is taken", path, error)

    def clear(self) -> None:
        """Remove all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.state"))


def _read(path: Path) -> Checkpoint:
    """Nothing is looked at before all of it has been held against the checksum.

    Raises:
        ValueError: it differs.
    """
    content = path.read_bytes()
    digest, rest = content[:DIGEST_BYTES], memoryview(content)[DIGEST_BYTES:]
    if hashlib.sha256(rest).digest() != digest:
        raise ValueError("its checksum differs")
    with np.load(io.BytesIO(rest), allow_pickle=False) as file:
        arrays = {name.removeprefix("."): file[name] for name in file.files if name != _FACTS}
        facts: dict[str, Any] = json.loads(file[_FACTS].tobytes())
    return Checkpoint(facts, arrays)
