"""Reading an open segment, frame by frame, as far as its frames are valid."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from order_book_platform.storage.log.frames import Frame, FrameKind, later_synced_frame, read_frame
from order_book_platform.storage.log.segments import LogBatch, corrupt, open_path, translate_damage


class OpenSegment:
    """A segment that is being written, or was when its writer died.

    A frame is valid if it is complete, its checksum is right and its first row is the one after the frame before.
    Frames are read up to the first that is not valid, and from there again when more rows are wanted.

    Args:
        folder: folder of the log.
        first_row: number of the segment's first row.

    Attributes:
        schema: schema of its rows; None as long as its first frame has not been read.
        next_row: number of the row behind the last one that has been read.
        end: offset in bytes behind the last frame that has been read.
        synced_row: number of the log's rows that are known to be on the device.

    Raises:
        FileNotFoundError: there is no such segment, or it is sealed already.
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

    def __exit__(self, *_: object) -> None:
        self.close()

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """Read the new rows from `from_row` on; when more have been written, another call gives those.

        Raises:
            LogCorruptError: rows that had reached the device are damaged.
        """
        for frame in self.frames():
            if self.next_row > from_row:
                batch = self._batch(frame)
                skip = max(0, from_row - frame.first_row)
                yield LogBatch(frame.first_row + skip, self.synced_row, batch.slice(skip))

    def frames(self) -> Iterator[Frame]:
        """Read the new valid frames that have rows, without decoding the rows.

        Raises:
            LogCorruptError: rows that had reached the device are damaged.
        """
        while (frame := self._next_frame()) is not None:
            if frame.kind == FrameKind.ROWS:
                yield frame

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
        if frame.kind == FrameKind.SCHEMA:
            self.schema = self._read_schema(frame)
        self.end = frame.end
        self.next_row += frame.rows
        self.synced_row = max(self.synced_row, frame.synced_row)
        return frame

    def _valid_frame(self) -> Frame | None:
        """Read the next frame; returns None if there is no valid one."""
        frame = read_frame(self._descriptor, self.end, str(self.path))
        if frame is None or frame.first_row != self.next_row:
            return None
        if self.schema is None:
            return frame if (frame.kind, frame.rows) == (FrameKind.SCHEMA, 0) else None
        with_rows = frame.kind == FrameKind.ROWS and frame.rows > 0
        return frame if with_rows or (frame.kind, frame.rows) == (FrameKind.SYNCED, 0) else None

    def _read_schema(self, frame: Frame) -> pa.Schema:
        with translate_damage("an Arrow schema", f"{self.path}, byte {frame.offset}"):
            return pa.ipc.read_schema(pa.BufferReader(frame.payload))

    def _batch(self, frame: Frame) -> pa.RecordBatch:
        where = f"{self.path}, byte {frame.offset}"
        with translate_damage("an Arrow record batch", where):
            batch = pa.ipc.read_record_batch(frame.payload, self.schema)
        if batch.num_rows != frame.rows:
            raise corrupt(f"{frame.rows} rows", f"{batch.num_rows}", where)
        return batch
