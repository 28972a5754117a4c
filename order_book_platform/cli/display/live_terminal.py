"""A live display that keeps its place: other output on stderr is printed above it, line by line."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import Progress
from rich.segment import Segment
from rich.text import Text

LOG_FORMAT = "%(asctime)s %(levelname)s %(message)s"
LOG_TIME = "%H:%M:%S"
LAST_LINES_S = 2.0
"""Seconds that the last lines may take to arrive once nobody should write any more."""


@contextmanager
def kept_stderr() -> Iterator[TextIO]:
    """Keep the present stderr open for the length of the block, to draw on it.

    While an asset runs, Dagster redirects file descriptor 2 into the run's compute log; bars drawn there would reach
    the terminal late and fill the log.
    """
    try:
        descriptor = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # a stream without a descriptor is not redirected
        yield sys.stderr
        return
    with open(descriptor, "w", encoding="utf-8", buffering=1) as stream:  # noqa: PTH123 - no path
        yield stream


@contextmanager
def lines_above(console: Console) -> Iterator[None]:
    """Print whatever reaches file descriptor 2 on the console, above its live display; without a terminal do nothing.

    That is the log of this package from level INFO on, the lines that Dagster copies there from the compute log,
    warnings, and messages of libraries in C. Written straight to the terminal they would tear the display.

    Args:
        console: Draws on the stream that `kept_stderr` gave.
    """
    if not console.is_terminal:
        yield
        return
    kept = os.dup(2)
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    printer = threading.Thread(target=_print_lines, args=(reading, console), name="stderr", daemon=True)
    printer.start()
    try:
        with _log_on_stderr():
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)  # closes our end; the printer ends when nobody else has one
        os.close(kept)
        printer.join(LAST_LINES_S)


def _print_lines(descriptor: int, console: Console) -> None:
    """Print each line that arrives at a file descriptor, until its other end is closed."""
    with open(descriptor, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            # If the terminal is gone, go on reading: the writers would otherwise wait for ever.
            with suppress(OSError):
                console.print(Text(line.rstrip("\n")), soft_wrap=True)


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Write this package's log to file descriptor 2 from level INFO on; otherwise it shows warnings only."""
    log = logging.getLogger("order_book_platform")
    before = log.level
    # The descriptor, not sys.stderr: while an asset runs, it leads into the run's compute log.
    with open(2, "w", encoding="utf-8", buffering=1, closefd=False) as stderr:
        handler = logging.StreamHandler(stderr)
        handler.setFormatter(logging.Formatter(LOG_FORMAT, LOG_TIME))
        log.setLevel(logging.INFO)
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.setLevel(before)


class LiveProgress(Progress):
    """Progress bars, below one of which something else may be shown."""

    inset: tuple[int, RenderableType] | None = None
    """Number of lines above the inset, and the inset itself; None where there is none."""

    def get_renderables(self) -> Iterator[RenderableType]:
        """Give the bars with the inset between them."""
        bars = self.make_tasks_table(self.tasks)
        yield bars if self.inset is None else _Inserted(bars, *self.inset)


class _Inserted:
    """A renderable with another one between two of its lines, if the terminal is high enough for both.

    Args:
        around: Renderable that is drawn around the inset.
        row: Number of its lines above the inset.
        inset: Renderable between the lines.
    """

    def __init__(self, around: RenderableType, row: int, inset: RenderableType) -> None:
        self._around = around
        self._row = row
        self._inset = inset

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines: Sequence[list[Segment]] = console.render_lines(self._around, options, pad=False)
        inset = console.render_lines(self._inset, options, pad=False)
        if len(lines) + len(inset) < console.height:  # one line is the cursor's
            lines = [*lines[: self._row], *inset, *lines[self._row :]]
        for line in lines:
            yield from line
            yield Segment.line()
