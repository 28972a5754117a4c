"""Open segments as they are read: frame by frame, as far as these count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from order_book_platform.storage.log.frames import Frame, Kind, later_claim, read_frame
from order_book_platform.storage.log.segments import LogBatch, corrupt, damage_named, open_path


class OpenSegment:
    """A segment that is still written, or was when its writer died: frames as far as they count.

    Args:
        folder: of the log.
        first_row: which segment.

    Attributes:
        schema: of its rows; None as long as its first frame has not been read.
        next_row: place of the row behind the last one that has been read.
        end: of the last frame that has been read, in bytes.
        synced_row: rows of the log that are known to be on the device.

    Raises:
        FileNotFoundError: it is not there, or sealed already.
    """

    def __init__(self, folder: Path, first_row: int) -> None:
        self.first_row = first_row
        self.path = open_path(folder, first_row)
        self.schema: pa.Schema | None = None
        self.next_row = first_row
        self.synced_row = first_row
        self.end = 0
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> OpenSegment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """Rows from `from_row` on that are there by now and have not been read; more may come.

        Raises:
            LogCorruptError: rows that were on the device are damaged.
        """
        for frame in self.frames():
            if self.next_row > from_row:
                batch = self._batch(frame)
                skip = max(0, from_row - frame.first_row)
                yield LogBatch(frame.first_row + skip, self.synced_row, batch.slice(skip))

    def frames(self) -> Iterator[Frame]:
        """Frames with rows that count and have not been read; rows are not looked at.

        Raises:
            LogCorruptError: rows that were on the device are damaged.
        """
        while (frame := self._next_frame()) is not None:
            if frame.kind == Kind.ROWS:
                yield frame

    def uncounted_bytes(self) -> int:
        """Bytes of the file behind what has been read."""
        return os.fstat(self._descriptor).st_size - self.end

    def close(self) -> None:
        """Let go of the file; harmless if done before."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _next_frame(self) -> Frame | None:
        frame = self._counting_frame()
        if frame is None:
            claim = later_claim(self._descriptor, self.end, self.next_row, str(self.path))
            if claim is None:
                return None
            # The writer may have finished the frame, and more of them, while we looked further.
            frame = self._counting_frame()
            if frame is None:
                raise corrupt(
                    f"row {self.next_row}, which was on the device",
                    f"no frame that counts, before the one at byte {claim.offset}",
                    f"{self.path}, byte {self.end}",
                )
        if frame.kind == Kind.SCHEMA:
            self.schema = self._read_schema(frame)
        self.end = frame.end
        self.next_row += frame.rows
        self.synced_row = max(self.synced_row, frame.synced_row)
        return frame

    def _counting_frame(self) -> Frame | None:
        """The next frame, if it is whole and right and has its right place."""
        frame = read_frame(self._descriptor, self.end, str(self.path))
        if frame is None or frame.first_row != self.next_row:
            return None
        if self.schema is None:
            return frame if (frame.kind, frame.rows) == (Kind.SCHEMA, 0) else None
        with_rows = frame.kind == Kind.ROWS and frame.rows > 0
        return frame if with_rows or (frame.kind, frame.rows) == (Kind.SYNCED, 0) else None

    def _read_schema(self, frame: Frame) -> pa.Schema:
        with damage_named("an Arrow schema", f"{self.path}, byte {frame.offset}"):
            return pa.ipc.read_schema(pa.BufferReader(frame.payload))

    def _batch(self, frame: Frame) -> pa.RecordBatch:
        where = f"{self.path}, byte {frame.offset}"
        with damage_named("an Arrow record batch", where):
            batch = pa.ipc.read_record_batch(frame.payload, self.schema)
        if batch.num_rows != frame.rows:
            raise corrupt(f"{frame.rows} rows", f"{batch.num_rows}", where)
        return batch
