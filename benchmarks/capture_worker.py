"""A process that records from an exchange until its stdin ends, then prints its figures, for `benchmarks.capture`.

A line `recording` goes before them as soon as messages arrive, however long the process took to start.

It is `LiveCapture` as `obp capture` runs it, and it can hang the disk: for some seconds every fsync of the process
waits, and returns only then. Rows that are written meanwhile are in no synced frame, so that the buffer fills.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import threading
import time
from pathlib import Path

import numpy as np

from order_book_platform.capture import LiveCapture
from order_book_platform.observability import CaptureMetrics
from order_book_platform.settings import CaptureSettings
from order_book_platform.sources.binance.market import MARKETS
from order_book_platform.storage.master_keys import load_master_keys

PERCENTILES = (50, 95, 99, 99.9)
RECORDING = "recording"
"""Line on stdout once messages arrive; a disk that is to hang does so a while after it."""


def hang_disk(begin: float, seconds: float) -> None:
    """Let every fsync wait until the hang is over that begins at a monotonic time, in seconds."""
    plain, end = os.fsync, begin + seconds

    def fsync(descriptor: int) -> None:
        now = time.monotonic()
        if begin <= now < end:
            time.sleep(end - now)
        plain(descriptor)

    os.fsync = fsync  # type: ignore[assignment]


def main() -> None:
    """Record until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--ws-url", required=True)
    parser.add_argument("--rest-url", required=True)
    parser.add_argument("--ca-file")
    parser.add_argument("--market", default="usdm")
    parser.add_argument("--symbols", required=True)
    parser.add_argument("--segment", type=int, default=100_000_000)
    parser.add_argument("--key-file", type=Path)
    parser.add_argument("--stall", type=float, nargs=2, metavar=("AFTER", "SECONDS"))
    chosen = parser.parse_args()
    settings = CaptureSettings(clock_source="none", segment=chosen.segment)
    tls = ssl.create_default_context(cafile=chosen.ca_file) if chosen.ca_file else None
    capture = LiveCapture(
        settings,
        chosen.root,
        MARKETS[chosen.market],
        chosen.symbols.split(","),
        ws_url=chosen.ws_url,
        rest_url=chosen.rest_url,
        tls=tls,
        keys=load_master_keys(chosen.key_file),
    )
    stopped = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    fullest, recording = 0, False

    def observe(metrics: CaptureMetrics) -> None:
        nonlocal fullest, recording
        fullest = max(fullest, metrics.buffer_bytes)
        if not recording and metrics.messages:
            recording = True
            if chosen.stall:
                after, seconds = chosen.stall
                hang_disk(time.monotonic() + after, seconds)
            print(RECORDING, flush=True)

    found = capture.run(stopped.is_set, observe=observe)
    ends_s, counts = np.array(found.durable_buckets).T
    at = np.searchsorted(counts, np.ceil(counts[-1] * np.array(PERCENTILES) / 100))
    figures = {
        "durable_ns": np.minimum(ends_s[at] * 1e9, found.durable_max_ns).tolist(),
        "durable_max_ns": found.durable_max_ns,
        "messages": found.messages,
        "running_s": found.running_ns / 1e9,
        "rows": found.rows,
        "dropped": found.dropped,
        "payload_bytes": found.payload_bytes,
        "fullest_bytes": fullest,
        "folder": str(capture.folder),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
