"""How much memory assets take beyond what a process has anyway: a process of its own, to be measured from its start.

A short day comes first, so that loops are compiled or loaded and libraries are warm; the peak of the long one is told.

Run: `python -m order_book_platform_tests.memory_of SHORT_SETTINGS LONG_SETTINGS SLOW ASSET…`; SLOW is `apply`, `write`
or `nothing`: the stage of the books that begins late, so that every queue before it is full by then.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.day import COMPONENTS, forget_peak, peak_bytes
from order_book_platform.model import PartitionKey
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.reconstruct.day.day_replay import DayReplay
from order_book_platform.settings import Settings, load_settings
from order_book_platform.storage import DataStore
from order_book_platform.streaming.pressure import release_free_memory

KEY = PartitionKey.parse("SIMULATED:BTC-USDT-PERP", "2024-08-08")
LATE_S = 3.0


def begins_late(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same call, but the first time it takes a while."""
    begun: list[float] = []

    def late(*arguments: Any) -> Any:
        if not begun:
            begun.append(time.monotonic())
            time.sleep(LATE_S)
        return call(*arguments)

    return late


def run(settings: Settings, assets: list[str]) -> dict[str, int]:
    """Build assets; the peak of each, in bytes."""
    peaks = {}
    for name in assets:
        release_free_memory()
        forget_peak()
        COMPONENTS[name](DataStore(settings.data_root), settings).run(KEY)
        peaks[name] = peak_bytes() or 0
    return peaks


def main() -> None:
    """Measure and print."""
    short, long = (load_settings(Path(path)) for path in sys.argv[1:3])
    slow, *assets = sys.argv[3:]
    run(short, list(COMPONENTS))
    release_free_memory()
    forget_peak()
    before = peak_bytes() or 0
    if slow == "apply":
        DayReplay.apply = begins_late(DayReplay.apply)  # type: ignore[method-assign]
    elif slow == "write":
        BookWriter.write = begins_late(BookWriter.write)  # type: ignore[method-assign]
    sys.stdout.write(json.dumps({"before": before, "peaks": run(long, assets)}))


if __name__ == "__main__":
    main()
