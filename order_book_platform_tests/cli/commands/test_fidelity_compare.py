"""`obp fidelity compare`: many reports side by side."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.cli.commands.fidelity_compare import LISTED_DAYS
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform

COMPARE = ("fidelity", "compare")


@pytest.fixture
def platform(materialized: tuple[Platform, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """A store of its own with the sound day; files without a folder go beside it."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(materialized[0].store, tmp_path / "store")
    for other in (tmp_path / "store").rglob("dt=*"):  # days of tests that share the store
        if other.name != f"dt={DAY}":
            shutil.rmtree(other)
    (tmp_path / "platform.toml").write_text(materialized[0].config.read_text())
    return Platform(tmp_path / "platform.toml")


def add_days(platform: Platform, key: PartitionKey, days: int, failing: tuple[str, ...] = ()) -> None:
    """Copy the sound day's report to the following days, with these gates failing in it."""
    folder = DataStore(platform.store).folder("fidelity_report", key)
    for number in range(1, days + 1):
        copy = folder.parent / f"dt={key.day + timedelta(days=number)}"
        shutil.copytree(folder, copy)
        content = json.loads((copy / "report.json").read_text())
        for gate in content["gates"]:
            gate["passed"] = gate["passed"] and gate["name"] not in failing
        text = json.dumps(content)
        (copy / "report.json").write_text(text)
        manifest = json.loads((copy / "manifest.json").read_text())
        manifest["files"]["report.json"]["bytes"] = len(text.encode())
        manifest["day"] = (key.day + timedelta(days=number)).isoformat()
        (copy / "manifest.json").write_text(json.dumps(manifest))


def test_faithful_days_exit_0_and_the_page_is_written(platform: Platform, key: PartitionKey) -> None:
    """The verdict comes first, the page's path last; the page stands alone."""
    add_days(platform, key, 2)
    result = platform.obp(*COMPARE)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith("3 days: ")
    assert "not faithful" not in result.stdout
    assert Path(lines[-1]) == Path("fidelity-comparison.html").absolute()
    assert Path(lines[-1]).read_text().startswith("<!doctype html>")


def test_bad_days_are_named_and_exit_1(platform: Platform, key: PartitionKey) -> None:
    """The gate, how often it fails and where; the worst days are the first."""
    add_days(platform, key, LISTED_DAYS + 2, ("topk_ghost",))
    result = platform.obp(*COMPARE, "--out", "page.html")
    assert result.exit_code == 1
    assert f"{LISTED_DAYS + 2} not faithful" in result.stdout.splitlines()[0]
    assert "and 2 more" in result.stdout or "and 3 more" in result.stdout
    assert any(
        line.split()[:2] == ["topk_ghost", str(LISTED_DAYS + 2)] for line in result.stdout.splitlines()
    )
    assert Path("page.html").read_text().count("<b>topk_ghost</b>") == LISTED_DAYS + 2
    assert not Path("fidelity-comparison.html").exists()


def test_symbols_and_days_narrow_it(platform: Platform, key: PartitionKey) -> None:
    """Both ends of the range are included; as JSON nothing is written unless asked for."""
    add_days(platform, key, 3, ("topk_ghost",))
    second, third = (str(key.day + timedelta(days=number)) for number in (1, 2))
    found = platform.json(*COMPARE, "--symbol", SYMBOL, "--days", f"{second}..{third}")
    assert [day["day"] for day in found["days"]] == [second, third]
    assert found["counts"] == {"not faithful": 2}
    assert found["page"] is None
    assert not list(Path().glob("*.html"))
    assert platform.json(*COMPARE, "--days", f"{DAY}..{DAY}", "--out", "p.html")["page"] == "p.html"
    assert Path("p.html").exists()


def test_what_has_not_been_measured_is_told(platform: Platform, key: PartitionKey) -> None:
    """Books without a report are no failure, and are not taken for faithful."""
    shutil.rmtree(DataStore(platform.store).folder("fidelity_report", key))
    result = platform.obp(*COMPARE)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "1 days: 1 no report"
    assert "its books have not been measured" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--symbol", "SIMULATED:DOGE-USDT"), 2, "SIMULATED:DOGE-USDT"),
        (("--days", "2024-08-09..2024-08-08"), 2, "before it begins"),
        (("--days", "2024-08-09"), 2, "is no range"),
        (("--days", "2020-01-01..2020-01-31"), 1, "from 2020-01-01 to 2020-01-31"),
        (("--out", "no/such/folder.html"), 2, "no/such/folder.html"),
    ],
)
def test_mistakes_are_explained(platform: Platform, arguments: tuple[str, ...], code: int, said: str) -> None:
    """An unknown symbol, a range turned round, days without anything, a folder that is not there: no traceback."""
    result = platform.obp(*COMPARE, *arguments)
    assert result.exit_code == code
    assert said in result.stderr.replace("\n", " ")


def test_an_empty_store_says_what_to_do(empty: Platform) -> None:
    """Neither books nor reports of any symbol."""
    result = empty.obp(*COMPARE)
    assert result.exit_code == 1
    assert "any symbol" in result.stderr
    assert "obp materialize" in result.stderr
