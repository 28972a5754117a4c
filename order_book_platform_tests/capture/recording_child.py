"""A capture in a process of its own that is killed: it says what it has appended and synced, line by line.

`python -m order_book_platform_tests.capture.recording_child ROOT MARKET SYMBOLS WS REST KEY_FILE`
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa

from order_book_platform.capture import LiveCapture
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.storage import LogWriter
from order_book_platform.storage.master_keys import load_master_keys

PLAIN_APPEND, PLAIN_SYNC = LogWriter.append, LogWriter.sync


def say(*words: object) -> None:
    """Write a line that the parent has even if this process dies now."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def append(self: LogWriter, batch: pa.RecordBatch, *, whole: bool = False) -> int:
    """Append, and say how many rows the log has then."""
    row = PLAIN_APPEND(self, batch, whole=whole)
    say("appended", self.next_row)
    return row


def sync(self: LogWriter) -> None:
    """Sync, and say which rows are on the device, and how much of the open segment."""
    PLAIN_SYNC(self)
    if self._open is not None:
        say("synced", self.synced_row, self._open.size, self._open.path.name)


def main() -> None:
    """Record until killed."""
    root, market, symbols, ws_url, rest_url, keys = sys.argv[1:]
    LogWriter.append, LogWriter.sync = append, sync  # type: ignore[method-assign]
    capture = LiveCapture(
        CaptureSettings(clock_source="none", segment=1_000_000),
        Path(root),
        MARKETS[market],
        symbols.split(","),
        ws_url=ws_url,
        rest_url=rest_url,
        keys=load_master_keys(Path(keys)),
    )
    say("opened", capture._writer._log.next_row)
    capture.run(lambda: sys.stdin.closed)


if __name__ == "__main__":
    main()
