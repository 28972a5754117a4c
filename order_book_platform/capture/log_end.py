"""The end of a raw log: which connections its last process has left open, and the number of the next one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.storage import LogReader
from order_book_platform.storage.log.segments import first_rows
from order_book_platform.storage.master_keys import MasterKeys

_OWN = pa.array([kind.value for kind in (RowKind.RULES, RowKind.CONNECT, RowKind.CLOSE, RowKind.GAP)])


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of a raw log.

    Attributes:
        next_connection: number of the next connection.
        was_killed: whether the last process did not end in order: connections have no `close` behind them, the last
            one was lost and nobody had recorded yet what that cost, or there is none yet behind the rules.
        last_monotonic_ns: monotonic time of the last row, ns; 0 for an empty log.
    """

    next_connection: int
    was_killed: bool
    last_monotonic_ns: int


def read_log_end(folder: Path, keys: MasterKeys | None = None) -> LogEnd:
    """Read a raw log from its end back to the newest segment in which a connection was opened.

    Numbers of connections ascend, and a connection lives a day at most, so little is read.

    Args:
        folder: folder of the log; it may be empty or absent.
        keys: master keys of an encrypted log.
    """
    numbers: set[int] = set()
    live: set[int] = set()
    closed: set[int] = set()
    last_ns = 0
    end: int | None = None
    is_settled: bool | None = None
    all_closed = False
    for first_row in reversed(first_rows(folder) if folder.is_dir() else []):
        connected = False
        here: set[int] = set()
        killed = False
        settled_here: bool | None = None
        for batch in LogReader(folder, keys).read(first_row):
            if end is not None and batch.first_row >= end:
                break
            rows = batch.batch
            if end is None:
                last_ns = rows["monotonic_time"][-1].as_py()
            for number, kind, detail in _events(rows):
                connected |= kind == RowKind.CONNECT
                if kind != RowKind.MESSAGE:
                    settled_here = _settles(kind, json.loads(detail or "{}"))
                if kind == RowKind.CLOSE:
                    closed.add(number)
                elif kind == RowKind.GAP and '"why":"killed"' in (detail or ""):
                    here, killed = set(), True  # it is the end of every connection before it
                here.add(number)
                numbers.add(number)
        if not all_closed:
            live |= here
        is_settled = settled_here if is_settled is None else is_settled
        all_closed |= killed
        end = first_row
        if connected:
            break
    was_killed = bool(live - closed - {0}) or is_settled is False
    return LogEnd(max(numbers, default=0) + 1, was_killed, last_ns)


def _settles(kind: str, detail: Mapping[str, Any]) -> bool:
    """Say whether a process that left nothing behind this row, and no connection open, may have ended in order.

    A connection that was lost and not yet replaced has nothing that says which messages that cost: the `gap` of a
    stream follows when it goes on, or when the process ends in order. Behind rules connections are opened, whose rows
    the death of the machine may have taken.
    """
    if kind == RowKind.CLOSE:
        return detail.get("by") == "recorder"
    return kind == RowKind.GAP and detail.get("why") in ("killed", "disconnected")


def _events(rows: pa.RecordBatch) -> Iterator[tuple[int, str, str | None]]:
    """Give connection, kind and detail of the recorder's own rows, and the first message of each connection."""
    messages = rows.filter(pc.equal(rows["kind"], RowKind.MESSAGE.value))
    own = rows.filter(pc.is_in(rows["kind"], _OWN))
    # A frame begins with what the process before left behind, so a `killed` gap comes before its messages.
    yield from zip(
        own["connection"].to_pylist(), own["kind"].to_pylist(), own["detail"].to_pylist(), strict=True
    )
    for number in pc.unique(messages["connection"]).to_pylist():
        yield number, RowKind.MESSAGE, None
