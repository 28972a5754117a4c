"""The end of a raw log: which connections its last process has left open, and the number of the next one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.storage import LogReader
from order_book_platform.storage.log.segments import first_rows
from order_book_platform.storage.master_keys import MasterKeys

_OWN = pa.array([kind.value for kind in (RowKind.CONNECT, RowKind.CLOSE, RowKind.GAP)])


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of a raw log.

    Attributes:
        next_connection: number of the next connection.
        left_open: connections without a `close` behind them: their process was killed.
        last_monotonic_ns: monotonic time of the last row, ns; 0 for an empty log.
    """

    next_connection: int
    left_open: tuple[int, ...]
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
    all_closed = False
    for first_row in reversed(first_rows(folder) if folder.is_dir() else []):
        connected = False
        here: set[int] = set()
        killed = False
        for batch in LogReader(folder, keys).read(first_row):
            if end is not None and batch.first_row >= end:
                break
            rows = batch.batch
            if end is None:
                last_ns = rows["monotonic_time"][-1].as_py()
            for number, kind, detail in _events(rows):
                connected |= kind == RowKind.CONNECT
                if kind == RowKind.CLOSE:
                    closed.add(number)
                elif kind == RowKind.GAP and '"why":"killed"' in (detail or ""):
                    here, killed = set(), True  # it is the end of every connection before it
                here.add(number)
                numbers.add(number)
        if not all_closed:
            live |= here
        all_closed |= killed
        end = first_row
        if connected:
            break
    return LogEnd(max(numbers, default=0) + 1, tuple(sorted(live - closed - {0})), last_ns)


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
