"""`obp doctor`: the findings as a table and as JSON, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from order_book_platform.cli.commands import doctor
from order_book_platform.cli.doctor_finding import Finding, age_text, check_writable
from order_book_platform.cli.options import Invocation
from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.kernels import compiled
from order_book_platform.model import PartitionKey
from order_book_platform.settings import load_settings
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import DAY, SYMBOL, Platform, run
from order_book_platform_tests.manual_clock import ManualClock

OK, WARN, FAIL = (
    Finding("python", "ok", "3.11"),
    Finding("disk", "warn", "5 GB [free]", "Watch it."),
    Finding("lake root", "fail", "cannot read it", "Set lake_root."),
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked for the time; the check of the clock's offset has tests of its own."""
    monkeypatch.setenv("OBP_CAPTURE__CLOCK_SOURCE", "none")


@pytest.mark.parametrize(("findings", "code"), [((OK, WARN), 0), ((OK, WARN, FAIL), 1)])
def test_findings(monkeypatch: pytest.MonkeyPatch, findings: tuple[Finding, ...], code: int) -> None:
    """Every finding is shown with what to do; only a failure makes the exit code 1."""
    monkeypatch.setattr(doctor, "examine", lambda invocation: list(findings))
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
        "checks": [asdict(each) for each in findings],
    }


def findings(platform: Platform) -> dict[str, Finding]:
    """What every check finds, by its name."""
    return {each.check: each for each in doctor.examine(Invocation(platform.config))}


