"""The bounded buffer: what it takes, what it drops, and the gap that it records."""

from __future__ import annotations

import json
import threading

from order_book_platform.capture.row_buffer import (
    CHUNK_BYTES,
    ROW_OVERHEAD_BYTES,
    Row,
    RowBuffer,
    batch_of,
    own_row,
)
from order_book_platform.datasets.raw_capture import RAW_CAPTURE_SCHEMA, RowKind

SIZE = 1000


def message(at_ns: int) -> Row:
    """A message with a payload that makes it SIZE bytes."""
    return Row(at_ns, at_ns, 1, "public", "message", False, bytes(SIZE - ROW_OVERHEAD_BYTES), None)


def test_rows_come_out_as_they_went_in() -> None:
    """In order, in chunks of bounded size; memory is free again once the next ones are asked for."""
    buffer = RowBuffer(10**9)
    rows = [message(at) for at in range(2 * CHUNK_BYTES // SIZE + 10)]
    for row in rows:
        assert not buffer.put(row)
    taken = []
    while chunk := buffer.take(0):
        assert len(chunk) * SIZE <= CHUNK_BYTES + SIZE
        taken += chunk
    assert taken == rows
    assert buffer.waiting_bytes == 0


def test_what_does_not_fit_is_a_gap() -> None:
    """Messages are dropped until half is free; the gap comes before the next one, and says how many and since when."""
    buffer = RowBuffer(10 * SIZE)
    for at in range(20):
        assert not buffer.put(message(at))
    assert buffer.dropped == 9
    own = own_row(RowKind.CLOSE, 20, 20, {"by": "network"}, connection=1)
    assert not buffer.put(own)
    assert [row.kind for row in buffer.take(0)] == ["message"] * 11 + ["close"]
    assert not buffer.put(message(21))  # the writer still has what it took
    assert buffer.take(0) == []
    assert buffer.put(message(22))
    gap, after = buffer.take(0)
    assert json.loads(gap.detail or "") == {
        "why": "buffer_full",
        "streams": [],
        "from_monotonic_ns": 11,
        "dropped": 10,
    }
    assert (gap.kind, after.monotonic_time) == ("gap", 22)
    assert not buffer.end_drop(23, 23)


def test_a_gap_is_written_without_a_next_message() -> None:
    """Where everything has fallen silent, the gap of what was dropped is recorded all the same."""
    buffer = RowBuffer(SIZE)
    for at in range(4):
        buffer.put(message(at))
    assert not buffer.end_drop(5, 5)
    buffer.take(0)
    buffer.take(0)
    assert buffer.end_drop(6, 6)
    assert [row.kind for row in buffer.take(0)] == ["gap"]


def test_the_end_waits_for_no_free_space() -> None:
    """What was dropped is told at the end, also where the rows before it still wait."""
    buffer = RowBuffer(SIZE)
    for at in range(40):
        buffer.put(message(at))
    assert buffer.dropped
    assert not buffer.end_drop(41, 41)
    assert buffer.end_drop(41, 41, at_end=True)
    assert not buffer.end_drop(42, 42, at_end=True)
    assert [row.kind for row in buffer.take(0)][-1] == "gap"


def test_a_waiting_writer_is_woken() -> None:
    """By a row, and by the end."""
    buffer = RowBuffer(10**6)
    taken: list[list[Row]] = []
    thread = threading.Thread(target=lambda: taken.append(buffer.take(60)))
    thread.start()
    buffer.put(message(1))
    thread.join(30)
    assert taken == [[message(1)]]
    thread = threading.Thread(target=lambda: taken.append(buffer.take(60)))
    thread.start()
    buffer.close()
    thread.join(30)
    assert taken[1] == []
    assert buffer.is_closed


def test_a_batch_has_the_columns_of_the_log() -> None:
    """Each row gives its values back."""
    rows = [message(1), own_row(RowKind.REST, 2, 3, {"status": 200}, route="/depth", payload=b"{}")]
    batch = batch_of(rows)
    assert batch.schema.equals(RAW_CAPTURE_SCHEMA)
    assert [tuple(row.values()) for row in batch.to_pylist()] == [tuple(row) for row in rows]
