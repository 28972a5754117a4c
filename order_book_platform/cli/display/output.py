"""What commands draw: tables and JSON on stdout, progress bars on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from order_book_platform.cli.display.live_terminal import LiveProgress

if TYPE_CHECKING:
    from order_book_platform import observability
    from order_book_platform.model import GateResult
    from order_book_platform.observability import StreamMetrics

REFRESHED_PER_SECOND = 5
"""As often as a stream tells of itself; to draw a board takes milliseconds of a core."""
PIPE_WIDTH = 140
"""Columns a table may take where nothing tells how wide the reader's window is: no terminal, and no COLUMNS."""


def stdout() -> Console:
    """Console for results."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Console for progress."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    console = Console(file=stream, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPE_WIDTH
    return console


def print_json(content: object) -> None:
    """One JSON document; NaN is refused, since it is not JSON."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=str))


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    right: Sequence[str] = (),
    whole: Sequence[str] = (),
) -> Table:
    """A plain table.

    Args:
        title: above it.
        columns: headings.
        rows: values; shown as text, markup in them stays as it is.
        right: headings of right-aligned columns.
        whole: headings of columns that are not broken into lines; together they have to fit.
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


def _cell(value: object) -> str:
    return value.markup if isinstance(value, Styled) else escape(str(value))


class Styled:
    """Text with a style; the only cells that carry markup.

    Args:
        text: shown as it is.
        style: a rich style such as `red`.
    """

    def __init__(self, text: str, style: str) -> None:
        self.markup = f"[{style}]{escape(text)}[/{style}]"


def verdict(passed: bool, severity: str) -> Styled:
    """`pass`, `FAIL` or `warn`, coloured."""
    if passed:
        return Styled("pass", "green")
    return Styled("FAIL", "bold red") if severity == "error" else Styled("warn", "yellow")


def gates_table(title: str, gates: Iterable[GateResult]) -> Table:
    """Figures against their gates."""
    from order_book_platform.model.gates import figure

    return table(
        title,
        ("gate", "value", "bar", "n", "result", "note"),
        (
            (g.name, figure(g.value, g.gate), g.gate, f"{g.n:,}", verdict(g.passed, g.severity), g.note)
            for g in gates
        ),
        right=("value", "n"),
    )


class StageBars:
    """Progress of a component as one bar per stage; satisfies `observability.Progress`.

    Args:
        progress: the live display.
        prefix: put before each stage's name.
    """

    def __init__(self, progress: Progress, prefix: str = "") -> None:
        self._progress = progress
        self._prefix = prefix
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
        """Move the stage's bar; total 0 means not known."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(f"{self._prefix}{stage}", total=None, rows="")
        self._progress.update(self._tasks[stage], completed=done, total=total or None, rows=f"{done:,}")


def live_progress(stream: TextIO | None = None) -> LiveProgress:
    """A live display; draws nothing where that is no terminal.

    Args:
        stream: where to; stderr if not given, and then what others write to it is printed above the display.
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
    """Bars for one component's run, gone when it ends."""
    with live_progress() as progress:
        yield StageBars(progress)
