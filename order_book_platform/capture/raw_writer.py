"""The thread that makes rows durable: everything that waits goes into one frame, is synced, and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from order_book_platform.capture.row_buffer import Row, RowBuffer, batch_of
from order_book_platform.clock import Clock
from order_book_platform.errors import DiskFullError, LogBrokenError, OrderBookPlatformError
from order_book_platform.observability.latency_histogram import LatencyHistogram
from order_book_platform.storage import LogWriter

LOG = logging.getLogger(__name__)
IDLE_S = 0.2
"""Longest time until the writer looks at the clock again where no row comes."""
RETRY_S = 0.5
"""Pause before a device that refused rows is tried again."""
GROUP_S = 0.002
"""Shortest time from one frame to the next: a frame takes 0.3 ms of the processor however few rows it has."""
NS_PER_HOUR = 3_600_000_000_000


class RawWriter:
    """Writes the rows of a buffer to a raw log, in a thread of its own.

    A device that refuses rows does not end it: it tries again, the log is opened anew where it has to be, and what
    the buffer drops meanwhile becomes a `gap` row there.

    Args:
        open_log: opens the log, with an executor that seals its segments; called again after the device failed.
        buffer: rows to be written.
        clock: clock of arrivals.

    Attributes:
        durable: time from arrival to durability.
        syncs: time of append and sync of one frame.
        rows: rows that are on the device.
        bytes: payload bytes of them.
        trouble: what the device said last; None while it takes rows.
    """

    def __init__(
        self, open_log: Callable[[ThreadPoolExecutor], LogWriter], buffer: RowBuffer, clock: Clock
    ) -> None:
        self.durable = LatencyHistogram()
        self.syncs = LatencyHistogram()
        self.rows = 0
        self.bytes = 0
        self.trouble: str | None = None
        self._open_log = open_log
        self._buffer = buffer
        self._clock = clock
        self._sealing = ThreadPoolExecutor(1, thread_name_prefix="seal")
        self._log = open_log(self._sealing)
        self._hour = -1
        self._giving_up = threading.Event()
        self._failure: BaseException | None = None
        self._seal = False
        self._thread = threading.Thread(target=self._run, name="raw-writer", daemon=True)

    @property
    def folder(self) -> Path:
        """Folder of the log."""
        return self._log.folder

    @property
    def failure(self) -> BaseException | None:
        """Error that has ended the thread; None while there is none."""
        return self._failure

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, within_s: float, *, seal: bool = False) -> None:
        """Write what waits, sync, and close the log.

        Args:
            within_s: longest time that a stalled device is waited for, in seconds.
            seal: seal the last segment, too.

        Raises:
            OrderBookPlatformError: rows could not be written.
        """
        self._seal = seal
        self._buffer.close()
        if self._thread.is_alive():
            self._thread.join(within_s)
        self._giving_up.set()
        if self._thread.is_alive():
            raise LogBrokenError(
                expected=f"the device to take the last rows within {within_s:.0f} s",
                found=f"{self._buffer.waiting_bytes} bytes that wait ({self.trouble or 'a sync that does not return'})",
                where=str(self.folder),
                remedy="Look after the device; rows that were synced before are there.",
            )
        self._sealing.shutdown()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._giving_up.is_set():
                # Asked first: a row may be put, and the buffer closed, between a `take` that finds nothing and here.
                is_last = self._buffer.is_closed
                rows = self._buffer.take(IDLE_S)
                if rows:
                    began = time.monotonic()
                    self._write(rows)
                    time.sleep(max(0.0, began + GROUP_S - time.monotonic()))
                elif is_last:
                    break
            self._log.close(seal=self._seal)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that looks after this one
            self._failure = error
            self._log.discard(wait_for_sealing=False)

    def _write(self, rows: list[Row]) -> None:
        """Make rows durable, however long the device takes for it."""
        batch = batch_of(rows)
        while not self._giving_up.is_set():
            before = self._log.next_row
            began_ns = self._clock.monotonic_ns()
            try:
                self._rotate_by_hour(rows[0].received_time)
                self._log.append(batch, whole=True)
                self._log.sync()
            except (DiskFullError, LogBrokenError) as error:
                self._report(error)
                self._giving_up.wait(RETRY_S)
                if self._usable(before, len(rows)):
                    continue
            self._count(rows, batch, began_ns)
            return

    def _usable(self, before: int, rows: int) -> bool:
        """Open the log again if it has to be; says whether rows have to be appended (again)."""
        while not self._giving_up.is_set():
            if self._log.next_row == before and not self._log.is_broken:
                return True
            self._log.discard(wait_for_sealing=True)
            try:
                self._log = self._open_log(self._sealing)
            except (DiskFullError, LogBrokenError) as error:
                self._report(error)
                self._giving_up.wait(RETRY_S)
                continue
            return self._log.next_row != before + rows
        return True

    def _rotate_by_hour(self, received_ns: int) -> None:
        """End the segment at each hour of the wall clock, so at midnight, too."""
        hour = received_ns // NS_PER_HOUR
        if hour == self._hour:
            return
        if self._hour >= 0:
            self._log.rotate()
        self._hour = hour

    def _count(self, rows: list[Row], batch: pa.RecordBatch, began_ns: int) -> None:
        now_ns = self._clock.monotonic_ns()
        if self.trouble is not None:
            self.trouble = None
            LOG.warning("The device takes rows again.", extra={"event": "device_takes_rows"})
        self.rows += len(rows)
        self.bytes += batch["payload"].nbytes
        arrivals = batch["monotonic_time"].to_numpy()
        self.durable.add(now_ns - arrivals, now_ns)
        self.syncs.add(np.array([now_ns - began_ns]), now_ns)

    def _report(self, error: OrderBookPlatformError) -> None:
        """Tell the operator once that the device refuses rows."""
        if self.trouble is None:
            LOG.error(
                "The device takes no rows at %s: %s. The capture goes on by itself as soon as it does; until then rows "
                "wait in memory up to capture.buffer, and what comes beyond that is dropped and becomes a gap.",
                error.where,
                error.found,
                extra={"event": "device_refuses_rows"},
            )
        self.trouble = error.found
