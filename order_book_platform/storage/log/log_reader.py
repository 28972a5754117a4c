"""Reading a log, also while another process writes, seals and rotates it. A reader changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogMissingError
from order_book_platform.storage.log.open_segment import OpenSegment
from order_book_platform.storage.log.sealed_segment import SealedSegment
from order_book_platform.storage.log.segments import LogBatch, corrupt, first_rows, sealed_path


class LogReader:
    """Rows of a log, by their place.

    Args:
        folder: of the log. It has to be there when something is read, though no row has to be in it yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def schema(self) -> pa.Schema | None:
        """The schema of the log, with its metadata; None before its first row.

        Raises:
            LogMissingError: there is no such folder.
            LogCorruptError: the segment that would tell cannot be read.
        """
        for row in reversed(first_rows(self.folder)):
            segment = _find(self.folder, row)
            if segment is None:
                continue
            with segment:
                if isinstance(segment, OpenSegment):
                    next(segment.frames(), None)
                if segment.schema is not None:
                    return segment.schema
        return None

    def next_row(self) -> int:
        """Place of the row behind the last one; rows of the open segment are counted, though not synced yet.

        Raises:
            LogMissingError: there is no such folder.
            LogCorruptError: rows that were on the device are damaged.
        """
        rows = first_rows(self.folder)
        with closing(_Cursor(self.folder, rows[-1] if rows else 0)) as cursor:
            for _ in cursor.batches(_BEHIND_ALL):
                pass
            return cursor.edge

    def read(self, from_row: int = 0) -> Iterator[LogBatch]:
        """Rows from `from_row` on: sealed segments row group by row group, then the frames of the open one.

        Raises:
            LogMissingError: there is no such folder, or the log does not reach to `from_row`.
            LogCorruptError: rows that were on the device are damaged or gone.
        """
        return self.follow(from_row, _stop)

    def follow(self, from_row: int, wait: Callable[[], bool]) -> Iterator[LogBatch]:
        """Rows from `from_row` on, and those that a writer appends meanwhile, each once and in order.

        Args:
            from_row: place of the first row wanted.
            wait: called when nothing new is there. It returns when it is worth to look again, or False to stop; what
                was appended before it said so is still read.

        Raises:
            LogMissingError: there is no such folder, or the log does not reach to `from_row`.
            LogCorruptError: rows that were on the device are damaged or gone.
        """
        going_on = True
        with closing(self.tail(from_row)) as tail:
            for rows in tail:
                if rows is not None:
                    yield rows
                elif not going_on:
                    return
                else:
                    going_on = wait()

    def tail(self, from_row: int = 0) -> LogTail:
        """As `follow`, for who has something else to do while nothing new is there.

        Args:
            from_row: place of the first row wanted.
        """
        return LogTail(self.folder, from_row)


class LogTail:
    """Rows of a log from a place on, in order; None where that is all there is by now. An iterator that never ends.

    Args:
        folder: of the log.
        from_row: place of the first row wanted.

    Attributes:
        synced_row: rows of the log that are known to be on the device; also while no more come.
    """

    def __init__(self, folder: Path, from_row: int) -> None:
        self.synced_row = 0
        self._folder = folder
        self._rows = self._read(from_row)

    def __iter__(self) -> LogTail:
        return self

    def __next__(self) -> LogBatch | None:
        """The next rows; whoever asks again after a None looks again.

        Raises:
            LogMissingError: there is no such folder, or the log does not reach to where it was to begin.
            LogCorruptError: rows that were on the device are damaged or gone.
        """
        return next(self._rows)

    def close(self) -> None:
        """Let go of the log."""
        self._rows.close()

    def _read(self, from_row: int) -> Generator[LogBatch | None]:
        begin = max((row for row in first_rows(self._folder) if row <= from_row), default=0)
        with closing(_Cursor(self._folder, begin)) as cursor:
            while True:
                for rows in cursor.batches(from_row):
                    from_row = rows.next_row
                    self.synced_row = max(self.synced_row, rows.synced_row)
                    yield rows
                if cursor.edge < from_row:
                    raise LogMissingError(
                        expected=f"at least {from_row} rows",
                        found=f"{cursor.edge}",
                        where=str(self._folder),
                        remedy="Start from a row that is there: what was not synced may have been lost in a crash.",
                    )
                self.synced_row = max(self.synced_row, cursor.synced_row)
                yield None


class _Cursor:
    """Goes through a log segment by segment, by the names they must have.

    Attributes:
        edge: place of the row behind the last one that has been seen.
    """

    def __init__(self, folder: Path, first_row: int) -> None:
        self.edge = first_row
        self._folder = folder
        self._segment: SealedSegment | OpenSegment | None = None

    @property
    def synced_row(self) -> int:
        """Rows of the log that the segment at hand says are on the device; 0 if there is none."""
        segment = self._segment
        if isinstance(segment, OpenSegment) and not sealed_path(self._folder, segment.first_row).exists():
            return segment.synced_row
        return 0 if segment is None else segment.next_row

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """All there is by now behind the edge, without what lies before `from_row`."""
        suspected = -1
        while True:
            if self._segment is not None:
                yield from self._segment.batches(max(from_row, self.edge))
                self.edge = self._segment.next_row
            if self._segment is not None and self._segment.first_row == self.edge:
                self.close()  # no row in it yet: if its writer dies, another will replace it
            elif (following := _find(self._folder, self.edge)) is not None:
                self.close()
                self._segment = following
                continue
            later = [row for row in first_rows(self._folder) if row > self.edge]
            if not later:
                return
            if suspected == self.edge:
                raise corrupt(
                    f"a segment from row {self.edge} on",
                    f"the next one from row {later[0]} on",
                    str(sealed_path(self._folder, self.edge)),
                )
            suspected = self.edge  # or the writer went on while we looked: then the rows are there by now

    def close(self) -> None:
        """Let go of the segment."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None


def _find(folder: Path, first_row: int) -> SealedSegment | OpenSegment | None:
    """The segment that begins with that row, the sealed form first; None if there is none."""
    ways = (SealedSegment, OpenSegment, SealedSegment)  # it may be sealed and removed between the first two
    for way in ways:
        try:
            return way(folder, first_row)
        except FileNotFoundError:
            continue
    return None


def _stop() -> bool:
    return False


_BEHIND_ALL = 2**64
