"""Rows of arrays that only grow, beside the checkpoints that speak of them: each row is written once.

A file belongs to one writer, who begins it and only adds to it. It is a sequence of frames, each a little-endian head
of three int64 (which array, rows, width) and that many int64. A checkpoint names the file, how many bytes of it are its
own, and their SHA-256: what was added later, or half added, does not matter to it.
"""

from __future__ import annotations

import hashlib
import os
import struct
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<qqq")


@dataclass(frozen=True, slots=True)
class RowExtent:
    """What a checkpoint says of the file.

    Attributes:
        file: its name.
        bytes: from its beginning.
        sha256: of these bytes.
        widths: columns of each array, by name, in the order in which frames number them.
    """

    file: str
    bytes: int
    sha256: str
    widths: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    @classmethod
    def of_json(cls, known: Mapping[str, Any]) -> Self:
        """Inverse of `as_json`."""
        return cls(**known)


class CheckpointRows:
    """The file of one writer.

    Args:
        path: there must be no such file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Held open, so that a file that somebody has removed is not begun anew, or taken for another of its name.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        weakref.finalize(self, os.close, self._file)
        self._written: dict[str, int] = {}
        self._bytes = 0
        self._digest = hashlib.sha256()

    def save(self, arrays: Mapping[str, NDArray[np.int64]]) -> RowExtent:
        """Add the rows that were not there the last time; on the device when this returns.

        Args:
            arrays: int64[n, width], always of the same names and widths; the first rows as the last time.
        """
        with os.fdopen(self._file, "wb", closefd=False) as file:
            for number, (name, array) in enumerate(arrays.items()):
                more = np.ascontiguousarray(array[self._written.get(name, 0) :], "<i8")
                if len(more):
                    for part in (_HEAD.pack(number, *more.shape), more.reshape(-1).view(np.uint8).data):
                        file.write(part)
                        self._digest.update(part)
                    self._bytes += _HEAD.size + more.nbytes
                self._written[name] = len(array)
            file.flush()
            os.fsync(file.fileno())
        widths = {name: array.shape[1] for name, array in arrays.items()}
        return RowExtent(self._path.name, self._bytes, self._digest.hexdigest(), widths)


def read_grown(folder: Path, piece: RowExtent) -> dict[str, NDArray[np.int64]]:
    """The arrays as they were when a checkpoint was saved.

    Args:
        folder: has the file.
        piece: what the checkpoint says.

    Raises:
        ValueError: the file is shorter, or its bytes are others.
        OSError: there is none.
    """
    with (folder / piece.file).open("rb") as file:
        content = memoryview(file.read(piece.bytes))
    if len(content) != piece.bytes or hashlib.sha256(content).hexdigest() != piece.sha256:
        raise ValueError(f"the checksum of its rows in {piece.file} differs")
    frames: list[list[NDArray[np.int64]]] = [
        [np.empty((0, width), np.int64)] for width in piece.widths.values()
    ]
    at = 0
    while at < len(content):
        number, rows, width = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        frames[number].append(np.frombuffer(content, "<i8", rows * width, at).reshape(rows, width))
        at += rows * width * 8
    return {name: np.concatenate(kept) for name, kept in zip(piece.widths, frames, strict=True)}
