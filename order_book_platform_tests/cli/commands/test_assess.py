"""`obp assess`: verdict and rules of days by sample and by every row, and wrong usage."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from order_book_platform.assess.rules import RULES
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import BROKEN_DAY, DAY, OTHER, RANGE, SYMBOL, Platform


@pytest.mark.parametrize("full", [(), ("--full",)], ids=["sample", "full"])
def test_all_days_of_the_lake(fresh: Platform, full: tuple[str, ...]) -> None:
    """Without --day every day is judged; one no-go makes the exit code 1; nothing is published, nothing recorded."""
    before = {path for path in fresh.config.parent.rglob("*") if path.is_file()}
    result = fresh.obp("assess", "--symbol", SYMBOL, *full, "--json")
    reports = json.loads(result.stdout)
    assert [report["day"] for report in reports] == [DAY, BROKEN_DAY]
    assert [report["verdict"] for report in reports] == ["go", "no-go" if full else "go with repair"]
    assert result.exit_code == (1 if full else 0)
    assert {path for path in fresh.config.parent.rglob("*") if path.is_file()} == before


def test_the_full_scan_is_the_published_assessment(
    materialized: tuple[Platform, Any], key: PartitionKey
) -> None:
    """What was said before the run is what the asset says, and what it costs on this machine."""
    platform, _ = materialized
    (report,) = platform.json("assess", "--symbol", SYMBOL, "--day", DAY, "--full")
    here = report.pop("here")
    assert report == DataStore(platform.store).report("data_assessment", key)
    assert here["machine"]["cores"] >= 1
    assert here["memory_fits"]


@pytest.mark.parametrize("full", [False, True], ids=["sample", "full"])
def test_tables(simulated: Platform, full: bool) -> None:
    """The verdict stands first, then every rule with its basis and meaning, then what there is."""
    result = simulated.obp("assess", "--symbol", SYMBOL, "--day", DAY, *(["--full"] if full else []))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].startswith(f"{SYMBOL} {DAY}: go, every required rule holds")
    words = [line.split() for line in lines]
    for name in RULES:
        rule = next(each for each in words if each[:1] == [name])
        assert "pass" in rule or "warn" in rule
        assert {"full", "sample,", "statistics", "estimate"} & set(rule)
    assert any(each[:1] == ["recommended"] and "full_event," in each for each in words)
    assert any(each[:2] == ["on", "this"] for each in words)


@pytest.mark.parametrize("columns", [80, 120])
def test_rules_on_a_terminal(simulated: Platform, columns: int) -> None:
    """No line is wider than it; names, values and bars are whole; what does not hold is explained in any width."""
    result = simulated.obp("assess", "--symbol", SYMBOL, "--day", DAY, columns=columns)
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    words = [line.split() for line in lines]
    for name in RULES:
        assert sum(each[:1] == [name] and bool({"pass", "warn"} & set(each)) for each in words) == 1
    memory = next(each for each in words if each[:1] == ["memory"])
    assert memory[2:6] == ["GB", "<", "24", "GB"]
    explained = "share of the UTC day between the first" in result.stdout
    assert explained or columns == 120
    assert any("meaning" in each for each in words) == (columns == 120)


def test_markdown(simulated: Platform) -> None:
    """For a page or an issue: the same as Markdown."""
    text = simulated.obp("assess", "--symbol", SYMBOL, "--day", DAY, "--markdown").stdout
    assert text.startswith(f"# {SYMBOL} {DAY}: go\n")
    assert "- On this machine: " in text


def test_several_symbols(fresh: Platform) -> None:
    """One after another; a symbol without files is an error that names it."""
    shutil.copytree(
        fresh.config.parent / "lake/book_delta_v2/exchange=SIMULATED/symbol=ETH-USDT",
        fresh.config.parent / "lake/book_delta_v2/exchange=SIMULATED/symbol=BTC-USDT-PERP",
    )
    reports = fresh.json("assess", "--symbol", SYMBOL, "--symbol", OTHER, "--day", DAY)
    assert [report["symbol"] for report in reports] == [SYMBOL, OTHER]
    assert not reports[1]["availability"]["book"]["available"]


@pytest.mark.parametrize("full", [(), ("--full",)], ids=["sample", "full"])
def test_a_damaged_day_does_not_hide_the_others(
    fresh: Platform, key: PartitionKey, full: tuple[str, ...]
) -> None:
    """It has a report with the error's parts, whatever the form; the days after it are judged; the exit code is 1."""
    (fresh.config.parent / "lake/trades" / key.path / "1.snappy.parquet").write_bytes(b"gone")
    result = fresh.obp("assess", "--symbol", SYMBOL, *full, "--json")
    damaged, judged = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (damaged["day"], damaged["verdict"], damaged["scan"]) == (
        DAY,
        "damaged",
        "full" if full else "sample",
    )
    assert damaged["error"]["class"] == "SourceCorruptError"
    assert damaged["error"]["where"].endswith("1.snappy.parquet")
    assert (judged["day"], "rules" in judged) == (BROKEN_DAY, True)
    for form in ((), ("--markdown",)):
        text = fresh.obp("assess", "--symbol", SYMBOL, *full, *form).stdout
        assert f"{SYMBOL} {DAY}: damaged" in text
        assert f"{SYMBOL} {BROKEN_DAY}: " in text


