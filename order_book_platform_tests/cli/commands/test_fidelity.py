"""`obp fidelity`: the report printed, and the test of the report."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from order_book_platform.cli.commands.fidelity import LISTED_DAYS
from order_book_platform.cli.self_test_days import LOST
from order_book_platform.fidelity import CHECKS, SelfTest, SelfTestResult
from order_book_platform.fidelity.self_test.self_test import SOUND, Cell
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform, run

REPORT = ("fidelity", "report", "--symbol", SYMBOL, "--day", DAY)


def copied(platform: Platform, folder: Path) -> Platform:
    """The same platform with a store of its own."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(platform.store, folder / "store")
    config = folder / "platform.toml"
    config.write_text(platform.config.read_text())
    return Platform(config)


def made(store: Path, key: PartitionKey) -> int:
    """When the report was published, ns."""
    return (DataStore(store).folder("fidelity_report", key) / "manifest.json").stat().st_mtime_ns


def test_a_report_that_is_there_is_printed(materialized: tuple[Platform, Any], key: PartitionKey) -> None:
    """Every gate, the verdict and the page; nothing is made anew."""
    platform = materialized[0]
    before = made(platform.store, key)
    result = platform.obp(*REPORT)
    assert result.exit_code == 0
    verdict, *lines = result.stdout.splitlines()
    assert {line.split()[0] for line in lines if line.split()[:1]} >= set(CHECKS)
    assert verdict.startswith("faithful")
    assert Path(lines[-1]).is_file()
    assert platform.json(*REPORT) == DataStore(platform.store).report("fidelity_report", key)
    assert made(platform.store, key) == before


def test_a_report_is_made_where_it_is_missing_or_out_of_date(
    materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path
) -> None:
    """Removed, or made from other trades: a run makes it, and then it stays."""
    platform = copied(materialized[0], tmp_path)
    store = DataStore(platform.store)
    shutil.rmtree(store.folder("fidelity_report", key))
    assert platform.obp(*REPORT).exit_code == 0
    first = made(platform.store, key)
    manifest = store.folder("trades", key) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "code_version": "0.0.0"}))
    assert platform.obp(*REPORT).exit_code == 0
    second = made(platform.store, key)
    assert second > first
    assert (
        store.manifest("fidelity_report", key).inputs["trades"] == store.manifest("trades", key).fingerprint
    )
    assert platform.obp(*REPORT).exit_code == 0
    assert made(platform.store, key) == second


def test_a_book_that_is_not_faithful_exits_1(
    materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path
) -> None:
    """A report whose gates fail is printed all the same."""
    platform = copied(materialized[0], tmp_path)
    folder = DataStore(platform.store).folder("fidelity_report", key)
    content = json.loads((folder / "report.json").read_text())
    content["passed"] = content["gates"][0]["passed"] = False
    text = json.dumps(content)
    (folder / "report.json").write_text(text)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["report.json"]["bytes"] = len(text.encode())
    (folder / "manifest.json").write_text(json.dumps(manifest))
    result = platform.obp(*REPORT)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].startswith("not faithful: bbo_exact_seq")
    assert "bbo_exact_seq" in result.stdout


def test_without_books_there_is_no_report(simulated: Platform) -> None:
    """What is missing is named, with the command that makes it."""
    result = simulated.obp("fidelity", "report", "--symbol", SYMBOL, "--day", "2024-08-10")
    assert result.exit_code == 1
    assert "--select reconstructed_books" in result.stderr


@pytest.mark.parametrize("name", ["report", "compare", "self-test"])
def test_all_commands_explain_themselves(name: str) -> None:
    """Each help shows an example that uses it."""
    result = run(["fidelity", name, "--help"])
    assert result.exit_code == 0
    assert f"obp fidelity {name}" in result.stdout.split("Example:")[1]


def test_every_gate_is_seen_to_fail_and_every_figure_to_agree() -> None:
    """The whole self-test, as a user runs it: all defects, all gates, nothing unexpected."""
    result = run(["fidelity", "self-test", "--messages", "4000", "--seed", "1", "--json"])
    found = json.loads(result.stdout)
    assert found["problems"] == []
    assert result.exit_code == 0
    failing = {cell["gate"] for cell in found["cells"] if not cell["passed"]}
    assert failing == {cell["gate"] for cell in found["cells"]} >= set(CHECKS)
    assert not {cell["gate"] for cell in found["cells"] if cell["defect"] == SOUND} & {
        cell["gate"] for cell in found["cells"] if cell["defect"] == SOUND and not cell["passed"]
    }
    dropped = {cell["gate"]: cell for cell in found["cells"] if cell["defect"] == "dropped"}
    assert 0 < dropped["unseen_references"]["found"] == dropped["unseen_references"]["injected"] <= LOST
    assert sum(cell["compared"] for cell in found["cells"]) > 350


