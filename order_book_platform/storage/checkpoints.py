"""Checkpoints: arrays and facts from which work goes on, the newest few of them, each whole or not there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from order_book_platform.storage.atomic import sync_path
from order_book_platform.storage.checkpoint_rows import CheckpointRows, RowExtent, read_grown

KEPT = 3
"""So many; one that turns out to be damaged leaves the one before."""
FORMAT = b"obpstat2"
"""What a checkpoint begins with; another format has another number."""
DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_ALIGNMENT = 8
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One of them.

    Attributes:
        facts: JSON-ready.
        arrays: by name.
        grown: by name, int64[n, width]: those to which rows are only added from one checkpoint to the next. Each row is
            written once, so that a checkpoint costs the same however many there are.
    """

    facts: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    grown: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


class Checkpoints:
    """A folder of checkpoints, `checkpoint-00000042.state`; numbers grow.

    Each is `FORMAT`, a SHA-256 of what follows, the length of a header, the header (JSON: facts, and name, dtype and
    shape of each array), and the arrays. Rows of arrays that grow are in a `.rows` file beside them; see `grown_file`.

    Args:
        folder: made with the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged = 0
        """Checkpoints that could not be read."""
        self._grown: CheckpointRows | None = None

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
        names = sorted(path.name for path in self.folder.iterdir())
        number, file = self._begun(1 + max((_number(name) for name in names), default=-1))
        unfinished = Path(file.name)
        path = unfinished.with_suffix(".state")
        with file:
            content = _content(checkpoint, self._grow(checkpoint, path.with_suffix(".rows")))
            digest = hashlib.sha256()
            for part in content:
                digest.update(part)
            file.writelines([FORMAT, digest.digest(), *content])
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        sync_path(self.folder)
        self._drop_old(names, number)

    def _begun(self, number: int) -> tuple[int, BinaryIO]:
        """The file of the next checkpoint, and its number: nobody else has it from here on, however long rows take."""
        while True:
            try:
                return number, (self.folder / f"checkpoint-{number:08}.unfinished").open("xb")
            except FileExistsError:
                number += 1

    def _grow(self, checkpoint: Checkpoint, path: Path) -> RowExtent | None:
        """Rows that are not on the device yet, to the file that this writer alone has made."""
        if not checkpoint.grown:
            return None
        grown = self._grown or CheckpointRows(path)
        # Whoever failed half-way does not go on with that file: what is at its end is not known.
        self._grown = None
        piece = grown.save(checkpoint.grown)
        self._grown = grown
        return piece

    def _drop_old(self, names: list[str], newest: int) -> None:
        """What no kept checkpoint speaks of; `names` were there before the newest."""
        states = [name for name in names if name.endswith(".state")][1 - KEPT :]
        oldest = _number(states[0]) if states else newest
        # A file of rows is begun with a checkpoint of its number, and used until the next one is begun.
        rows = [name for name in names if name.endswith(".rows") and _number(name) <= oldest][:-1]
        # What speaks of rows goes before them.
        needless = [name for name in names if name.endswith(".state") and name not in states] + rows
        for name in needless + [name for name in names if name.endswith(".unfinished")]:
            (self.folder / name).unlink(missing_ok=True)

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


def _number(name: str) -> int:
    digits = name.removeprefix("checkpoint-").partition(".")[0]
    return int(digits) if digits.isdecimal() else -1


def _content(checkpoint: Checkpoint, grown: RowExtent | None) -> list[Any]:
    """Everything but the SHA-256, as buffers; each begins at a multiple of 8."""
    arrays = {name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}
    described = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    header = {"facts": checkpoint.facts, "arrays": described, "grown": grown and grown.as_json()}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    content: list[Any] = [len(text).to_bytes(_LENGTH_BYTES, "little"), text]
    for array in arrays.values():
        if array.nbytes:
            content += [array.reshape(-1).view(np.uint8).data, b"\0" * (-array.nbytes % _ALIGNMENT)]
    return content


def _read(path: Path) -> Checkpoint:
    """Nothing is looked at before all of it has been held against the checksum.

    Raises:
        ValueError: it differs, or the rows that it speaks of do, or it is of another format.
    """
    content = path.read_bytes()
    start = len(FORMAT) + DIGEST_BYTES
    digest, rest = content[len(FORMAT) : start], memoryview(content)[start:]
    if not content.startswith(FORMAT):
        raise ValueError("it does not begin as this version writes it")
    if hashlib.sha256(rest).digest() != digest:
        raise ValueError("its checksum differs")
    at = _LENGTH_BYTES + int.from_bytes(rest[:_LENGTH_BYTES], "little")
    header = json.loads(bytes(rest[_LENGTH_BYTES:at]))
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        array = np.empty(shape, dtype)
        if array.nbytes:
            array.reshape(-1).view(np.uint8)[:] = rest[at : at + array.nbytes]
        arrays[name] = array
        at += array.nbytes + -array.nbytes % _ALIGNMENT
    piece = header["grown"]
    grown = read_grown(path.parent, RowExtent.of_json(piece)) if piece else {}
    return Checkpoint(header["facts"], arrays, grown)
