"""The bounded buffer between sockets and disk: rows of the raw log that wait to be written."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from order_book_platform.datasets.raw_capture import RAW_CAPTURE_SCHEMA, RowKind

ROW_OVERHEAD_BYTES = 300
"""Memory of a row beside its payload: the tuple, its integers and the heads of its objects."""
CHUNK_BYTES = 4_000_000
"""Rows are handed to the writer in chunks of about this size, so that a backlog needs no second copy of itself."""


class Row(NamedTuple):
    """One row of the raw log (docs/formats/raw_log.md).

    Attributes:
        received_time: wall clock, ns since the epoch, UTC.
        monotonic_time: monotonic clock at the same instant, ns.
        connection: number of the connection; 0 for none.
        route: route of the connection, or path of the request.
        kind: kind of the row.
        binary: whether the payload came as a binary message.
        payload: the bytes as received.
        detail: JSON about rows that the recorder writes by itself; None for messages.
    """

    received_time: int
    monotonic_time: int
    connection: int
    route: str
    kind: str
    binary: bool
    payload: bytes
    detail: str | None


def own_row(
    kind: RowKind,
    received_ns: int,
    monotonic_ns: int,
    detail: Mapping[str, object],
    *,
    connection: int = 0,
    route: str = "",
    payload: bytes = b"",
) -> Row:
    """Make a row that the recorder writes by itself.

    Args:
        kind: kind of the row.
        received_ns: wall clock, ns since the epoch.
        monotonic_ns: monotonic clock at the same instant, ns.
        detail: content of the column `detail`.
        connection: number of the connection; 0 for none.
        route: route of the connection, or path of the request.
        payload: bytes of the row.
    """
    text = json.dumps(detail, ensure_ascii=False, separators=(",", ":"))
    return Row(received_ns, monotonic_ns, connection, route, kind.value, False, payload, text)


def batch_of(rows: list[Row]) -> pa.RecordBatch:
    """Pack rows into a record batch without the log's metadata; there is at least one."""
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RAW_CAPTURE_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW_CAPTURE_SCHEMA)


class RowBuffer:
    """Takes rows from one thread and gives them to another, up to a limit of memory.

    When it is full, messages are dropped and counted until half of it is free again; the next thing that it takes then
    is a `gap` row. Rows that the recorder writes by itself are never dropped: there are few of them.

    Args:
        limit_bytes: memory that waiting rows may take.

    Attributes:
        dropped: messages dropped since the start.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.dropped = 0
        self._limit_bytes = limit_bytes
        self._ready = threading.Condition()
        self._chunks: deque[list[Row]] = deque()
        self._filling: list[Row] = []
        self._filling_bytes = 0
        self._bytes = 0
        self._taken_bytes = 0
        """Bytes of the chunk that the writer has at present."""
        self._waiting = False
        self._closed = False
        self._drop_began_ns = 0
        self._dropped_now = 0

    @property
    def waiting_bytes(self) -> int:
        """Memory of rows that are not on the device, in bytes."""
        return self._bytes

    def put(self, row: Row) -> bool:
        """Take a row, or drop it if it is a message and there is no space.

        Args:
            row: the row.

        Returns:
            Whether messages have been dropped before this one since the last call that returned true: then a `gap` row
            has been put before this row.
        """
        resumed = False
        is_full = self._dropped_now > 0 or self._bytes > self._limit_bytes
        if is_full and row.kind == RowKind.MESSAGE:
            if self._bytes > self._limit_bytes // 2:
                self._drop(row)
                return False
            self._put(self._gap(row.received_time, row.monotonic_time))
            resumed = True
        self._put(row)
        return resumed

    def end_drop(self, received_ns: int, monotonic_ns: int, *, at_end: bool = False) -> bool:
        """Put the `gap` row of dropped messages although no message has come since; true if there was one to put.

        It waits until half of the space is free again, but not `at_end`, when no message comes any more.
        """
        if not self._dropped_now or (self._bytes > self._limit_bytes // 2 and not at_end):
            return False
        self._put(self._gap(received_ns, monotonic_ns))
        return True

    def take(self, timeout_s: float) -> list[Row]:
        """Return the rows that wait, oldest first, and count them as written when it is called again.

        Args:
            timeout_s: longest time to wait for a row, in seconds.

        Returns:
            At most some megabytes of rows; none if there were none in time, or if the buffer is closed and empty.
        """
        with self._ready:
            self._bytes -= self._taken_bytes
            self._taken_bytes = 0
            if not self._chunks and not self._filling and not self._closed:
                self._waiting = True
                self._ready.wait(timeout_s)
                self._waiting = False
            if self._chunks:
                taken = self._chunks.popleft()
            else:
                taken, self._filling, self._filling_bytes = self._filling, [], 0
            self._taken_bytes = sum(len(row.payload) + ROW_OVERHEAD_BYTES for row in taken)
            return taken

    def close(self) -> None:
        """Let the writer come to its end when it has taken everything."""
        with self._ready:
            self._closed = True
            self._ready.notify()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more will be put."""
        return self._closed

    def _put(self, row: Row) -> None:
        size = len(row.payload) + ROW_OVERHEAD_BYTES
        with self._ready:
            self._filling.append(row)
            self._filling_bytes += size
            self._bytes += size
            if self._filling_bytes > CHUNK_BYTES:
                self._chunks.append(self._filling)
                self._filling, self._filling_bytes = [], 0
            if self._waiting:
                self._ready.notify()

    def _drop(self, row: Row) -> None:
        if not self._dropped_now:
            self._drop_began_ns = row.monotonic_time
        self._dropped_now += 1
        self.dropped += 1

    def _gap(self, received_ns: int, monotonic_ns: int) -> Row:
        detail = {
            "why": "buffer_full",
            "streams": [],
            "from_monotonic_ns": self._drop_began_ns,
            "dropped": self._dropped_now,
        }
        self._dropped_now = 0
        return own_row(RowKind.GAP, received_ns, monotonic_ns, detail)
