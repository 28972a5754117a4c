"""Tables, JSON and progress as they reach a terminal or a pipe."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from order_book_platform.cli.display.output import (
    StageBars,
    Styled,
    gates_table,
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
    assert "[red]" not in drawn(table("t", ("a",), [(Styled("x", "red"),)]))


def test_whole_columns_are_not_broken() -> None:
    """In a narrow window the other columns give way."""
    rows = [("origin_coverage", "a meaning of many words that does not fit")]
    assert "origin_coverage" in drawn(table("t", ("rule", "meaning"), rows, whole=("rule",)), 28)
    assert "origin_coverage" not in drawn(table("t", ("rule", "meaning"), rows), 14)


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
