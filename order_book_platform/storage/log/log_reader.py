"""Reading a log, also while another process appends to it and seals segments. A reader changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogMissingError
from order_book_platform.storage.log.high_water import read_high_water
from order_book_platform.storage.log.sealed_segment import SealedSegment
from order_book_platform.storage.log.segments import LogBatch, OpenSegment, corrupt, first_rows, sealed_path
from order_book_platform.storage.master_keys import MasterKeys


class LogReader:
    """Reads the rows of a log from any row number on.

    A method raises `LogMissingError` if the folder does not exist, or the log has fewer rows than the wanted first one,
    and `LogCorruptError` if a segment cannot be read, or if rows that had reached the device are damaged or gone.

    Args:
        folder: Folder of the log.
        keys: Master keys of an encrypted log. Without the right ones, reading it raises `LogKeyError`.
    """

    def __init__(self, folder: Path, keys: MasterKeys | None = None) -> None:
        self.folder = folder
        self._keys = keys

    def schema(self) -> pa.Schema | None:
        """Return the schema of the log, with its metadata; None before its first row."""
        for row in reversed(first_rows(self.folder)):
            segment = _find(self.folder, row, self._keys)
            if segment is None:
                continue
            with segment:
                if isinstance(segment, OpenSegment):
                    next(segment.frames(), None)
                if segment.schema is not None:
                    return segment.schema
        return None

    def next_row(self) -> int:
        """Return the number of rows in the log, including rows of the open segment that are not synced yet."""
        rows = first_rows(self.folder)
        with closing(_Cursor(self.folder, rows[-1] if rows else 0, self._keys)) as cursor:
            for _ in cursor.batches(_BEHIND_ALL):
                pass
            return cursor.edge

    def read(self, from_row: int = 0) -> Iterator[LogBatch]:
        """Read the rows from `from_row` on: sealed segments by row group, then the open segment by frame."""
        return self.follow(from_row, lambda: False)

    def follow(self, from_row: int, wait: Callable[[], bool]) -> Iterator[LogBatch]:
        """Read the rows from `from_row` on, and those that a writer appends meanwhile, each once and in order.

        Args:
            from_row: number of the first row wanted.
            wait: called when there are no new rows. It returns true when there may be some, or false to stop after the
                rows that were appended before it returned.
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
        """Open a tail from `from_row` on, for callers that do not want to wait for new rows."""
        return LogTail(self.folder, from_row, self._keys)


class LogTail(Iterator[LogBatch | None]):
    """An endless iterator over the rows of a log in order, which gives None whenever there are no new rows.

    Attributes:
        synced_row: number of the log's rows that are known to be on the device; it may grow while no new rows come.
    """

    def __init__(self, folder: Path, from_row: int, keys: MasterKeys | None = None) -> None:
        self.synced_row = 0
        self._folder, self._keys = folder, keys
        self._rows = self._read(from_row)

    def __next__(self) -> LogBatch | None:
        """Return the next rows, or None if there are no new ones by now; raises the errors of `LogReader`."""
        return next(self._rows)

    def close(self) -> None:
        """Close the segment at hand."""
        self._rows.close()

    def _read(self, from_row: int) -> Generator[LogBatch | None]:
        begin = max((row for row in first_rows(self._folder) if row <= from_row), default=0)
        with closing(_Cursor(self._folder, begin, self._keys)) as cursor:
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
    """Goes through a log segment by segment; the next one begins at `edge`, the row behind those read."""

    def __init__(self, folder: Path, first_row: int, keys: MasterKeys | None) -> None:
        self.edge = first_row
        self._folder, self._keys = folder, keys
        self._log_id: bytes | None = None
        self._segment: SealedSegment | OpenSegment | None = None

    @property
    def synced_row(self) -> int:
        """Number of the log's rows on the device according to the segment at hand; 0 without a segment."""
        segment = self._segment
        if isinstance(segment, OpenSegment) and not sealed_path(self._folder, segment.first_row).exists():
            return segment.synced_row
        return 0 if segment is None else segment.next_row

    def batches(self, from_row: int) -> Iterator[LogBatch]:
        """Read all rows that exist by now behind the edge, leaving out those before `from_row`."""
        suspected = -1
        known_rows = self._high_water()  # read before the rows are: a writer goes on meanwhile
        while True:
            if self._segment is not None:
                yield from self._segment.batches(max(from_row, self.edge))
                self.edge = self._segment.next_row
            if self._segment is not None and self._segment.first_row == self.edge:
                self.close()  # it has no row yet: if its writer dies, another file may take its place
            elif (following := _find(self._folder, self.edge, self._keys)) is not None:
                self.close()
                self._segment = following
                continue
            later = [row for row in first_rows(self._folder) if row > self.edge]
            if not later:
                if known_rows is None and (known_rows := self._high_water()) is not None:
                    continue
                if known_rows is not None and self.edge < known_rows:
                    raise corrupt(
                        f"{known_rows} rows, which were on the device", f"{self.edge}", str(self._folder)
                    )
                return
            if suspected == self.edge:
                raise corrupt(
                    f"a segment from row {self.edge} on",
                    f"the next one from row {later[0]} on",
                    str(sealed_path(self._folder, self.edge)),
                )
            suspected = self.edge  # the writer may have created the segment during the search: look once more

    def _high_water(self) -> int | None:
        """Return how many rows an encrypted log is known to have had; None before the first key, and of other logs."""
        if self._segment is not None and self._segment.log_id is not None:
            self._log_id = self._segment.log_id
        if self._log_id is None or self._keys is None:
            return None
        return read_high_water(self._folder, self._log_id, self._keys)

    def close(self) -> None:
        """Close the segment at hand."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None


def _find(folder: Path, first_row: int, keys: MasterKeys | None) -> SealedSegment | OpenSegment | None:
    """Open the segment that begins with `first_row`, preferably its sealed form; returns None if there is none."""
    forms = (SealedSegment, OpenSegment, SealedSegment)  # it may be sealed between the first two attempts
    for form in forms:
        try:
            return form(folder, first_row, keys)
        except FileNotFoundError:
            continue
    return None


_BEHIND_ALL = 2**64
"""A row number that no log reaches."""
