"""Segments as a reader finds them: their names, the rows of a sealed one, and those of one that is still written."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from order_book_platform.errors import LogCorruptError, LogMissingError
from order_book_platform.storage.log.frames import Frame, Kind, later_claim, read_frame

FOOTER = "order_book_platform"
"""Key of a sealed segment's own words in the Parquet footer."""

_NAME = re.compile(r"(\d{20})\.(?:log|parquet)", re.ASCII)
_ASK_FOR_HELP = "Restore it from a copy, or set the log aside and begin another."


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Rows of a log that follow each other.

    Attributes:
        first_row: place of the first one in the log.
        synced_row: rows of the log that are known to have been on the device when these were written. What lies
            beyond may be other rows after the machine, not only the process, has crashed.
        batch: the rows.
    """

    first_row: int
    synced_row: int
    batch: pa.RecordBatch

    @property
    def next_row(self) -> int:
        """Place of the row behind the last one: where to go on."""
        return self.first_row + int(self.batch.num_rows)


def sealed_path(folder: Path, first_row: int) -> Path:
    """Where the sealed segment is, or would be, whose first row that is."""
    return folder / f"{first_row:020d}.parquet"


def open_path(folder: Path, first_row: int) -> Path:
    """Where the segment is, or would be, while it is being written."""
    return folder / f"{first_row:020d}.log"


def first_rows(folder: Path) -> list[int]:
    """First rows of all segments in a folder, ascending; each once, though it may lie there in both forms.

    Raises:
        LogMissingError: there is no such folder.
    """
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


def find_segment(folder: Path, first_row: int) -> SealedSegment | OpenSegment | None:
    """The segment that begins with that row, the sealed form first; None if there is none."""
    ways = (SealedSegment, OpenSegment, SealedSegment)  # it may be sealed and removed between the first two
    for way in ways:
        try:
            return way(folder, first_row)
        except FileNotFoundError:
            continue
    return None


class SealedSegment:
    """A segment in its final form.

    Args:
        folder: of the log.
        first_row: which segment.

    Raises:
        FileNotFoundError: it is not there, or not sealed.
        LogCorruptError: it is there and cannot be read, or is another segment under this name.
    """

    def __init__(self, folder: Path, first_row: int) -> None:
        self.first_row = first_row
        self._path = sealed_path(folder, first_row)
        with _damage_named("a readable Parquet file", str(self._path)):
            self._file = pq.ParquetFile(self._path, page_checksum_verification=True)
        try:
            self._read_footer()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SealedSegment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """Rows from `from_row` on, row group by row group.

        Raises:
            LogCorruptError: a row group is damaged.
        """
        start = self.first_row
        for group in range(self._file.metadata.num_row_groups):
            rows = self._file.metadata.row_group(group).num_rows
            if start + rows > from_row:
                yield from self._group(group, start, from_row)
            start += rows

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _read_footer(self) -> None:
        with _damage_named("the footer of a segment", str(self._path)):
            footer = self._file.metadata.metadata
            # pyarrow's own reading renames the items of lists and adds the footer's keys; this is what was written.
            stored = base64.b64decode(footer[b"ARROW:schema"])
            self.schema = pa.ipc.read_schema(pa.BufferReader(stored))
            place = json.loads(footer[FOOTER.encode()])["log_first_row"]
        if place != self.first_row:
            raise corrupt(f"rows from {self.first_row} on", f"rows from {place} on", str(self._path))
        self.next_row = self.first_row + int(self._file.metadata.num_rows)

    def _group(self, group: int, start: int, from_row: int) -> Iterator[LogBatch]:
        rows = self._file.metadata.row_group(group).num_rows
        where = f"{self._path}, row group {group} (from row {start} on)"
        with _damage_named("a readable row group", where):
            table = self._file.read_row_group(group)
        if table.num_rows != rows:
            raise corrupt(f"{rows} rows", f"{table.num_rows}", where)
        place = max(start, from_row)
        for batch in table.slice(place - start).to_batches():
            exact = pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)
            yield LogBatch(place, self.next_row, exact)
            place += batch.num_rows


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
        with _damage_named("an Arrow schema", f"{self.path}, byte {frame.offset}"):
            return pa.ipc.read_schema(pa.BufferReader(frame.payload))

    def _batch(self, frame: Frame) -> pa.RecordBatch:
        where = f"{self.path}, byte {frame.offset}"
        with _damage_named("an Arrow record batch", where):
            batch = pa.ipc.read_record_batch(frame.payload, self.schema)
        if batch.num_rows != frame.rows:
            raise corrupt(f"{frame.rows} rows", f"{batch.num_rows}", where)
        return batch


def corrupt(expected: str, found: str, where: str) -> LogCorruptError:
    """The error about a damaged log."""
    return LogCorruptError(expected=expected, found=found, where=where, remedy=_ASK_FOR_HELP)


@contextmanager
def _damage_named(expected: str, where: str) -> Iterator[None]:
    """Turn what arrow says of unreadable bytes into `LogCorruptError`; the system's own errors pass as they are."""
    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise corrupt(expected, str(error), where) from error
