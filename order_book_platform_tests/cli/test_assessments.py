"""`obp assess --days`: tables of a range, its calendar, and a calendar that cannot be written."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from order_book_platform.assess import DaySummary
from order_book_platform.cli import assessments
from order_book_platform.cli.assessments import show_assessment, why_of
from order_book_platform.model import Gate, GateResult, PartitionKey, Severity
from order_book_platform_tests.cli.conftest import BROKEN_DAY, DAY, OTHER, RANGE, SYMBOL, Platform


@pytest.mark.parametrize("columns", [80, 120])
def test_a_range_on_a_terminal(fresh: Platform, key: PartitionKey, columns: int) -> None:
    """Dates, verdicts and counts are whole; a damaged day shows class and file, and its whole error below."""
    (fresh.config.parent / "lake/trades" / key.path / "1.snappy.parquet").write_bytes(b"gone")
    text = fresh.obp("assess", "--symbol", SYMBOL, "--days", "2024-01-01..2024-12-31", columns=columns).stdout
    lines = text.splitlines()
    assert max(map(len, lines)) <= columns
    for days in ("2024-01-01 to 2024-08-07 (220)", "2024-08-10 to 2024-12-31 (144)"):
        assert sum(line.split()[:5] == [*days.split(), "missing"] for line in lines) == 1
    assert any(line.split()[1:] == ["SourceCorruptError:", "1.snappy.parquet"] for line in lines)
    assert [SYMBOL, "1", "0", "0", "1", "364"] in [line.split() for line in lines]
    assert f"{SYMBOL} {DAY}: SourceCorruptError: " in text
    assert "1 day that may go" in text
    assert ".. " not in text


def test_a_range(fresh: Platform) -> None:
    """A line a day, counts by verdict, the cost, and a calendar whose place is said."""
    result = fresh.obp("assess", "--symbol", SYMBOL, *RANGE)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines if line and line[0].startswith("2024-")] == [
        ["2024-08-07", "missing"],
        [DAY, "go"],
        [BROKEN_DAY, "go"],
        ["2024-08-10", "missing"],
    ]
    assert [SYMBOL] in lines
    assert [SYMBOL, "2", "0", "0", "0", "2"] in lines
    page = fresh.config.parent / "assessment-2024-08-07..2024-08-10.html"
    assert f"Calendar: {page.name}" in result.stdout
    assert "2 days that may go" in page.read_text(encoding="utf-8")


def test_a_long_range_is_told_in_runs(fresh: Platform) -> None:
    """Days in a row that are alike share a line, with how many they are."""
    result = fresh.obp("assess", "--symbol", SYMBOL, "--days", "2024-01-01..2024-12-31")
    text = result.stdout
    assert "2024-01-01 to 2024-08-07 (220)" in text
    assert f"{DAY} to {BROKEN_DAY} (2)" in text
    assert re.search(r"day_coverage 0\.\d+ to 0\.\d+ \(>= 0\.99\)", " ".join(text.split()))
    assert "2024-08-10 to 2024-12-31 (144)" in text


def test_a_range_as_json(fresh: Platform) -> None:
    """Every day of every symbol; a picture only where one is asked for."""
    result = fresh.json("assess", "--symbol", SYMBOL, "--symbol", OTHER, *RANGE)
    assert [(day["symbol"], day["verdict"]) for day in result["days"]] == [
        *((SYMBOL, verdict) for verdict in ("missing", "go", "go", "missing")),
        *((OTHER, "missing") for _ in range(4)),
    ]
    assert result["counts"][SYMBOL]["go"] == 2
    assert result["calendar"] is None
    assert result["here"]["days"] == 2
    assert not list(fresh.config.parent.glob("assessment*"))
    svg = fresh.config.parent / "year.svg"
    assert fresh.json("assess", "--symbol", SYMBOL, *RANGE, "--out", str(svg))["calendar"] == str(svg)
    hints = [element.text for element in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}title")]
    assert f"{SYMBOL} 2024-08-07: missing" in hints
    assert any(re.fullmatch(rf"{SYMBOL} {DAY}: go \([0-9.]+% covered\)", hint or "") for hint in hints)


def test_a_damaged_day_of_a_range(fresh: Platform, key: PartitionKey) -> None:
    """It is told with its reason, the others are judged, and the exit code is 1."""
    (fresh.config.parent / "lake/trades" / key.path / "1.snappy.parquet").write_bytes(b"gone")
    result = fresh.obp("assess", "--symbol", SYMBOL, *RANGE)
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert "SourceCorruptError" in result.stdout


def test_a_calendar_that_cannot_be_written(fresh: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before a footer is read: the place, and what to do."""
    (fresh.config.parent / "folder.html").mkdir()
    monkeypatch.setattr(assessments, "summarise_range", None)
    for name in ("no/such/folder.html", "folder.html"):
        result = fresh.obp("assess", "--symbol", SYMBOL, *RANGE, "--out", str(fresh.config.parent / name))
        assert result.exit_code == 2
        assert name in result.stderr
        assert "--out" in result.stderr


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["tables", "json"])
def test_a_calendar_that_fails_late_takes_nothing_along(
    fresh: Platform, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    """What was found stands on stdout before anything is drawn."""

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    result = fresh.obp("assess", "--symbol", SYMBOL, *RANGE, "--out", "calendar.html", *form)
    assert result.exit_code == 2
    assert DAY in result.stdout
    assert "No space left on device" in result.stderr


def test_a_place_that_was_tried_is_left_as_it_was(empty: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no calendar is drawn, no empty file appears, and an older calendar stays."""
    monkeypatch.chdir(empty.config.parent)
    assert empty.obp("assess", "--symbol", SYMBOL, *RANGE, "--out", "new.html").exit_code == 1
    Path("old.html").write_text("old")
    assert empty.obp("assess", "--symbol", SYMBOL, *RANGE, "--out", "old.html").exit_code == 1
    assert not Path("new.html").exists()
    assert Path("old.html").read_text() == "old"


def rule(name: str, value: float, basis: str) -> dict[str, Any]:
    """A rule as a report has it."""
    gate = GateResult.of(name, value, Gate(">", 0.9), n=5_000, note=f"meaning of {name}")
    return {**gate.to_dict(), "basis": basis}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A report with one rule that holds and one that does not; its facts are two lines."""
    monkeypatch.setattr(assessments, "facts", lambda _: [("messages", "5,000"), ("gaps", "none")])
    rules = [rule("origin_valid", 1.0, "full"), rule("origin_coverage", 0.5, "sample")]
    return {"symbol": "A:B", "day": "2024-08-08", "verdict": "no-go", "why": "a [rule] fails", "rules": rules}


@pytest.mark.parametrize("columns", [80, 140])
def test_rules_and_facts(
    report: dict[str, Any],
    columns: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The verdict comes first, then every rule with its basis; a failed rule is explained in any width."""
    monkeypatch.setenv("COLUMNS", str(columns))
    show_assessment(report)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[1] == "A:B 2024-08-08: no-go, a [rule] fails"
    assert any(line.split()[:6] == ["origin_valid", "1", ">", "0.9", "pass", "full"] for line in lines)
    assert any(line.split()[4:7] == ["FAIL", "sample,", "5,000"] for line in lines)
    assert "meaning of origin_coverage" in text
    assert ("meaning of origin_valid" in text) == (columns == 140)
    assert ["messages", "5,000"] in [line.split() for line in lines]


def test_a_damaged_day_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A day that cannot be read has no rules to show, only why."""
    show_assessment(
        {"symbol": "A:B", "day": "2024-08-08", "verdict": "damaged", "why": "no Parquet", "error": {}}
    )
    assert capsys.readouterr().out == "\nA:B 2024-08-08: damaged, no Parquet\n"


def day(verdict: str, why: str, *rules: dict[str, Any], warnings: tuple[str, ...] = ()) -> DaySummary:
    """A day of deltas alone."""
    rows: dict[str, int | None] = {"book_delta_v2": 5, "book": None, "trades": None}
    return DaySummary("A:B", date(2024, 1, 2), verdict, why, rows, warnings=warnings, rules=rules)


def held(name: str, value: float, gate: Gate) -> dict[str, Any]:
    """As a report has it."""
    return GateResult.of(name, value, gate, n=1).to_dict()


def test_what_no_row_may_hold_is_told_in_words() -> None:
    """Which values they are, not how many kinds of them; other rules that do not hold follow."""
    impossible, coverage = held("impossible", 1, Gate("==", 0)), held("origin_coverage", 0.5, Gate(">", 0.99))
    refused = day("no-go", "prices down to -5", impossible, coverage)
    assert why_of([refused]) == "prices down to -5, origin_coverage 0.5 (> 0.99)"


def test_every_warning_is_told_once() -> None:
    """Those of rules with figure and bar, and those of none: absent tables and thin row groups."""
    covered = held("day_coverage", 0.5, Gate(">=", 0.99, Severity.WARN))
    warnings = ("no book", "day_coverage", "thin row groups")
    found = day("go", "every required rule holds", covered, warnings=warnings)
    assert why_of([found]) == "no book, thin row groups, day_coverage 0.5 (>= 0.99)"