def test_all_is_well(materialized: tuple[Platform, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With data, settings and an instance in place nothing fails, and the days of each symbol are listed."""
    platform, _ = materialized
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    found = findings(platform)
    assert not [each for each in found.values() if each.status == "fail"]
    assert found[SYMBOL] == Finding(SYMBOL, "ok", "2 days of book_delta_v2, 2024-08-08 … 2024-08-09")
    assert found["SIMULATED:BTC-USDT-PERP"].status == "warn"
    assert " runs" in found["dagster instance"].found


def test_command_prints_every_check(materialized: tuple[Platform, Any]) -> None:
    """The table has a line per check; --json has the same; exit 0 without failures."""
    platform, _ = materialized
    result = platform.obp("doctor")
    assert result.exit_code == 0
    document = platform.json("doctor")
    assert document["passed"] is True
    for each in document["checks"]:
        assert each["check"] in result.stdout


def test_nothing_is_made(empty: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking changes nothing on disk; a missing lake fails, a missing store and instance do not."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    before = sorted(empty.config.parent.rglob("*"))
    found = findings(empty)
    assert sorted(empty.config.parent.rglob("*")) == before
    assert found["lake root"].status == "fail"
    assert found["data root"].found.endswith("(will be created)")
    assert found["dagster instance"].found.endswith("(will be set up by the first run)")
    assert empty.obp("doctor").exit_code == 1


def test_who_records_needs_no_lake(empty: Platform) -> None:
    """A lake that is not there fails, unless there are captures to make days of."""
    settings = load_settings(empty.config)
    (settings.capture_root / "usdm" / "raw").mkdir(parents=True)
    assert [each.status for each in doctor.check_lake(settings)] == ["warn"]


def test_settings_that_are_wrong(empty: Platform) -> None:
    """Wrong settings are a finding, not an abort, and end the list, since the rest needs them."""
    empty.config.write_text(empty.config.read_text().replace("first_day", "frist_day"))
    result = empty.obp("doctor", "--json")
    assert result.exit_code == 1
    found = findings(empty)
    assert list(found)[-1] == "settings"
    assert "frist_day" in found["settings"].found or "first_day" in found["settings"].found


def test_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing library and one of a version nobody asked for are named."""
    real = metadata.version

    def version(name: str) -> str:
        if name == "polars":
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "numba" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    found = {each.check: each for each in doctor.check_libraries()}
    assert found["polars"].found == "not installed"
    assert found["numba"].status == "fail"
    assert found["numba"].found.startswith("0.1, needed ")
    assert found["numpy"].status == "ok"


def test_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter the package is not made for fails."""
    assert doctor.check_python().status == "ok"
    monkeypatch.setattr("platform.python_version", lambda: "3.9.1")
    assert doctor.check_python().status == "fail"


def test_compiled_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that loops are kept in is tried; a switched-off compiler is worth a warning."""
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    monkeypatch.setattr(compiled, "own_folder", lambda: tmp_path / "kept")
    assert doctor.check_compiled_loops() == Finding("compiled loops", "ok", f"kept in {tmp_path / 'kept'}")
    (tmp_path / "kept").write_text("")
    assert doctor.check_compiled_loops().status == "warn"
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert "plain Python" in doctor.check_compiled_loops().found


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where a folder should be cannot hold datasets."""
    file = tmp_path / "file"
    file.write_text("")
    assert check_writable("data root", file / "store").status == "fail"
    assert check_writable("data root", tmp_path / "store").status == "ok"
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("free", "status"), [(5 * 10**8, "fail"), (10**10, "warn"), (10**12, "ok")])
def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    """Little room warns, none fails."""

    class Usage(NamedTuple):
        total: int
        used: int
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**13, 0, free))
    assert doctor.check_disk(tmp_path).status == status


def test_lake_without_books(simulated: Platform, tmp_path: Path) -> None:
    """A symbol whose `book` or `trades` lack a day is named with what that costs."""
    shutil.copytree(simulated.config.parent / "lake", tmp_path / "lake")
    shutil.rmtree(tmp_path / "lake" / "book" / "exchange=SIMULATED" / "symbol=ETH-USDT" / "dt=2024-08-09")
    config = tmp_path / "platform.toml"
    config.write_text(simulated.config.read_text())
    found = {each.check: each for each in doctor.check_lake(load_settings(config))}
    assert found[SYMBOL].status == "warn"
    assert found[SYMBOL].found.endswith("; book not for all of them")


def test_lake_that_may_not_be_read(simulated: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder closed to this user fails the check of its symbol, and no other check."""
    settings = load_settings(simulated.config)
    entries = Path.iterdir

    def iterdir(path: Path) -> Iterator[Path]:
        if path.name == "symbol=ETH-USDT":
            raise PermissionError(13, "Permission denied", str(path))
        return entries(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = {each.check: each for each in doctor.check_lake(settings)}
    assert (found["lake root"].status, found[SYMBOL].status) == ("ok", "fail")
    assert found[SYMBOL].found.startswith("cannot read ")
    assert doctor.check_clock(settings, ManualClock(2 * 10**18)).status == "ok"


def test_instance_that_is_broken(empty: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed dagster.yaml, a damaged database and a relative DAGSTER_HOME are failures with a remedy."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    folder = empty.config.parent / ".dagster"
    folder.mkdir()
    (folder / "dagster.yaml").write_text("nonsense: [")
    assert doctor.check_instance(empty.config).status == "fail"
    (folder / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    (folder / "history").mkdir()
    (folder / "history" / "runs.db").write_text(
        "this is no database, and long enough to be seen as such" * 50
    )
    assert doctor.check_instance(empty.config).status == "fail"
    monkeypatch.setenv("DAGSTER_HOME", "relative/home")
    found = doctor.check_instance(empty.config)
    assert found.status == "fail"
    assert "full path" in found.remedy


def test_clock(simulated: Platform) -> None:
    """A clock before the newest day in the lake cannot be right."""
    settings = load_settings(simulated.config)

    def at(year: int, month: int, day: int) -> ManualClock:
        return ManualClock(int(datetime(year, month, day, tzinfo=UTC).timestamp()) * NS_PER_SECOND)

    assert doctor.check_clock(settings, at(2024, 8, 9)).status == "ok"
    early = doctor.check_clock(settings, at(2024, 8, 8))
    assert early.status == "fail"
    assert "before 2024-08-09" in early.found


def test_leftovers(empty: Platform) -> None:
    """Each with size, age and what to do: go on, remove, or make it again where it is the only one there is."""
    books = DataStore(empty.store).folder("reconstructed_books", PartitionKey.parse(SYMBOL, DAY))
    for name in (".building", ".checkpoints", ".spill-0", ".replaced"):
        folder = books.with_name(f"{name}-{books.name}")
        folder.mkdir(parents=True)
        (folder / "checkpoint-00000001.state").write_bytes(bytes(1_500_000))
        os.utime(folder / "checkpoint-00000001.state", (7_000, 7_000))
        os.utime(folder, (7_000, 7_000))
    clock = ManualClock((7_000 + 3 * 3_600) * NS_PER_SECOND)
    found = list(doctor.check_unfinished_work(empty.store, clock))
    what = f"reconstructed_books of {SYMBOL} {DAY}"
    again = f"obp materialize --symbol {SYMBOL} --day {DAY} --select reconstructed_books"
    assert found[0] == Finding(
        "unfinished",
        "warn",
        f"{what}: 3.0 MB, 3 hours old, 1 checkpoint",
        f"Go on: {again}. Or give up: rm -r {books.with_name('.building-' + books.name)} "
        f"{books.with_name('.checkpoints-' + books.name)}",
    )
    assert found[1].check == "set aside"
    assert found[1].remedy.endswith(again)
    assert found[2] == Finding(
        "left: spill",
        "warn",
        f"{what}: 1.5 MB, 3 hours old",
        f"Of no use: rm -r {books.with_name('.spill-0-' + books.name)}",
    )
    books.mkdir()
    assert [each.check for each in doctor.check_unfinished_work(empty.store, clock)] == [
        "unfinished",
        "left: replaced",
        "left: spill",
    ]
    assert "unfinished" in findings(empty)
    early = list(doctor.check_unfinished_work(empty.store, ManualClock(0)))
    assert all(" 0 s old" in each.found for each in early)


def test_what_is_published_with_deltas_is_made_with_them(empty: Platform) -> None:
    """Snapshots and trades are no assets of their own: the command that is named has to work."""
    trades = DataStore(empty.store).folder("trades", PartitionKey.parse(SYMBOL, DAY))
    trades.with_name(f".replaced-{trades.name}").mkdir(parents=True)
    (found,) = doctor.check_unfinished_work(empty.store, ManualClock(0))
    assert found.remedy.endswith("--select raw_deltas")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (119, "119 s"), (120, "2 minutes"), (7_200, "2 hours"), (172_800, "2 days")],
)
def test_ages(seconds: int, text: str) -> None:
    """In whole units, two at least."""
    assert age_text(seconds * NS_PER_SECOND) == text
