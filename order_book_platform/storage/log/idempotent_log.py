"""A log to which a row is appended once: rows that an earlier run has appended are compared and passed over."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa

from order_book_platform.errors import LogBrokenError, ReplayMismatchError
from order_book_platform.storage.log.log_reader import LogReader
from order_book_platform.storage.log.log_writer import LogWriter
from order_book_platform.storage.log.segments import LogBatch
from order_book_platform.storage.master_keys import MasterKeys


class IdempotentLog:
    """Appends rows behind those that are there, and compares rows that are made again with them.

    It raises the errors of `LogWriter`, of whose arguments it takes folder, schema and keys.

    Attributes:
        rows_at_opening: Rows that the log had when it was opened.
        next_row: Number of the next row that is written.
    """

    def __init__(self, folder: Path, schema: pa.Schema, keys: MasterKeys | None = None) -> None:
        self._folder = folder
        self._schema = schema
        self._keys = keys
        self._writer = LogWriter(folder, schema, seal_in=_Sealing(), keys=keys)
        self._at_work, self._is_abandoned = threading.Lock(), False
        self.rows_at_opening = self._writer.next_row
        self.next_row = 0
        self._earlier: Iterator[LogBatch] | None = None
        self._ahead: pa.RecordBatch | None = None

    def __enter__(self) -> IdempotentLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Sync and close; after an error let go of the log without either.

        The error may be that a thread hangs in a call to the device: the same call would hang here. What has been
        appended outlives the process. Where a thread is still at work, it lets go of the log when its call returns, and
        until then nobody else gets it.
        """
        if error is None:
            self._forget_earlier()
            self._writer.close()
        else:
            self._is_abandoned = True
            self._let_go()

    @property
    def rows(self) -> int:
        """Number of rows in the log."""
        return self._writer.next_row

    def go_on_at(self, row: int) -> None:
        """Write the row with this number next, at most `rows_at_opening`."""
        self._forget_earlier()
        self.next_row = row
        if row < self.rows_at_opening:
            self._earlier = LogReader(self._folder, self._keys).read(row)

    def write(self, table: pa.Table, *, whole: bool = False) -> None:
        """Append rows, or compare those that are there already; one that differs raises `ReplayMismatchError`.

        With `whole`, all rows of a chunk that are new are appended in one frame.
        """
        with self._using():
            for batch in table.combine_chunks().to_batches():
                again = min(max(self.rows_at_opening - self.next_row, 0), batch.num_rows)
                if again:
                    self._compare(batch.slice(0, again))
                if again < batch.num_rows:
                    self._writer.append(batch.slice(again), whole=whole)
                self.next_row += batch.num_rows

    def sync(self) -> None:
        """Wait until all rows are on the device; `LogBrokenError` if the log has been let go of meanwhile."""
        with self._using():
            self._writer.sync()

    @contextmanager
    def _using(self) -> Iterator[None]:
        """Reserve the writer for this thread; raise afterwards if the log has been abandoned meanwhile."""
        try:
            with self._at_work:
                yield
        finally:
            if self._is_abandoned:
                self._let_go()
        if self._is_abandoned:
            raise LogBrokenError(
                expected="a log that is held",
                found="one that was let go of while a call to the device hung",
                where=str(self._folder),
                remedy="Follow again: rows that are there are compared, and the rest is made.",
            )

    def _let_go(self) -> None:
        """Let go of everything, unless a thread is at work: that thread will."""
        if self._at_work.acquire(blocking=False):
            try:
                self._forget_earlier()
                self._writer.discard(wait_for_sealing=False)
            finally:
                self._at_work.release()

    def _compare(self, batch: pa.RecordBatch) -> None:
        row = self.next_row
        while batch.num_rows:
            if self._ahead is None or not self._ahead.num_rows:
                assert self._earlier is not None
                self._ahead = next(self._earlier).batch
            count = min(self._ahead.num_rows, batch.num_rows)
            if not self._ahead.slice(0, count).equals(batch.slice(0, count)):
                raise self._differs(self._ahead, batch, row)
            self._ahead, batch = self._ahead.slice(count), batch.slice(count)
            row += count
        if row == self.rows_at_opening:
            self._forget_earlier()

    def _forget_earlier(self) -> None:
        """Let go of the rows to compare with, and of the file that they are read from."""
        earlier, self._earlier, self._ahead = self._earlier, None, None
        if isinstance(earlier, Generator):
            earlier.close()

    def _differs(self, there: pa.RecordBatch, made: pa.RecordBatch, row: int) -> ReplayMismatchError:
        pairs = zip(there.to_pylist(), made.to_pylist(), strict=False)
        at, (old, new) = next((i, pair) for i, pair in enumerate(pairs) if pair[0] != pair[1])
        names = [name for name in old if old[name] != new[name]]
        return ReplayMismatchError(
            expected=f"the row that is there: {', '.join(f'{name} {old[name]}' for name in names[:4])}",
            found=", ".join(f"{name} {new[name]}" for name in names[:4]),
            where=f"{self._folder}, row {row + at}",
            remedy="The inputs, or the code, are not those the row was made with: follow into another folder.",
        )


class _Sealing(Executor):
    """Seals segments in a daemon thread: threads of a pool are joined when the interpreter ends, even one that hangs.

    An orderly end waits for the sealing in `LogWriter.close`; a segment that is half sealed is removed by the next
    writer.
    """

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Begin the work at once: a writer submits one piece of work at a time."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(work(*arguments, **named))
            except BaseException as error:  # noqa: BLE001 - anything; raised by who asks for the result
                future.set_exception(error)

        threading.Thread(target=run, name="seal", daemon=True).start()
        return future
