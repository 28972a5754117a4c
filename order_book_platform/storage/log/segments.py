"""Segments of a log: file names, batches of rows, errors about damage, and the open segment, read frame by frame."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogCorruptError, LogKeyError, LogMissingError
from order_book_platform.storage.log.frame_encryption import FrameOpener, read_key_payload
from order_book_platform.storage.log.frames import (
    ALIGNMENT,
    ENCRYPTED_VERSION,
    Frame,
    FrameKind,
    later_synced_frame,
    next_complete_frame,
    read_frame,
)
from order_book_platform.storage.master_keys import MasterKeys

_NAME = re.compile(r"(\d{20})\.(?:log|parquet)", re.ASCII)
_REMEDY = "Restore it from a copy, or set the log aside and begin another."


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Consecutive rows of a log, the first of which has the number `first_row`.

    Attributes:
        synced_row: number of the log's rows that are known to have been on the device when these were written. At later
            row numbers there may be other rows after the machine, not only the process, has crashed.
    """

    first_row: int
    synced_row: int
    batch: pa.RecordBatch

    @property
    def next_row(self) -> int:
        """Number of the row behind the last one, from which a reader goes on."""
        return self.first_row + int(self.batch.num_rows)


def sealed_path(folder: Path, first_row: int) -> Path:
    """Return the path of the sealed segment that begins with `first_row`, whether it exists or not."""
    return folder / f"{first_row:020d}.parquet"


def open_path(folder: Path, first_row: int) -> Path:
    """Return the path of the open segment that begins with `first_row`, whether it exists or not."""
    return folder / f"{first_row:020d}.log"


def first_rows(folder: Path) -> list[int]:
    """List the first rows of all segments of a log, ascending; a segment in both forms counts once."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise LogMissingError(
            expected="the folder of a log",
            found="none",
            where=str(folder),
            remedy="Correct the path, or start what writes the log.",
        ) from error
    return sorted({int(match[1]) for match in map(_NAME.fullmatch, names) if match})


def corrupt(expected: str, found: str, where: str) -> LogCorruptError:
    """Make the error about a damaged log."""
    return LogCorruptError(expected=expected, found=found, where=where, remedy=_REMEDY)


def keys_needed(master: str, where: str) -> LogKeyError:
    """Make the error about an encrypted log that is opened without keys."""
    return LogKeyError(
        expected=f"the master key {master}, since the log is encrypted",
        found="no keys",
        where=where,
        remedy="Set capture.key_file in the settings, or OBP_CAPTURE_KEYS in the environment.",
    )


@contextmanager
def translate_damage(expected: str, where: str) -> Iterator[None]:
    """Turn arrow's errors about unreadable bytes into `LogCorruptError`; errors of the system pass as they are."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise corrupt(expected, str(error), where) from error


