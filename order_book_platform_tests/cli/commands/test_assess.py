"""`obp assess`: verdict and rules of days by sample and by every row, ranges with a calendar, and wrong usage."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from order_book_platform.assess.rules import RULES
from order_book_platform.cli.commands import assess_range
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import BROKEN_DAY, DAY, SETTINGS, SYMBOL, Platform

OTHER = "SIMULATED:BTC-USDT-PERP"
RANGE = ("--days", "2024-08-07..2024-08-10")


@pytest.fixture
def fresh(simulated: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The simulated lake, copied, with nothing published; the current folder is beside it."""
    shutil.copytree(simulated.config.parent / "lake", tmp_path / "lake")
    (tmp_path / "platform.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return Platform(tmp_path / "platform.toml")


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


def test_a_calendar_that_cannot_be_written(fresh: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before a footer is read: the place, and what to do."""
    (fresh.config.parent / "folder.html").mkdir()
    monkeypatch.setattr(assess_range, "summarise_range", None)
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

    def full(*_: object, **__: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(assess_range, "render_calendar", full)
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
