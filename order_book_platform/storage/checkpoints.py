"""Checkpoints: arrays and facts from which a run goes on; the newest few are kept, each complete or absent.

Rows of arrays that only grow are in a file beside the checkpoints that refer to it, and each row is written once. The
file belongs to one writer, who creates it and only appends to it. It is a sequence of frames, each a little-endian
header of three int64 (number of the array, rows, width) and that many int64. A checkpoint records the file's name, how
many of its first bytes belong to the checkpoint, and their SHA-256: bytes appended later, or in part, do not matter.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import struct
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from order_book_platform.storage.disk import sync_path

KEPT = 3
"""Number of checkpoints that are kept: if the newest turns out to be damaged, there is one before it."""
FORMAT = b"obpstat2"
"""First bytes of a checkpoint file; another layout gets another number."""
DIGEST_BYTES = 32
_LENGTH_BYTES = 8
_ALIGNMENT = 8
_HEADER = struct.Struct("<qqq")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RowExtent:
    """The first bytes of a row file, and the width of each array by name, in the order in which frames number them."""

    file: str
    bytes: int
    sha256: str
    widths: dict[str, int]


class CheckpointRows:
    """The row file of one writer, created at a path where there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Held open: a file that somebody has removed is neither created again nor taken for another one of its name.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        weakref.finalize(self, os.close, self._file)
        self._written: dict[str, int] = {}
        self._bytes = 0
        self._digest = hashlib.sha256()

    def append_new(self, arrays: Mapping[str, NDArray[np.int64]]) -> RowExtent:
        """Append the rows, int64[n, width] by name, that were not there at the last call; they are on the device then.

        Names and widths are the same at each call, and an array begins with the rows that it had at the last call.
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
    """Read the arrays, int64[n, width] by name, as they were; ValueError if the checksum of the extent differs."""
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


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The state of a run at one moment: JSON-ready facts, and arrays of any dtype and shape, by name.

    Attributes:
        growing: int64[n, width] by name: arrays that only get more rows from one checkpoint to the next. Each row is
            written once, so that the cost of a checkpoint does not depend on their length.
    """

    facts: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    growing: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)


class Checkpoints:
    """A folder of checkpoints, `checkpoint-00000042.state`, with ascending numbers; created with the first one.

    A file has `FORMAT`, a SHA-256 of all that follows, the length of a header, the header (JSON: facts, and name, dtype
    and shape of each array), and the arrays. The rows of growing arrays are in a `.rows` file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged = 0
        """Number of checkpoints that could not be read."""
        self._row_file: CheckpointRows | None = None

    def exist(self) -> bool:
        """Return whether there is any checkpoint, damaged or not."""
        return bool(self._paths())

    def save(self, checkpoint: Checkpoint) -> None:
        """Add a checkpoint and remove the oldest beyond `KEPT`; it is on the device when this returns.

        An attempt that was abandoned may wake up and save to the same folder. So no file is written that existed
        before, and no file is expected to be still there.
        """
        if not self.folder.is_dir():
            self.folder.mkdir(exist_ok=True)
            sync_path(self.folder.parent)
        names = sorted(path.name for path in self.folder.iterdir())
        number, file = self._create(1 + max((_number(name) for name in names), default=-1))
        unfinished = Path(file.name)
        path = unfinished.with_suffix(".state")
        with file:
            content = _content(checkpoint, self._append_rows(checkpoint, path.with_suffix(".rows")))
            digest = hashlib.sha256()
            for part in content:
                digest.update(part)
            file.writelines([FORMAT, digest.digest(), *content])
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        sync_path(self.folder)
        self._remove_old(names, number)

    def _create(self, number: int) -> tuple[int, BinaryIO]:
        """Create the file of the first free number from `number` on, which it reserves however long the rows take."""
        while True:
            try:
                return number, (self.folder / f"checkpoint-{number:08}.unfinished").open("xb")
            except FileExistsError:
                number += 1

    def _append_rows(self, checkpoint: Checkpoint, path: Path) -> RowExtent | None:
        """Write the new rows of growing arrays to this writer's row file, which is at `path` if it is yet to begin."""
        if not checkpoint.growing:
            return None
        row_file = self._row_file or CheckpointRows(path)
        # After an error the end of the file is unknown, and the next checkpoint begins another one.
        self._row_file = None
        extent = row_file.append_new(checkpoint.growing)
        self._row_file = row_file
        return extent

    def _remove_old(self, names: list[str], newest: int) -> None:
        """Remove the files that no kept checkpoint refers to; `names` were there before the newest."""
        states = [name for name in names if name.endswith(".state")][1 - KEPT :]
        oldest = _number(states[0]) if states else newest
        # A row file has the number of its first checkpoint, and is used until the next row file begins.
        rows = [name for name in names if name.endswith(".rows") and _number(name) <= oldest][:-1]
        # A checkpoint is removed before the rows that it refers to.
        needless = [name for name in names if name.endswith(".state") and name not in states] + rows
        for name in needless + [name for name in names if name.endswith(".unfinished")]:
            (self.folder / name).unlink(missing_ok=True)

    def newest_first(self) -> Iterator[Checkpoint]:
        """Read the checkpoints, newest first; one that cannot be read is logged, counted and left out."""
        for path in reversed(self._paths()):
            try:
                yield _read(path)
            except (OSError, ValueError) as error:
                self.damaged += 1
                _LOG.warning("checkpoint %s cannot be read (%s): the one before it is taken", path, error)

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self) -> list[Path]:
        return sorted(self.folder.glob("checkpoint-*.state"))


def _number(name: str) -> int:
    digits = name.removeprefix("checkpoint-").partition(".")[0]
    return int(digits) if digits.isdecimal() else -1


def _content(checkpoint: Checkpoint, extent: RowExtent | None) -> list[Any]:
    """Return all of the file behind the SHA-256 as buffers; each begins at a multiple of 8 bytes."""
    arrays = {name: np.ascontiguousarray(array) for name, array in checkpoint.arrays.items()}
    described = [[name, array.dtype.str, array.shape] for name, array in arrays.items()]
    header = {"facts": checkpoint.facts, "arrays": described, "grown": extent and asdict(extent)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    content: list[Any] = [len(text).to_bytes(_LENGTH_BYTES, "little"), text]
    for array in arrays.values():
        if array.nbytes:
            content += [array.reshape(-1).view(np.uint8).data, b"\0" * (-array.nbytes % _ALIGNMENT)]
    return content


def _read(path: Path) -> Checkpoint:
    """Read one checkpoint; nothing is parsed before the checksum of the whole file has been compared."""
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
    extent = header["grown"]
    growing = read_rows(path.parent, RowExtent(**extent)) if extent else {}
    return Checkpoint(header["facts"], arrays, growing)
