"""Tables, JSON and progress as they reach a terminal or a pipe."""

from __future__ import annotations

import io
import logging
import os
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.text import Text

from order_book_platform.cli.output import (
    LiveProgress,
    StageBars,
    gates_table,
    kept_stderr,
    lines_above,
    print_json,
    styled_outcome,
    styled_verdict,
    table,
    unwritable,
    write_page,
)
from order_book_platform.errors import SettingsError
from order_book_platform.model import Gate, GateResult, Severity
from order_book_platform.model.gates import figure


def drawn(renderable: object, width: int = 120) -> str:
    """What a console of that width shows."""
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_values_are_not_read_as_markup() -> None:
    """Brackets in a path or a note are shown, not taken for styles."""
    assert "[red]x[/red]" in drawn(table("[t]", ("a",), [("[red]x[/red]",)]))
    assert "[red]" not in drawn(table("t", ("a",), [(Text("x", "red"),)]))


def test_whole_columns_are_not_broken() -> None:
    """In a narrow window the other columns give way."""
    rows = [("origin_coverage", "a meaning of many words that does not fit")]
    assert "origin_coverage" in drawn(table("t", ("rule", "meaning"), rows, whole=("rule",)), 28)
    assert "origin_coverage" not in drawn(table("t", ("rule", "meaning"), rows), 14)


def test_a_title_wider_than_its_columns_is_not_broken() -> None:
    """A table without rows, too, has its title in one line; a window that is too narrow breaks it, and cuts nothing."""
    title = "usdm: decoded to row 0"
    assert title in drawn(table(title, ("", "count"), []))
    assert drawn(table(title, ("", "count"), []), 12).split() == [*title.split(), "count"]


def test_gates_show_value_bar_and_result() -> None:
    """A gate's line has its figure, bar, observations and verdict; what was not measured is a dash."""
    gates = [
        GateResult.of("good", 0.99951, Gate(">=", 0.999), n=12345, note="why"),
        GateResult.of("bad", None, Gate("<=", 1, Severity.WARN), n=0),
    ]
    lines = drawn(gates_table("Gates", gates)).splitlines()
    assert lines[2].split() == ["good", "0.99951", ">=", "0.999", "12,345", "pass", "why"]
    assert lines[3].split() == ["bad", "-", "<=", "1", "0", "warn"]


def test_verdicts() -> None:
    """A failed gate of severity error shouts; a warning does not."""
    assert "pass" in styled_outcome(True, "error").markup
    assert "FAIL" in styled_outcome(False, "error").markup
    assert "warn" in styled_outcome(False, "warn").markup


def test_figures_are_short() -> None:
    """Six significant digits are enough to compare with a bar."""
    assert figure(0.123456789) == "0.123457"
    assert figure(None) == "-"
    assert [figure(value) for value in (1_313_930, 443_521.4, 2.4e10, 1_234.5, float("inf"))] == [
        "1,313,930",
        "443,521",
        "24,000,000,000",
        "1,234.5",
        "inf",
    ]


def test_a_figure_that_misses_its_bar_by_little_is_seen_to() -> None:
    """As many digits as it takes; without a bar six."""
    assert figure(0.99899996) == "0.999"
    assert figure(0.99899996, ">= 0.999") == "0.99899996"
    assert figure(float("nan"), ">= 0.999") == "nan"


def test_json_refuses_nan(capsys: pytest.CaptureFixture[str]) -> None:
    """NaN is not JSON."""
    print_json({"a": [1, "ü"]})
    assert capsys.readouterr().out == '{\n "a": [\n  1,\n  "ü"\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        print_json(float("nan"))


def test_bars_follow_the_stages() -> None:
    """Each stage gets a bar; an unknown total leaves it open."""
    with Progress(console=Console(file=io.StringIO())) as progress:
        bars = StageBars(progress)
        bars("read", 10, 100)
        bars("read", 100, 100)
        bars("sort", 5, 0)
        assert [task.description for task in progress.tasks] == ["read", "sort"]
        assert progress.tasks[0].finished
        assert progress.tasks[1].total is None


def test_verdicts_about_days_have_their_colours() -> None:
    """Bad days stand out; a verdict that the table of styles lacks looks like a warning, or as asked for."""
    assert styled_verdict("no-go").markup == "[bold red]no-go[/bold red]"
    assert styled_verdict("go with repair").markup == "[bold yellow]go with repair[/bold yellow]"
    assert styled_verdict("outdated", "yellow").markup == "[yellow]outdated[/yellow]"


def test_pages_are_written_or_refused(tmp_path: Path) -> None:
    """A page is UTF-8 text; a place where it cannot be written is the user's mistake, with what to do."""
    write_page(tmp_path / "page.html", "größer")
    assert (tmp_path / "page.html").read_bytes() == "größer".encode()
    with pytest.raises(SettingsError) as caught:
        write_page(tmp_path / "none" / "page.html", "")
    assert caught.value.where == str(tmp_path / "none" / "page.html")
    assert caught.value.found == "No such file or directory"
    assert unwritable(tmp_path, "why").remedy == "Choose another file with --out."


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
