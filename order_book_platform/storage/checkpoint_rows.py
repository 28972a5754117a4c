"""Rows of arrays that only grow, in a file beside the checkpoints that refer to it: each row is written once.

A file belongs to one writer, who creates it and only appends to it. It is a sequence of frames, each a little-endian
header of three int64 (number of the array, rows, width) and that many int64. A checkpoint records the file's name, how
many of its first bytes belong to the checkpoint, and their SHA-256: bytes appended later, or in part, do not matter.
"""

from __future__ import annotations

import hashlib
import os
import struct
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADER = struct.Struct("<qqq")


@dataclass(frozen=True, slots=True)
class RowExtent:
    """The part of a row file that belongs to a checkpoint; its fields are JSON-ready.

    Attributes:
        file: name of the file.
        bytes: number of bytes, from the beginning of the file.
        sha256: SHA-256 of these bytes, in hexadecimal digits.
        widths: columns of each array, by name, in the order in which frames number the arrays.
    """

    file: str
    bytes: int
    sha256: str
    widths: dict[str, int]


class CheckpointRows:
    """The row file of one writer.

    Args:
        path: file to be created; it must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Held open: a file that somebody has removed is neither created again nor taken for another one of its name.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        weakref.finalize(self, os.close, self._file)
        self._written: dict[str, int] = {}
        self._bytes = 0
        self._digest = hashlib.sha256()

    def append_new(self, arrays: Mapping[str, NDArray[np.int64]]) -> RowExtent:
        """Append the rows that were not there at the last call; they are on the device when this returns.

        Args:
            arrays: int64[n, width] by name. Names and widths are the same at each call, and an array begins with the
                rows that it had at the last call.
        """
        with os.fdopen(self._file, "wb", closefd=False) as file:
            for number, (name, array) in enumerate(arrays.items()):
                new = np.ascontiguousarray(array[self._written.get(name, 0) :], "<i8")
                if len(new):
                    for part in (_HEADER.pack(number, *new.shape), new.reshape(-1).view(np.uint8).data):
                        file.write(part)
                        self._digest.update(part)
                    self._bytes += _HEADER.size + new.nbytes
                self._written[name] = len(array)
            file.flush()
            os.fsync(file.fileno())
        widths = {name: array.shape[1] for name, array in arrays.items()}
        return RowExtent(self._path.name, self._bytes, self._digest.hexdigest(), widths)


def read_rows(folder: Path, extent: RowExtent) -> dict[str, NDArray[np.int64]]:
    """Read the arrays as they were when a checkpoint was saved.

    Args:
        folder: folder of the file.
        extent: the part of the file that belongs to the checkpoint.

    Returns:
        int64[n, width] by name.

    Raises:
        ValueError: the file is shorter than the extent, or its bytes have another checksum.
        OSError: the file cannot be read.
    """
    with (folder / extent.file).open("rb") as file:
        content = memoryview(file.read(extent.bytes))
    if len(content) != extent.bytes or hashlib.sha256(content).hexdigest() != extent.sha256:
        raise ValueError(f"the checksum of its rows in {extent.file} differs")
    frames: list[list[NDArray[np.int64]]] = [
        [np.empty((0, width), np.int64)] for width in extent.widths.values()
    ]
    at = 0
    while at < len(content):
        number, rows, width = _HEADER.unpack_from(content, at)
        at += _HEADER.size
        frames[number].append(np.frombuffer(content, "<i8", rows * width, at).reshape(rows, width))
        at += rows * width * 8
    return {name: np.concatenate(parts) for name, parts in zip(extent.widths, frames, strict=True)}