def test_what_is_not_as_expected_is_shown_and_exits_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem, its cell and the verdict; tables for people."""
    good = Cell(SOUND, "topk_ghost", "<= 0.001", 0.0, True, "hold", 0.0, True)
    bad = replace(good, defect="ghosts", must="fail", injected=0.25)
    words = {SOUND: "nothing", "ghosts": "levels that nobody has"}
    result = SelfTestResult((good, bad), ("ghosts: topk_ghost: must fail",), words)
    monkeypatch.setattr(SelfTest, "run", lambda *_, **__: result)
    shown = run(["fidelity", "self-test", "--messages", "4000"])
    assert shown.exit_code == 1
    output = shown.stdout
    assert "levels that nobody has" in output
    assert [line.split() for line in output.splitlines() if line.startswith(" topk_ghost")] == [
        ["topk_ghost", "·", "!", "<=", "0.001"]
    ]
    assert "ghosts: topk_ghost: must fail" in output
    assert "NOT AS EXPECTED" in output
    assert any(line.split()[-1:] == ["NO"] and "0.25" in line for line in output.splitlines())


def from_other_recording(root: Path, key: PartitionKey) -> None:
    """Make the books say that they were made from other deltas, whose messages arrived 1 µs later."""
    store = DataStore(root)
    manifest = store.manifest("reconstructed_books", key)
    folder = store.folder("reconstructed_books", key)
    tables = {name: pq.read_table(folder / name, partitioning=None) for name in manifest.files}
    with store.write("reconstructed_books", key) as writer:
        writer.metadata.update(manifest.metadata)
        writer.inputs.update(manifest.inputs | {"raw_deltas": "0" * 64})
        for name, table in tables.items():
            moved = table
            if name.startswith("books"):
                at = table.schema.get_field_index("received_time")
                moved = table.set_column(at, table.schema.field(at), pc.add(table["received_time"], 1_000))
            writer.parquet(name, table.schema).write(moved)


def test_a_golden_sample_is_a_further_reference(
    materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path
) -> None:
    """Books of another recording are compared by number and stand among the inputs."""
    platform, golden = (copied(materialized[0], tmp_path / name) for name in ("own", "golden"))
    from_other_recording(golden.store, key)
    found = platform.json(*REPORT, "--golden", str(golden.store))
    assert next(gate for gate in found["gates"] if gate["name"] == "bbo_exact_seq_golden")["value"] == 1.0
    assert "golden/reconstructed_books" in found["provenance"]


def test_golden_evidence_is_not_lost_unasked(
    materialized: tuple[Platform, Any], key: PartitionKey, tmp_path: Path
) -> None:
    """A report with it is printed as it is; out of date it is refused, and replaced only with --remake."""
    platform, golden = (copied(materialized[0], tmp_path / name) for name in ("own", "golden"))
    from_other_recording(golden.store, key)
    platform.json(*REPORT, "--golden", str(golden.store))
    store, before = DataStore(platform.store), made(platform.store, key)
    result = platform.obp(*REPORT)
    assert "bbo_exact_seq_golden" in result.stdout
    assert "--remake" in result.stderr
    assert made(platform.store, key) == before
    manifest = store.folder("trades", key) / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "code_version": "0.0.0"}))
    result = platform.obp(*REPORT)
    assert result.exit_code == 1
    assert "--golden" in result.stderr
    assert made(platform.store, key) == before
    assert platform.obp(*REPORT, "--remake").exit_code == 0
    assert not any(name.startswith("golden/") for name in store.manifest("fidelity_report", key).inputs)
    assert platform.obp(*REPORT).stderr == ""


def test_a_copy_is_no_golden_sample(materialized: tuple[Platform, Any], tmp_path: Path) -> None:
    """Books made from the same deltas are refused in one line, without a traceback."""
    platform, golden = (copied(materialized[0], tmp_path / name) for name in ("own", "golden"))
    result = platform.obp(*REPORT, "--golden", str(golden.store))
    assert result.exit_code != 0
    assert "very same raw_deltas" in result.stderr.replace("\n", " ")


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
