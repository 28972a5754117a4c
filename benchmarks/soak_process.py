"""`obp capture` in a process that writes down what it holds, for `benchmarks.soak`.

The command is the one that people run, with its figures, its exporter and its log lines. Beside them each observation,
about one a second and made in the event loop, appends a line of JSON to a file.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import IO, Any

import psutil

from order_book_platform.capture import LiveCapture
from order_book_platform.cli import main as obp
from order_book_platform.observability import CaptureMetrics


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process holds at one moment.

    Attributes:
        time_s: monotonic time, s.
        memory_bytes: resident memory.
        descriptors: open file descriptors.
        tasks: tasks of the event loop that have not ended.
        threads: threads of Python.
        blocks: blocks of memory that Python has handed out, garbage that was not collected yet included.
        messages: messages received since the start.
    """

    time_s: float
    memory_bytes: int
    descriptors: int
    tasks: int
    threads: int
    blocks: int
    messages: int


def watched(file: IO[str], run: Callable[..., CaptureMetrics]) -> Callable[..., CaptureMetrics]:
    """Give `LiveCapture.run` with a sample at each observation."""
    process = psutil.Process()

    def sample(metrics: CaptureMetrics) -> None:
        found = Sample(
            time.monotonic(),
            process.memory_info().rss,
            process.num_fds(),
            len(asyncio.all_tasks()),
            threading.active_count(),
            sys.getallocatedblocks(),
            metrics.messages,
        )
        file.write(json.dumps(asdict(found)) + "\n")
        file.flush()

    def run_watched(
        capture: LiveCapture, *arguments: Any, observe: Callable[[CaptureMetrics], None], **more: Any
    ) -> CaptureMetrics:
        def both(metrics: CaptureMetrics) -> None:
            sample(metrics)
            observe(metrics)

        return run(capture, *arguments, observe=both, **more)

    return run_watched


if __name__ == "__main__":
    with open(sys.argv.pop(1), "w", encoding="utf-8") as samples:  # noqa: PTH123
        LiveCapture.run = watched(samples, LiveCapture.run)  # type: ignore[method-assign]
        obp()
