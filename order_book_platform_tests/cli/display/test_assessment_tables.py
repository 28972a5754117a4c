"""An assessment on terminals of several widths, from a report by hand."""

from __future__ import annotations

from typing import Any

import pytest

from order_book_platform.cli.display import assessment_tables
from order_book_platform.cli.display.assessment_tables import show_assessment
from order_book_platform.model import Gate, GateResult


def rule(name: str, value: float, basis: str) -> dict[str, Any]:
    """A rule as a report has it."""
    gate = GateResult.of(name, value, Gate(">", 0.9), n=5_000, note=f"meaning of {name}")
    return {**gate.to_dict(), "basis": basis}


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A report with one rule that holds and one that does not; its facts are two lines."""
    monkeypatch.setattr(assessment_tables, "facts", lambda _: [("messages", "5,000"), ("gaps", "none")])
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
