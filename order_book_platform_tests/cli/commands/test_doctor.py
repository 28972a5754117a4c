"""`obp doctor`: the findings as a table and as JSON, and the exit code."""

from __future__ import annotations

import json

import pytest

from order_book_platform.cli import doctor_checks
from order_book_platform.cli.doctor_checks import Finding
from order_book_platform_tests.cli.conftest import run

OK, WARN, FAIL = (
    Finding("python", "ok", "3.11"),
    Finding("disk", "warn", "5 GB [free]", "Watch it."),
    Finding("lake root", "fail", "cannot read it", "Set lake_root."),
)


@pytest.mark.parametrize(("findings", "code"), [((OK, WARN), 0), ((OK, WARN, FAIL), 1)])
def test_findings(monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], code: int) -> None:
    """Every finding is shown with what to do; only a failure makes the exit code 1."""
    monkeypatch.setattr(doctor_checks, "examine", lambda invocation: list(findings))
    shown = run(["doctor"])
    assert shown.exit_code == code
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:]] == [each.status for each in findings]
    assert "5 GB [free]" in shown.stdout
    assert "Watch it." in shown.stdout
    printed = run(["doctor", "--json"])
    assert printed.exit_code == code
    assert json.loads(printed.stdout) == {
        "passed": code == 0,
        "checks": [each.to_dict() for each in findings],
    }