class OpenSegment:
    """A segment that is being written, or was when its writer died; FileNotFoundError if there is none.

    A frame is valid if it is complete, its checksum is right and its first row is the one after the frame before.
    Frames are read up to the first that is not valid, and from there again when more rows are wanted. Damage to rows
    that had reached the device raises `LogCorruptError`.

    Attributes:
        schema: schema of its rows; None as long as its first frame has not been read.
        next_row: number of the row behind the last one that has been read.
        end: offset in bytes behind the last frame that has been read.
        synced_row: number of the log's rows that are known to be on the device.
    """

    def __init__(self, folder: Path, first_row: int, keys: MasterKeys | None = None) -> None:
        self.first_row = first_row
        self.path = open_path(folder, first_row)
        self._opener: FrameOpener | None = None
        self._is_chained = True
        """Whether the next frame has to follow the one read last; false behind damage."""
        self._keys = keys
        self.schema: pa.Schema | None = None
        self.next_row = first_row
        self.synced_row = first_row
        self.end = 0
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> OpenSegment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """Read the new rows from `from_row` on; when more have been written, another call gives those."""
        for frame in self.frames():
            if self.next_row > from_row:
                batch = self._batch(frame)
                skip = max(0, from_row - frame.first_row)
                yield LogBatch(frame.first_row + skip, self.synced_row, batch.slice(skip))

    def frames(self) -> Iterator[Frame]:
        """Read the new valid frames that have rows, without decoding the rows."""
        while (frame := self._next_frame()) is not None:
            if frame.kind == FrameKind.ROWS:
                yield frame

    @property
    def log_id(self) -> bytes | None:
        """The 16 bytes that tell an encrypted log from others; None of another log, or before its key is read."""
        return self._opener.log_id if self._opener else None

    def skip_damage(self, schema: pa.Schema | None) -> bool:
        """Go to the next complete frame that may follow, although frames before it are damaged or gone.

        Args:
            schema: schema of the log, in case the frame that has it is among the damaged ones.

        Returns:
            Whether there is such a frame; rows between `next_row` before and after this call are lost.
        """
        self.schema = self.schema or schema
        where, offset = str(self.path), self.end + ALIGNMENT
        while (frame := next_complete_frame(self._descriptor, offset, where)) is not None:
            if frame.first_row >= self.next_row:
                self.end, self.next_row, self._is_chained = frame.offset, frame.first_row, False
                return True
            offset = frame.end
        return False

    def invalid_bytes(self) -> int:
        """Return the number of bytes behind the last frame that has been read."""
        return os.fstat(self._descriptor).st_size - self.end

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _next_frame(self) -> Frame | None:
        frame = self._valid_frame()
        if frame is None:
            proof = later_synced_frame(self._descriptor, self.end, self.next_row, str(self.path))
            if proof is None:
                return None
            # The writer may have completed this frame, and later ones, during the search.
            frame = self._valid_frame()
            if frame is None:
                raise corrupt(
                    f"row {self.next_row}, which was on the device",
                    f"no frame that counts, before the one at byte {proof.offset}",
                    f"{self.path}, byte {self.end}",
                )
        frame = self._opened(frame)
        if frame.kind == FrameKind.SCHEMA:
            with translate_damage("an Arrow schema", f"{self.path}, byte {frame.offset}"):
                self.schema = pa.ipc.read_schema(pa.BufferReader(frame.payload))
        self.end = frame.end
        self.next_row += frame.rows
        self.synced_row = max(self.synced_row, frame.synced_row)
        return frame

    def _valid_frame(self) -> Frame | None:
        """Read the next frame; returns None if there is no valid one."""
        frame = read_frame(self._descriptor, self.end, str(self.path))
        if frame is None or frame.first_row != self.next_row:
            return None
        if self.end and (frame.version == ENCRYPTED_VERSION) != (self._opener is not None):
            return None  # a log is encrypted from its first frame, or not at all
        if (frame.kind, frame.rows, frame.version) == (FrameKind.KEY, 0, ENCRYPTED_VERSION):
            return frame
        if self.schema is None:
            return frame if (frame.kind, frame.rows) == (FrameKind.SCHEMA, 0) else None
        with_rows = frame.kind == FrameKind.ROWS and frame.rows > 0
        return frame if with_rows or (frame.kind, frame.rows) == (FrameKind.SYNCED, 0) else None

    def _opened(self, frame: Frame) -> Frame:
        """Return a frame with its payload decrypted if it is encrypted; the key in a frame is used from now on."""
        if frame.version != ENCRYPTED_VERSION:
            return frame
        where = f"{self.path}, byte {frame.offset}"
        if self._keys is None:
            wrapped, _ = read_key_payload(frame.payload, where)
            raise keys_needed(wrapped.master, str(self.path))
        self._opener = self._opener or FrameOpener(self.first_row, self._keys)
        if frame.kind == FrameKind.KEY:
            self._opener.take_key(frame.payload, where)
            return frame
        opened = self._opener.open(frame, where, chained=self._is_chained)
        self._is_chained = True
        return frame._replace(payload=opened)

    def _batch(self, frame: Frame) -> pa.RecordBatch:
        where = f"{self.path}, byte {frame.offset}"
        with translate_damage("an Arrow record batch", where):
            batch = pa.ipc.read_record_batch(frame.payload, self.schema)
        if batch.num_rows != frame.rows:
            raise corrupt(f"{frame.rows} rows", f"{batch.num_rows}", where)
        return batch
