"""A log that rows are put into once: those that an earlier run has appended already are compared and passed over."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from order_book_platform.errors import ReplayMismatchError
from order_book_platform.storage import LogReader, LogWriter
from order_book_platform.storage.log.segments import LogBatch


class OnceLog:
    """Appends rows behind those that are there, and holds rows that are made again against them.

    Args:
        folder: of the log; begun if it is not there.
        schema: of its rows, with the metadata that belong to it.

    Attributes:
        there: rows that the log had when it was opened.
        place: of the next row that is written.

    Raises:
        LogBusyError: another process writes to it.
        LogSchemaError: it has another schema, or other metadata.
        LogCorruptError: its rows are damaged.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema
        self._held = ExitStack()
        seal_in = self._held.enter_context(ThreadPoolExecutor(1, thread_name_prefix="seal"))
        try:
            self._writer = self._held.enter_context(LogWriter.open(folder, schema, seal_in=seal_in))
        except BaseException:
            self._held.close()
            raise
        self.there = self._writer.next_row
        self.place = 0
        self._earlier: Iterator[LogBatch] = iter(())
        self._ahead: pa.RecordBatch | None = None

    def __enter__(self) -> OnceLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    @property
    def rows(self) -> int:
        """In the log."""
        return self._writer.next_row

    def go_on_at(self, row: int) -> None:
        """The next row written is this one; at most `there`."""
        self.place, self._ahead = row, None
        self._earlier = LogReader(self._folder).read(row) if row < self.there else iter(())

    def write(self, table: pa.Table) -> None:
        """Append rows, or pass over those that are there already.

        Raises:
            ReplayMismatchError: a row that is there differs.
        """
        for batch in table.combine_chunks().to_batches():
            again = min(max(self.there - self.place, 0), batch.num_rows)
            if again:
                self._compare(batch.slice(0, again))
            if again < batch.num_rows:
                self._writer.append(batch.slice(again))
            self.place += batch.num_rows

    def sync(self) -> None:
        """All rows are on the device when this returns."""
        self._writer.sync()

    def _compare(self, batch: pa.RecordBatch) -> None:
        place = self.place
        while batch.num_rows:
            if self._ahead is None or not self._ahead.num_rows:
                self._ahead = next(self._earlier).batch
            count = min(self._ahead.num_rows, batch.num_rows)
            if not self._ahead.slice(0, count).equals(batch.slice(0, count)):
                raise self._differs(self._ahead, batch, place)
            self._ahead, batch = self._ahead.slice(count), batch.slice(count)
            place += count

    def _differs(self, there: pa.RecordBatch, made: pa.RecordBatch, place: int) -> ReplayMismatchError:
        pairs = zip(there.to_pylist(), made.to_pylist(), strict=False)
        at, (old, new) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        names = [name for name in old if old[name] != new[name]]
        return ReplayMismatchError(
            expected=f"the row that is there: {', '.join(f'{name} {old[name]}' for name in names[:4])}",
            found=", ".join(f"{name} {new[name]}" for name in names[:4]),
            where=f"{self._folder}, row {place + at}",
            remedy="The inputs, or the code, are not those the row was made with: follow into another folder.",
        )
