"""The one process that appends to a log."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from order_book_platform.errors import (
    LogBrokenError,
    LogBusyError,
    PartitionBusyError,
    StorageError,
)
from order_book_platform.storage.atomic import (
    DISK_FULL_ERRNOS,
    locked_file,
    sync_path,
    translate_write_errors,
)
from order_book_platform.storage.log import frames
from order_book_platform.storage.log.frames import Kind, pack, write_all
from order_book_platform.storage.log.recovery import Recovered, Tail, recover
from order_book_platform.storage.log.row_schema import check_batch, check_schema
from order_book_platform.storage.log.sealing import seal
from order_book_platform.storage.log.segments import open_path, sealed_path

LOCK = "writer.lock"


class LogWriter:
    """Appends rows to a log, syncs and seals them; made by `LogWriter.open`, used by one thread at a time.

    Attributes:
        folder: of the log.
        schema: of its rows.
        recovered: what was found when the log was opened, and what was done about it.
        next_row: place that the next row will have: rows in the log.
        synced_row: rows of the log that are on the device.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        found: tuple[Recovered, Tail | None],
        held: ExitStack,
        *,
        segment_bytes: int,
        row_group_rows: int,
        seal_in: Executor | None,
    ) -> None:
        self.folder = folder
        self.schema = schema
        self.recovered, tail = found
        self.next_row = self.recovered.next_row
        self.synced_row = self.next_row
        self._segment_bytes = segment_bytes
        self._row_group_rows = row_group_rows
        self._seal_in = seal_in
        self._held = held
        self._tail = None if tail is None else _OpenFile(folder, tail.first_row, tail.size)
        self._waiting: list[tuple[int, int]] = []
        self._sealing: Future[None] | None = None
        self._broken: str | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        schema: pa.Schema,
        *,
        segment_bytes: int = 100_000_000,
        row_group_rows: int = 65_536,
        seal_in: Executor | None = None,
    ) -> LogWriter:
        """Open a log for appending, or begin one; what a crash left is put in order first.

        Args:
            folder: of the log; created if it is not there.
            schema: of the rows, with the metadata that belong to the log.
            segment_bytes: a segment of this size is sealed before more is appended; it exceeds it by one frame at
                most.
            row_group_rows: rows per row group of sealed segments.
            seal_in: seals full segments one at a time while appending goes on; without it, `append` waits for it.

        Raises:
            LogBusyError: another writer has it open.
            LogSchemaError: the log has another schema, or the schema cannot be kept in a log.
            LogCorruptError: rows that were on the device are damaged or gone; no row has been touched.
            DiskFullError: there is no room.
            StorageAccessError: this user may not write there.
        """
        check_schema(schema, folder)
        with ExitStack() as stack, _named(folder):
            _create(folder)
            try:
                stack.enter_context(locked_file(folder / LOCK))
            except PartitionBusyError as error:
                raise LogBusyError(
                    expected="one writer per log",
                    found="another one at work",
                    where=str(folder),
                    remedy="Wait for the other one to end, or choose another folder.",
                ) from error
            found = recover(folder, schema, row_group_rows)
            writer = cls(
                folder,
                schema,
                found,
                stack,
                segment_bytes=segment_bytes,
                row_group_rows=row_group_rows,
                seal_in=seal_in,
            )
            if (tail := found[1]) is not None and tail.synced_row < writer.next_row:
                writer._say_synced()
            writer._held = stack.pop_all()
            return writer

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, batch: pa.RecordBatch, *, whole: bool = False) -> int:
        """Hand rows to the operating system; they outlive this process, and after `sync` the machine.

        A batch that is larger than a segment goes in several frames. If there is no room, what is not whole is cut
        off: rows before `next_row` are in the log, and the others may be appended when there is room again.

        Args:
            batch: rows of the log's schema.
            whole: in one frame, so that who reads while this process writes, or after it has died, has all of the rows
                or none; the segment then exceeds its size by that frame. If there is no room, none is kept.

        Returns:
            The place of the first one.

        Raises:
            LogSchemaError: the batch has another schema, or a null where there must be none; nothing was appended.
            DiskFullError: there is no room.
            StorageError: a single row takes more than a frame holds, or a batch that has to be whole does; nothing of
                such a batch was appended.
        """
        self._check_usable()
        check_batch(batch, self.schema, self.folder)
        first_row = self.next_row
        with self._writing():
            for piece in self._pieces(batch, whole):
                self._append_frame(piece)
        return first_row

    def sync(self) -> None:
        """Return when all that has been appended is on the device.

        Raises:
            DiskFullError: there is no room after all; this writer is of no use any more.
            LogBrokenError: the device did not take the rows.
        """
        self._check_usable()
        with self._writing():
            self._sync()

    def rotate(self) -> None:
        """Seal the open segment, whatever its size; the next row begins another one.

        With `seal_in`, returns when the segment has been handed over, and tells what went wrong with the one before.

        Raises:
            DiskFullError: there is no room for the sealed form; the rows stay where they are, and may be sealed later.
        """
        self._check_usable()
        with self._writing():
            self._rotate()

    def close(self, *, seal: bool = False) -> None:
        """Sync, wait for what is being sealed, and let go of the log; harmless if done before.

        Args:
            seal: leave nothing open, for a log that is complete.

        Raises:
            DiskFullError: there is no room; the log is closed all the same, and can be opened again.
        """
        if self._broken == _CLOSED:
            return
        try:
            if self._broken is None:
                with self._writing():
                    self._sync()
                    if seal:
                        self._rotate()
                    self._finish_sealing()
        finally:
            self.discard()

    def discard(self, *, wait_for_sealing: bool = True) -> None:
        """Let go of the log without syncing anything: for one that is about to be removed, or a device that hangs.

        Args:
            wait_for_sealing: return when nothing is at work any more. Otherwise, should a segment be being sealed, the
                lock goes when that is over; or with the process.
        """
        self._broken = _CLOSED
        if self._tail is not None:
            self._tail.close()
        if self._sealing is None:
            self._held.close()
        elif wait_for_sealing:
            wait([self._sealing])  # nothing may be at work when the lock is gone
            self._held.close()
        else:
            self._sealing.add_done_callback(lambda _: self._held.close())

    def _check_usable(self) -> None:
        if self._broken is not None:
            raise self._broken_error(self._broken)

    def _broken_error(self, found: str) -> LogBrokenError:
        return LogBrokenError(
            expected="an open log",
            found=found,
            where=str(self.folder),
            remedy="Open the log again: what was synced is there.",
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Name errors; after a failing device nothing more is promised."""
        try:
            with _named(self.folder):
                yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._broken = self._broken or "a device that fails"
            raise self._broken_error(f"{self._broken} ({os.strerror(errno.EIO)})") from error

    def _pieces(self, batch: pa.RecordBatch, whole: bool) -> Iterator[pa.RecordBatch]:
        """The batch; unless it has to be whole, cut in halves until each fits a frame and, if it can, a segment."""
        size = pa.ipc.get_record_batch_size(batch)
        if not whole and batch.num_rows > 1 and size > min(self._segment_bytes, frames.MAX_PAYLOAD_BYTES):
            half = batch.num_rows // 2
            yield from self._pieces(batch.slice(0, half), whole)
            yield from self._pieces(batch.slice(half), whole)
        elif size > frames.MAX_PAYLOAD_BYTES:
            raise StorageError(
                expected=f"{'a whole batch' if whole else 'rows'} of at most {frames.MAX_PAYLOAD_BYTES} bytes",
                found=f"one of {size}",
                where=f"{self.folder}, row {self.next_row}",
                remedy="Split it before it is appended.",
            )
        elif batch.num_rows:
            yield batch

    def _append_frame(self, batch: pa.RecordBatch) -> None:
        if self._tail is not None and self._tail.size >= self._segment_bytes:
            self._rotate()
        if self._tail is None:
            self._begin()
        parts = pack(Kind.ROWS, self.next_row, self.synced_row, batch.num_rows, batch.serialize())
        self._write(parts)
        self.next_row += batch.num_rows

    def _begin(self) -> None:
        """Begin a segment."""
        self._tail = _OpenFile(self.folder, self.next_row)
        self._write(pack(Kind.SCHEMA, self.next_row, self.synced_row, 0, self.schema.serialize()))

    def _write(self, parts: list[memoryview]) -> None:
        """Write a frame at the end of the open segment, all of it or nothing."""
        assert self._tail is not None
        try:
            self._tail.size += write_all(self._tail.descriptor, parts)
        except BaseException:
            self._cut_back()
            raise

    def _cut_back(self) -> None:
        """Remove what is behind the last whole frame; a segment without rows goes altogether."""
        assert self._tail is not None
        try:
            if self._tail.first_row == self.next_row:
                self._tail.close()
                self._tail.path.unlink()
                self._tail = None
            else:
                os.ftruncate(self._tail.descriptor, self._tail.size)
        except BaseException:
            self._broken = "half a row that could not be cut off"
            raise

    def _sync(self) -> None:
        if self._tail is None or self.synced_row == self.next_row:
            return
        try:
            self._tail.sync()
        except BaseException:
            # The kernel forgets what it could not write: asked again, it would say that all is well.
            self._broken = "rows that the device did not take"
            raise
        self.synced_row = self.next_row
        self._say_synced()

    def _say_synced(self) -> None:
        """Leave word in the log that its rows are on the device; so damage to the last ones is told from a torn end."""
        try:
            self._write(pack(Kind.SYNCED, self.next_row, self.synced_row, 0, pa.py_buffer(b"")))
        except OSError as error:
            if error.errno not in DISK_FULL_ERRNOS or self._broken is not None:
                raise
            # The rows are safe and the next frame says the same: there was no room for the word alone.

    def _rotate(self) -> None:
        self._finish_sealing()
        if self._tail is not None and self._seal_in is None:
            self._seal_tail(self._tail)
            return
        if self._tail is not None:
            self._sync()  # before any row of the next segment can be on the device
            self._tail.close()
            self._waiting.append((self._tail.first_row, self.next_row))
            self._tail = None
        if self._seal_in is not None and self._waiting:
            self._sealing = self._seal_in.submit(self._seal_waiting)

    def _seal_tail(self, tail: _OpenFile) -> None:
        try:
            seal(self.folder, tail.first_row, self.next_row, self._row_group_rows)
        except BaseException:
            if sealed_path(self.folder, tail.first_row).exists():
                self._broken = (
                    "a sealed segment whose open form could not be removed"  # and must not be appended to
                )
            raise
        tail.close()
        self._tail, self.synced_row = None, self.next_row

    def _seal_waiting(self) -> None:
        while self._waiting:
            seal(self.folder, *self._waiting[0], self._row_group_rows)
            self._waiting.pop(0)

    def _finish_sealing(self) -> None:
        """Wait for what is being sealed; its error comes once, and the next rotation tries again."""
        sealing, self._sealing = self._sealing, None
        if sealing is not None:
            sealing.result()


_CLOSED = "one that has been closed"


class _OpenFile:
    """The file of the open segment."""

    def __init__(self, folder: Path, first_row: int, size: int = 0) -> None:
        self.first_row = first_row
        self.size = size
        self.path = open_path(folder, first_row)
        new = 0 if size else os.O_CREAT | os.O_EXCL
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | new, 0o644)
        self._entry_synced = not new

    def sync(self) -> None:
        """Flush its content and, once, its name."""
        os.fsync(self.descriptor)
        if not self._entry_synced:
            sync_path(self.path.parent)
            self._entry_synced = True

    def close(self) -> None:
        """Let go of the file; harmless if done before."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    with translate_write_errors(folder, "the log", "rows that were appended before are untouched"):
        yield


def _create(folder: Path) -> None:
    """Make a folder, and those above it, that are there after a crash too."""
    if not folder.is_dir():
        _create(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_path(folder.parent)
