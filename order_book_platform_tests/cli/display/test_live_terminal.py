"""A live display, and what others write meanwhile."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import TextColumn
from rich.text import Text

from order_book_platform.cli.display.live_terminal import LiveProgress, kept_stderr, lines_above


def terminal(width: int = 60, height: int = 10) -> Console:
    """A console that takes itself for a terminal."""
    return Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)


def written(console: Console) -> str:
    """All that reached it."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_lines_go_above_the_display(capfd: pytest.CaptureFixture[str]) -> None:
    """The log from INFO on, and whatever else reaches the descriptor: line by line on the console, in order."""
    console, log = terminal(), logging.getLogger("order_book_platform.trial")
    with lines_above(console):
        log.debug("too much")
        log.info("memory: none -> smaller_batches at %d %%", 71)
        os.write(2, b"not text: \xff\n")
        log.warning("markup [red]is text[/red]")
        os.write(2, b"the last, without an end")
    lines = written(console).splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == [
        "INFO memory: none -> smaller_batches at 71 %",
        "text: \ufffd",
        "WARNING markup [red]is text[/red]",
        "last, without an end",
    ]
    assert not capfd.readouterr().err


def test_afterwards_all_is_as_before(capfd: pytest.CaptureFixture[str]) -> None:
    """Stderr is stderr again and the log has its level and handlers, also after an error."""
    log = logging.getLogger("order_book_platform")
    before = log.level, list(log.handlers)
    with pytest.raises(KeyboardInterrupt), lines_above(terminal()):
        raise KeyboardInterrupt
    os.write(2, b"back\n")
    assert (log.level, log.handlers) == before
    assert capfd.readouterr().err == "back\n"


def test_off_a_terminal_nothing_changes(capfd: pytest.CaptureFixture[str]) -> None:
    """A pipe gets what it always got."""
    console = Console(file=io.StringIO())
    with lines_above(console):
        os.write(2, b"straight\n")
        logging.getLogger("order_book_platform.trial").info("unheard")
    assert not written(console)
    assert capfd.readouterr().err == "straight\n"


def test_stderr_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Who draws goes on drawing where stderr was, wherever it is sent meanwhile."""
    other = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    with kept_stderr() as stream:
        before = os.dup(2)
        os.dup2(other, 2)
        print("drawn", file=stream)
        os.write(2, b"logged\n")
        os.dup2(before, 2)
        os.close(before)
    os.close(other)
    assert capfd.readouterr().err == "drawn\n"
    assert (tmp_path / "log").read_text() == "logged\n"


def test_stderr_without_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody redirects it."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with kept_stderr() as stream:
        assert stream is sys.stderr


@pytest.mark.parametrize(
    ("height", "shown"),
    [(6, ["one", "first", "second", "two", "three"]), (5, ["one", "two", "three"])],
)
def test_an_inset_stands_below_its_line(height: int, shown: list[str]) -> None:
    """Between the bars, if the terminal is high enough for all of it; else the bars alone."""
    console = terminal(height=height)
    progress = LiveProgress(TextColumn("{task.description}"), console=console)
    for name in ("one", "two", "three"):
        progress.add_task(name)
    progress.inset = 1, Text("first\nsecond")
    console.print(progress.get_renderable(), end="")
    assert [line.strip() for line in written(console).splitlines()] == shown
