"""Appending to a log, which one process at a time may do."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pyarrow as pa

from order_book_platform.errors import LogBrokenError, LogBusyError, PartitionBusyError, StorageError
from order_book_platform.storage.disk import (
    DISK_FULL_ERRNOS,
    locked_file,
    sync_path,
    translate_write_errors,
)
from order_book_platform.storage.log import frames
from order_book_platform.storage.log.frame_encryption import FrameSealer, new_log_id
from order_book_platform.storage.log.frames import FrameKind, pack_frame, write_all
from order_book_platform.storage.log.high_water import HighWater
from order_book_platform.storage.log.recovery import recover
from order_book_platform.storage.log.sealed_segment import check_batch, check_schema, seal
from order_book_platform.storage.log.segments import open_path, sealed_path
from order_book_platform.storage.master_keys import MasterKeys

LOCK = "writer.lock"


class LogWriter:
    """Opens a log or creates one, appends rows, syncs and seals them; used by one thread at a time.

    A log whose writer died is recovered when it is opened. A method raises `DiskFullError` if the disk is full.

    Args:
        folder: folder of the log; created if it does not exist.
        schema: schema of the rows, with the metadata that belong to the log.
        segment_bytes: size from which on a segment is sealed before more is appended; it may be exceeded by one frame.
        row_group_rows: rows per row group of sealed segments.
        seal_in: executor that seals full segments, one at a time, while appending goes on; without it `append` seals
            them.
        keys: master keys, to encrypt the log; a log is encrypted from its first row, or not at all.

    Attributes:
        recovered: state of the log when it was opened, and what recovery did.
        next_row: number of rows in the log, which is the number of the next row.
        synced_row: number of the log's rows that are on the device.

    Raises:
        LogBusyError: another writer has the log open.
        LogSchemaError: the log has another schema, or a log cannot keep the schema.
        LogCorruptError: rows that had reached the device are damaged or gone; no row has been changed.
        LogKeyError: the log is encrypted and its master key is not at hand, or it is not encrypted and there are keys.
        StorageAccessError: this user may not write there.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        *,
        segment_bytes: int = 100_000_000,
        row_group_rows: int = 65_536,
        seal_in: Executor | None = None,
        keys: MasterKeys | None = None,
    ) -> None:
        check_schema(schema, folder)
        self.folder = folder
        self.schema = schema
        self._segment_bytes = segment_bytes
        self._row_group_rows = row_group_rows
        self._seal_in = seal_in
        self._keys = keys
        self._log_id, self._high_water = b"", None
        self._open: _OpenFile | None = None
        self._unsealed: list[tuple[int, int]] = []
        """First row and next row of full segments that are yet to be sealed."""
        self._sealing: Future[None] | None = None
        self._broken: str | None = None
        """Why the writer may not go on; None while it may."""
        with ExitStack() as stack, _translate_errors(folder):
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
            self.recovered, resumable = recover(folder, schema, row_group_rows, keys)
            self.next_row = self.synced_row = self.recovered.next_row
            if keys is not None:
                self._log_id = self.recovered.log_id or new_log_id()
                self._high_water = HighWater(folder, self._log_id, keys)
                stack.callback(self._high_water.close)
            if resumable is not None:
                self._open = self._open_file(resumable.first_row, resumable.size)
                if resumable.synced_row < self.next_row:
                    self._append_synced_frame()
            self._lock = stack.pop_all()

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_broken(self) -> bool:
        """Whether nothing can be appended any more, so that the log has to be opened again."""
        return self._broken is not None

    def append(self, batch: pa.RecordBatch, *, whole: bool = False) -> int:
        """Hand rows to the operating system, and return the number of the first one in the log.

        They survive the end of this process, and after `sync` of the machine. A batch that is larger than a segment is
        written in several frames. If the disk is full, an incomplete frame is cut off: rows before `next_row` are in
        the log, and the others may be appended when there is space again.

        Args:
            batch: rows of the log's schema.
            whole: write one frame, so that readers, and a recovery, have all of the rows or none; the segment may then
                exceed its size by that frame. If the disk is full, none of the rows is kept.

        Raises:
            LogSchemaError: the batch has another schema, or a null where the schema allows none; nothing was appended.
            StorageError: a single row, or a batch that has to be whole, is larger than a frame; none of it was
                appended.
        """
        first_row = self.next_row
        with self._writing():
            check_batch(batch, self.schema, self.folder)
            for part in self._split(batch, whole):
                self._append_rows(part)
        return first_row

    def sync(self) -> None:
        """Return when all appended rows are on the device; after an error this writer cannot be used any more."""
        with self._writing():
            self._sync()

    def rotate(self) -> None:
        """Seal the open segment, whatever its size; the next row begins another one.

        With `seal_in`, this never waits for sealing: it returns when the executor has the segment, or when the segment
        waits for the one that is being sealed, and raises the error of an earlier one. A segment for whose sealed form
        the disk has no space stays open and may be sealed later.
        """
        with self._writing():
            self._rotate()

    def close(self, *, seal: bool = False) -> None:
        """Sync, wait for sealing in progress, and release the log, also after an error; further calls do nothing.

        Args:
            seal: seal the open segment, for a log that is complete.
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
                    if seal:  # what the executor has missed that was just coming to its end
                        self._seal_unsealed()
        finally:
            self.discard()

    def discard(self, *, wait_for_sealing: bool = True) -> None:
        """Release the log without a sync: for a log that is about to be removed, or on a device that hangs.

        Args:
            wait_for_sealing: wait for a segment that is being sealed. Otherwise the lock is released when that has
                ended, or with the process.
        """
        self._broken = _CLOSED
        if self._open is not None:
            self._open.close()
        if self._sealing is None:
            self._lock.close()
        elif wait_for_sealing:
            wait([self._sealing])  # without the lock nothing may be written
            self._lock.close()
        else:
            self._sealing.add_done_callback(lambda _: self._lock.close())

    def _broken_error(self, found: str) -> LogBrokenError:
        return LogBrokenError(
            expected="an open log",
            found=found,
            where=str(self.folder),
            remedy="Open the log again: what was synced is there.",
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Refuse a writer that is broken, and translate errors; after an I/O error of the device it is broken."""
        if (found := self._broken) is not None:
            raise self._broken_error(found)
        try:
            with _translate_errors(self.folder):
                yield
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self._broken = self._broken or "a device that fails"
            raise self._broken_error(f"{self._broken} ({os.strerror(errno.EIO)})") from error

    def _split(self, batch: pa.RecordBatch, whole: bool) -> Iterator[pa.RecordBatch]:
        """Cut a batch in halves until each fits a frame and, if it can, a segment; a whole one is not cut."""
        size = pa.ipc.get_record_batch_size(batch)
        if not whole and batch.num_rows > 1 and size > min(self._segment_bytes, frames.MAX_PAYLOAD_BYTES):
            half = batch.num_rows // 2
            yield from self._split(batch.slice(0, half), whole)
            yield from self._split(batch.slice(half), whole)
        elif size > frames.MAX_PAYLOAD_BYTES:
            raise StorageError(
                expected=f"{'a whole batch' if whole else 'rows'} of at most {frames.MAX_PAYLOAD_BYTES} bytes",
                found=f"one of {size}",
                where=f"{self.folder}, row {self.next_row}",
                remedy="Split it before it is appended.",
            )
        elif batch.num_rows:
            yield batch

    def _append_rows(self, batch: pa.RecordBatch) -> None:
        """Write one frame with rows, in a new segment if the open one is full."""
        if self._open is not None and self._open.size >= self._segment_bytes:
            self._rotate()
        if self._open is None:
            self._open = self._open_file(self.next_row)
            self._write(FrameKind.SCHEMA, 0, self.schema.serialize())
        self._write(FrameKind.ROWS, batch.num_rows, batch.serialize())
        self.next_row += batch.num_rows

    def _open_file(self, first_row: int, size: int = 0) -> _OpenFile:
        """Open the file of a segment, of an encrypted log with a data key of its own for what will be appended."""
        self._open = _OpenFile(self.folder, first_row, size)
        if self._keys is not None:
            sealer = FrameSealer(self._log_id, first_row, self._keys)
            self._write(FrameKind.KEY, 0, pa.py_buffer(sealer.key_payload))
            self._open.sealer = sealer
        return self._open

    def _write(self, kind: FrameKind, rows: int, payload: pa.Buffer) -> None:
        """Write a frame at the end of the open segment, completely or not at all."""
        segment = self._open
        assert segment is not None
        sealer = segment.sealer
        seal = None if sealer is None else partial(sealer.seal, offset=segment.size)
        parts = pack_frame(kind, self.next_row, self.synced_row, rows, payload, seal)
        try:
            segment.size += write_all(segment.descriptor, parts)
        except BaseException:
            self._cut_back()
            raise
        if sealer is not None:
            sealer.written()

    def _cut_back(self) -> None:
        """Remove the bytes behind the last complete frame, or the whole file of a segment without rows."""
        assert self._open is not None
        try:
            if self._open.first_row == self.next_row:
                self._open.close()
                self._open.path.unlink()
                self._open = None
            else:
                os.ftruncate(self._open.descriptor, self._open.size)
        except BaseException:
            self._broken = "half a row that could not be cut off"
            raise

    def _sync(self) -> None:
        if self._open is None or self.synced_row == self.next_row:
            return
        try:
            self._open.sync()
        except BaseException:
            # The kernel drops pages that it could not write: a second sync would report success.
            self._broken = "rows that the device did not take"
            raise
        self.synced_row = self.next_row
        if self._high_water is not None:
            self._high_water.write(self.synced_row)
        self._append_synced_frame()

    def _append_synced_frame(self) -> None:
        """Write a frame that says which rows are on the device, so that damage differs from an incomplete end."""
        try:
            self._write(FrameKind.SYNCED, 0, pa.py_buffer(b""))
        except OSError as error:
            if error.errno not in DISK_FULL_ERRNOS or self._broken is not None:
                raise
            # Only this frame is missing: the rows are on the device, and the next frame says so, too.

    def _rotate(self) -> None:
        if self._sealing is not None and self._sealing.done():
            self._finish_sealing()
        if self._open is not None and self._seal_in is None:
            self._seal_now(self._open)
            return
        if self._open is not None:
            self._sync()  # no row of the next segment may reach the device before
            self._open.close()
            self._unsealed.append((self._open.first_row, self.next_row))
            self._open = None
        if self._seal_in is not None and self._unsealed and self._sealing is None:
            self._sealing = self._seal_in.submit(self._seal_unsealed)

    def _seal_now(self, segment: _OpenFile) -> None:
        """Seal the open segment in this thread."""
        try:
            seal(self.folder, segment.first_row, self.next_row, self._row_group_rows, self._keys)
        except BaseException:
            if sealed_path(self.folder, segment.first_row).exists():
                # And must not be appended to.
                self._broken = "a sealed segment whose open form could not be removed"
            raise
        segment.close()
        self._open, self.synced_row = None, self.next_row
        if self._high_water is not None:
            self._high_water.write(self.synced_row)
            self._high_water.sync()

    def _seal_unsealed(self) -> None:
        """Seal the full segments, in the executor; also those that become full meanwhile."""
        while self._unsealed:
            seal(self.folder, *self._unsealed[0], self._row_group_rows, self._keys)
            self._unsealed.pop(0)

    def _finish_sealing(self) -> None:
        """Wait for sealing in progress and raise its error once; the next rotation tries again."""
        sealing, self._sealing = self._sealing, None
        if sealing is not None:
            sealing.result()


_CLOSED = "one that has been closed"


class _OpenFile:
    """The file of the open segment, which has `size` bytes; 0 for one that is created."""

    def __init__(self, folder: Path, first_row: int, size: int = 0) -> None:
        self.first_row = first_row
        self.size = size
        self.sealer: FrameSealer | None = None
        """Encrypts frames; None where the log is not encrypted."""
        self.path = open_path(folder, first_row)
        new = 0 if size else os.O_CREAT | os.O_EXCL
        self.descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | new, 0o644)
        self._entry_synced = not new

    def sync(self) -> None:
        """Flush the content and, once, the directory entry to the device."""
        os.fsync(self.descriptor)
        if not self._entry_synced:
            sync_path(self.path.parent)
            self._entry_synced = True

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


@contextmanager
def _translate_errors(folder: Path) -> Iterator[None]:
    with translate_write_errors(folder, "the log", "rows that were appended before are untouched"):
        yield


def _create(folder: Path) -> None:
    """Create a folder and those above it, each flushed to the device."""
    if not folder.is_dir():
        _create(folder.parent)
        try:
            folder.mkdir(exist_ok=True)
        except FileNotFoundError as error:  # although its parent is there: a file system such as /proc
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(folder)) from error
        sync_path(folder.parent)
