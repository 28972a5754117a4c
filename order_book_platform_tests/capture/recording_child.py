"""A capture in a process of its own that is killed: it says what it has appended and synced, line by line.

`python -m order_book_platform_tests.capture.recording_child ROOT MARKET SYMBOLS WS REST KEY_FILE WITNESS`

The file WITNESS is mapped into memory, so that what stands there survives the process; see `Witness`.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from order_book_platform.capture import LiveCapture
from order_book_platform.capture.row_buffer import Row, RowBuffer
from order_book_platform.datasets.raw_capture import RowKind
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.storage import LogWriter
from order_book_platform.storage.log import log_writer
from order_book_platform.storage.master_keys import load_master_keys

PLAIN_APPEND, PLAIN_PUT = LogWriter.append, RowBuffer.put
PLAIN_SYNC = log_writer._OpenFile.sync
WORD = struct.Struct("q")


class Witness(NamedTuple):
    """What a capture had done when it was killed; times by the monotonic clock, ns, 0 for none.

    Attributes:
        first_ns: arrival of its first row, of whichever kind.
        newest_ns: arrival of its newest message, appended or not.
        synced_ns: time that the last complete sync of a segment took.
        syncing_ns: beginning of the sync that had not returned.
    """

    first_ns: int
    newest_ns: int
    synced_ns: int
    syncing_ns: int

    @classmethod
    def read(cls, path: Path) -> Witness:
        """Read the file of a process that has ended."""
        return cls(*struct.unpack("4q", path.read_bytes()))


def say(*words: object) -> None:
    """Write a line that the parent has even if this process dies now."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def append(self: LogWriter, batch: pa.RecordBatch, *, whole: bool = False) -> int:
    """Append, and say how many rows the log has then."""
    row = PLAIN_APPEND(self, batch, whole=whole)
    say("appended", self.next_row)
    return row


def observe(witness: mmap.mmap) -> None:
    """Let the classes of a capture note what they do."""

    def note(field: str, value: int) -> None:
        WORD.pack_into(witness, WORD.size * Witness._fields.index(field), value)

    def put(self: RowBuffer, row: Row) -> bool:
        if not any(witness[: WORD.size]):
            note("first_ns", row.monotonic_time)
        if row.kind == RowKind.MESSAGE:
            note("newest_ns", row.monotonic_time)
        return PLAIN_PUT(self, row)

    def sync(self: log_writer._OpenFile) -> None:
        began_ns = time.monotonic_ns()
        note("syncing_ns", began_ns)
        PLAIN_SYNC(self)
        note("synced_ns", time.monotonic_ns() - began_ns)
        note("syncing_ns", 0)
        say("synced", self.size, self.path.name)  # before anything else is written that stands on it

    LogWriter.append, RowBuffer.put = append, put  # type: ignore[method-assign]
    log_writer._OpenFile.sync = sync  # type: ignore[method-assign]


def main() -> None:
    """Record until killed."""
    root, market, symbols, ws_url, rest_url, keys, witness = sys.argv[1:]
    with Path(witness).open("r+b") as file:
        observe(mmap.mmap(file.fileno(), 0))
    capture = LiveCapture(
        CaptureSettings(clock_source="none", segment=1_000_000),
        Path(root),
        MARKETS[market],
        symbols.split(","),
        ws_url=ws_url,
        rest_url=rest_url,
        keys=load_master_keys(Path(keys)),
    )
    log = capture._writer._log
    segment = log._open
    say("opened", log.next_row)
    say(
        "synced",
        *(("0", f"{log.next_row:020d}.log") if segment is None else (segment.size, segment.path.name)),
    )
    capture.run(lambda: False)


if __name__ == "__main__":
    main()
