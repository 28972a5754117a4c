"""Tables and JSON on stdout, progress bars on stderr, and pages that commands write."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from order_book_platform.cli.display.live_terminal import LiveProgress
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
    return _console(sys.stdout)


def stderr() -> Console:
    """Give the console for progress and messages."""
    return _console(sys.stderr)


def live_console(stream: TextIO) -> Console:
    """Give the console for a live display on a stream that `kept_stderr` gave."""
    return _console(stream)


def _console(stream: TextIO) -> Console:
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
    """Make a plain table.

    Args:
        title: Line above the table.
        columns: Headings.
        rows: Values, shown as text; only those that are `Styled` carry markup.
        right: Headings of right-aligned columns.
        whole: Headings of columns that are not broken into lines; together they have to fit.
    """
    drawn = Table(
        title=escape(title), title_justify="left", title_style="bold", header_style="bold", box=None
    )
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        drawn.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    return drawn


def write_page(path: Path, content: str) -> None:
    """Write a page or drawing that the user asked for with `--out`.

    Raises:
        SettingsError: The file cannot be written.
    """
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


def _cell(value: object) -> str:
    return value.markup if isinstance(value, Styled) else escape(str(value))


class Styled:
    """Text with a style; no other cell of a table carries markup.

    Args:
        text: Shown as it is.
        style: A rich style such as `red`.
    """

    def __init__(self, text: str, style: str) -> None:
        self.markup = f"[{style}]{escape(text)}[/{style}]"


def styled_verdict(text: str, otherwise: str = "bold yellow") -> Styled:
    """Style the verdict about a day; one that `VERDICT_STYLES` does not list gets the style `otherwise`."""
    return Styled(text, VERDICT_STYLES.get(text, otherwise))


def styled_outcome(passed: bool, severity: str) -> Styled:
    """Style the outcome of a gate or rule: `pass`, `FAIL` or `warn`."""
    if passed:
        return Styled("pass", "green")
    return Styled("FAIL", "bold red") if severity == "error" else Styled("warn", "yellow")


def gates_table(title: str, gates: Iterable[GateResult]) -> Table:
    """Make a table of figures against their gates."""
    from order_book_platform.model.gates import figure

    return table(
        title,
        ("gate", "value", "bar", "n", "result", "note"),
        (
            (
                g.name,
                figure(g.value, g.gate),
                g.gate,
                f"{g.n:,}",
                styled_outcome(g.passed, g.severity),
                g.note,
            )
            for g in gates
        ),
        right=("value", "n"),
    )


class StageBars:
    """Progress of a component as one bar per stage; satisfies `observability.Progress`.

    Args:
        progress: Live display that the bars are drawn on.
    """

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

    Args:
        stream: Stream to draw on; without one stderr, and then what others write there is printed above the display.
    """
    console = _console(stream or sys.stderr)
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
