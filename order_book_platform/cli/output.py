"""Tables and JSON on stdout, progress bars on stderr, and pages that commands write.

A live display keeps its place: other output on stderr is printed above it, line by line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from order_book_platform.errors import SettingsError

if TYPE_CHECKING:
    from order_book_platform import observability
    from order_book_platform.model import GateResult
    from order_book_platform.observability import StreamMetrics

REFRESHED_PER_SECOND = 5
"""Redraws of a live display, as often as a stream reports; each takes some milliseconds of a core."""
PIPE_WIDTH = 140
"""Columns a table may take where nothing tells how wide the reader's window is: no terminal, and no COLUMNS."""
VERDICT_STYLES = {
    "go": "bold green",
    "no-go": "bold red",
    "damaged": "bold red",
    "missing": "dim",
    "not faithful": "bold red",
    "unreadable": "bold red",
}
"""Style of each verdict about a day that is not shown like a warning."""


def stdout() -> Console:
    """Give the console for results."""
    return live_console(sys.stdout)


def stderr() -> Console:
    """Give the console for progress and messages."""
    return live_console(sys.stderr)


def live_console(stream: TextIO) -> Console:
    """Give the console for a stream, such as one that `kept_stderr` gave."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def print_json(content: object) -> None:
    """Print one JSON document on stdout; NaN is refused, since it is not JSON."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=str))


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> Table:
    """Make a plain table of values, shown as text without markup; a `Text` keeps its style.

    Columns with the headings `whole` are not broken into lines; together they have to fit.
    """
    # The table is as wide as its title, where the window is: rich would break the title at the width of the columns.
    drawn = Table(
        title=Text(title, "bold"),
        title_justify="left",
        header_style="bold",
        box=None,
        min_width=cell_len(title),
    )
    for column in columns:
        drawn.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in whole,
        )
    for row in rows:
        drawn.add_row(*(value if isinstance(value, Text) else Text(str(value)) for value in row))
    return drawn


def write_page(path: Path, content: str) -> None:
    """Write a page or drawing that the user asked for with `--out`; a file that refuses it is a `SettingsError`."""
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error.strerror or str(error)) from error


def unwritable(path: Path, found: str) -> SettingsError:
    """Make the error about a file of `--out` that cannot be written."""
    return SettingsError(
        expected="a file that can be written",
        found=found,
        where=str(path),
        remedy="Choose another file with --out.",
    )


def styled_verdict(text: str, otherwise: str = "bold yellow") -> Text:
    """Style the verdict about a day; one that `VERDICT_STYLES` does not list gets the style `otherwise`."""
    return Text(text, VERDICT_STYLES.get(text, otherwise))


def styled_outcome(passed: bool, severity: str) -> Text:
    """Style the outcome of a gate or rule: `pass`, `FAIL` or `warn`."""
    if passed:
        return Text("pass", "green")
    return Text("FAIL", "bold red") if severity == "error" else Text("warn", "yellow")


def gates_table(title: str, gates: Iterable[GateResult]) -> Table:
    """Make a table of figures against their gates."""
    from order_book_platform.model.gates import figure

    rows = []
    for g in gates:
        outcome = styled_outcome(g.passed, g.severity)
        rows.append((g.name, figure(g.value, g.gate), g.gate, f"{g.n:,}", outcome, g.note))
    return table(title, ("gate", "value", "bar", "n", "result", "note"), rows, right=("value", "n"))


class StageBars:
    """Progress of a component as one bar per stage on a live display; satisfies `observability.Progress`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
        """Move the stage's bar; a total of 0 means that it is not known."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=None, rows="")
        self._progress.update(self._tasks[stage], completed=done, total=total or None, rows=f"{done:,}")


def live_progress(stream: TextIO | None = None) -> LiveProgress:
    """Make a live display, which draws nothing where the stream is no terminal.

    Without a stream it draws on stderr, and what others write there is printed above the display.
    """
    console = live_console(stream or sys.stderr)
    return LiveProgress(
        SpinnerColumn(finished_text=" "),
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[rows]}", justify="right"),
        TimeElapsedColumn(),
        console=console,
        refresh_per_second=REFRESHED_PER_SECOND,
        disable=not console.is_terminal,
        transient=True,
        redirect_stderr=stream is None,
    )


@contextmanager
def progress_bars() -> Iterator[observability.Progress]:
    """Show bars for one component's run; they are gone when it ends."""
    with live_progress() as progress:
        yield StageBars(progress)


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
    warnings, and messages of libraries in C. Written straight to the terminal they would tear the display. The console
    draws on the stream that `kept_stderr` gave.
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


@dataclass(frozen=True, slots=True)
class _Inserted:
    """A renderable with another one below its line number `row`, if the terminal is high enough for both."""

    around: RenderableType
    row: int
    inset: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines: Sequence[list[Segment]] = console.render_lines(self.around, options, pad=False)
        inset = console.render_lines(self.inset, options, pad=False)
        if len(lines) + len(inset) < console.height:  # one line is the cursor's
            lines = [*lines[: self.row], *inset, *lines[self.row :]]
        for line in lines:
            yield from line
            yield Segment.line()