def test_a_named_day_without_files(fresh: Platform) -> None:
    """It is missing, the other one is judged, and the exit code is 1."""
    result = fresh.obp("assess", "--symbol", SYMBOL, "--day", "2024-08-10", "--day", DAY, "--json")
    assert [report["verdict"] for report in json.loads(result.stdout)] == ["go", "missing"]
    assert result.exit_code == 1


def test_a_day_before_the_first_one_may_be_named(fresh: Platform) -> None:
    """As in a range: nothing is published, so first_day only says which days are taken without --day."""
    config = fresh.config.read_text().replace(f'first_day = "{DAY}"', f'first_day = "{BROKEN_DAY}"')
    fresh.config.write_text(config)
    (report,) = fresh.json("assess", "--symbol", SYMBOL, "--day", DAY)
    assert report["verdict"] == "go"
    assert [each["day"] for each in fresh.json("assess", "--symbol", SYMBOL)] == [BROKEN_DAY]


def test_nothing_to_assess(empty: Platform) -> None:
    """A symbol without files exits 1 and points to doctor."""
    for range_of_days in ((), RANGE):
        result = empty.obp("assess", "--symbol", SYMBOL, *range_of_days)
        assert result.exit_code == 1
        assert "Error (SourceMissingError)" in result.stderr
        assert "obp doctor" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--days", "2024-08-09..2024-08-08"), "ends on 2024-08-08, before it begins on 2024-08-09"),
        (("--days", "2024-08-09"), "write it as in 2024-01-01..2024-12-31"),
        (("--days", "2024-08-09..2024-08-40"), "found '2024-08-40'"),
        ((*RANGE, "--day", DAY), "name single days with --day"),
        ((*RANGE, "--full"), "name single days with --day"),
        ((*RANGE, "--out", "calendar.pdf"), "ends in neither .html nor .svg"),
        (("--out", "calendar.svg"), "--out is where the calendar of --days goes"),
        (("--json", "--markdown"), "not both"),
    ],
    ids=["reversed", "no range", "no day", "both", "full range", "no picture", "no calendar", "two forms"],
)
def test_wrong_usage(fresh: Platform, arguments: tuple[str, ...], words: str) -> None:
    """Exit 2, and what would have been right."""
    result = fresh.obp("assess", "--symbol", SYMBOL, *arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


def test_a_symbol_that_is_not_listed(fresh: Platform) -> None:
    """Named, with those that are; for days and ranges."""
    for range_of_days in ((), RANGE):
        result = fresh.obp("assess", "--symbol", "A:B", *range_of_days)
        assert result.exit_code in (1, 2)
        assert SYMBOL in result.stderr
