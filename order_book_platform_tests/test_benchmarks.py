"""Benchmarks run, and say what they measured; how fast is their business."""

from __future__ import annotations

import json
from types import ModuleType

import pytest

from benchmarks import assets, replay
from benchmarks.report import Report


@pytest.mark.parametrize("benchmark", [replay, assets], ids=lambda module: str(module.__name__))
def test_a_small_run(
    benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a few messages: one JSON object with the machine, the versions, figures and bars; or lines for people."""
    monkeypatch.setattr(benchmark, "MESSAGES", 300)
    monkeypatch.setattr("sys.argv", ["benchmark", "--json"])
    benchmark.main()
    document = json.loads(capsys.readouterr().out)
    keys = {"benchmark", "machine", "versions", "commit", "results", "ratios", "bars"}
    assert set(document) == keys
    assert document["machine"]["cores"] >= 1
    for result in document["results"]:
        assert set(result) == {"system", "work", "metric", "value", "unit", "min", "max", "runs"}
        assert 0 < result["min"] <= result["value"] <= result["max"]
    assert {"what", "required", "reached", "holds"} == set().union(*document["bars"])


def test_bars_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A bar holds from above or from below, and a missed one is shown as missed."""
    report = Report("trial")
    report.add("us", "nothing", "time", "s", [3.0, 1.0, 2.0])
    report.bar("speed", 10, 10.0)
    report.bar("time", 10, 11.0, at_most=True)
    report.show([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("trial on ")
    assert lines[1].split() == ["us", "nothing", "2", "s", "(1", "to", "3,", "3", "runs)"]
    assert lines[2].split() == ["holds", "speed:", "required", "10,", "reached", "10"]
    assert lines[3].split() == ["MISSED", "time:", "required", "10,", "reached", "11"]
