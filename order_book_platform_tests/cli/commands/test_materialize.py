"""`obp materialize`: what is made, printed, recorded, and with which exit code."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import BROKEN_DAY, DAY, SYMBOL, Platform, run
from order_book_platform_tests.conftest import RECORDED

NAMES = [declared.name for declared in ASSETS]


def tree_hash(folder: Path) -> dict[str, str]:
    """Relative path to SHA-256 of every file, hidden ones left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def test_all_assets_are_published(materialized: tuple[Platform, Any], key: PartitionKey) -> None:
    """All six assets are made, in the order of the data, each complete on disk and described in the document."""
    platform, document = materialized
    assert [asset["name"] for asset in document["assets"]] == NAMES
    assert (document["symbol"], document["day"], document["passed"]) == (SYMBOL, DAY, True)
    store = DataStore(platform.store)
    for asset in document["assets"]:
        manifest = store.check(asset["name"], key)
        assert asset["fingerprint"] == manifest.fingerprint
        assert asset["path"] == str(store.folder(asset["name"], key))
        assert asset["files"] == sorted(manifest.files)


def test_gates_are_those_the_checks_declare(materialized: tuple[Platform, Any]) -> None:
    """Every component gives exactly the gates its asset declares, so no check can be missing or unknown."""
    _, document = materialized
    for declared, asset in zip(ASSETS, document["assets"], strict=True):
        assert sorted(gate["name"] for gate in asset["gates"]) == sorted(declared.gates), declared.name


def test_run_is_recorded(materialized: tuple[Platform, Any], key: PartitionKey) -> None:
    """The instance beside the settings knows the run, its partition, its materializations and its checks."""
    platform, document = materialized
    partition = f"{DAY}|{SYMBOL}"
    with dg.DagsterInstance.from_config(str(platform.config.parent / ".dagster")) as instance:
        run_record = instance.get_run_by_id(document["run_id"])
        assert run_record is not None
        assert run_record.is_success
        assert run_record.tags["dagster/partition"] == partition
        assert run_record.tags["obp/started_by"] == "cli"
        for asset in document["assets"]:
            found = instance.fetch_materializations(
                dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset["name"]), asset_partitions=[partition]),
                limit=1,
            ).records
            assert found[0].asset_materialization is not None
            metadata = found[0].asset_materialization.metadata
            assert metadata["fingerprint"].value == asset["fingerprint"]
            assert asset["rows"] is None or metadata["dagster/row_count"].value == asset["rows"]


def test_tables_on_stdout_progress_on_stderr(materialized: tuple[Platform, Any]) -> None:
    """Without --json, tables of assets and gates and the reports' paths; one line per asset on stderr."""
    platform, _ = materialized
    result = platform.obp(
        "materialize", "--symbol", SYMBOL, "--day", DAY, "--select", "fidelity_report,rl_features"
    )
    assert result.exit_code == 0
    assert "Gates of fidelity_report" in result.stdout
    assert "gates hold." in result.stdout
    assert "report.html" in result.stdout
    assert [line.split()[0] for line in result.stderr.splitlines()[1:]] == ["fidelity_report", "rl_features"]
    assert "DEBUG" not in result.stderr


def test_progress_on_a_terminal_is_live(materialized: tuple[Platform, Any]) -> None:
    """A terminal sees each asset's line while it runs, and the bars do not end up in Dagster's compute logs."""
    platform, _ = materialized
    arguments = [
        "materialize",
        "--symbol",
        SYMBOL,
        "--day",
        DAY,
        "--select",
        "reconstructed_books,rl_features",
    ]
    command = [sys.executable, "-c", "from order_book_platform.cli import main; main()"]
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, "--config", str(platform.config), *arguments, "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**environment, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    with os.fdopen(ours, "rb") as terminal:
        shown = b"".join(iter(lambda: _read(terminal), b"")).decode()
    assert process.stdout is not None
    document = json.loads(process.stdout.read())
    process.stdout.close()
    assert process.wait(timeout=120) == 0
    for asset in document["assets"]:
        assert f"{asset['rows']:,} rows" in shown
    assert "reconstructed_books: replay" in shown
    logs = list((platform.config.parent / ".dagster" / "storage" / document["run_id"]).rglob("*.err"))
    assert logs
    assert not [log for log in logs if "━" in log.read_text()]


def _read(terminal: io.BufferedReader) -> bytes:
    """What is there; nothing once the other end is closed, which Linux reports as an error."""
    try:
        return terminal.read1()
    except OSError:
        return b""


def test_second_run_gives_the_same_bytes(materialized: tuple[Platform, Any]) -> None:
    """Materializing again replaces every file by an equal one."""
    platform, _ = materialized
    before = tree_hash(platform.store)
    assert platform.obp("materialize", "--symbol", SYMBOL, "--day", DAY).exit_code == 0
    assert tree_hash(platform.store) == before


def test_assets_without_gates(materialized: tuple[Platform, Any]) -> None:
    """Where nothing is gated, nothing is claimed to hold."""
    platform, _ = materialized
    result = platform.obp("materialize", "--symbol", SYMBOL, "--day", DAY, "--select", "reconstructed_books")
    assert result.exit_code == 0
    assert result.stdout.rstrip().endswith("Done; these assets have no gates.")


def test_failed_gates_exit_1_and_stay_published(simulated: Platform) -> None:
    """Lost messages fail gates: exit 1, the gates named with their asset, the books there and flagged."""
    result = simulated.obp("materialize", "--symbol", SYMBOL, "--day", BROKEN_DAY)
    assert result.exit_code == 1
    failed = next(line for line in result.stdout.splitlines() if line.startswith("Failed: "))
    assert "sequence_gap_report.gap_ratio" in failed
    assert "placebo_fails" not in result.stdout.split("gates hold.")[1]
    assert DataStore(simulated.store).exists("rl_features", PartitionKey.parse(SYMBOL, BROKEN_DAY))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--symbol", "BINANCE:BTC-USDT", "--day", DAY],
            "one of SIMULATED:ETH-USDT, SIMULATED:BTC-USDT-PERP",
        ),
        (["--symbol", SYMBOL, "--day", "2024-08-07"], "a day from 2024-08-08 (first_day) on"),
        (["--symbol", SYMBOL, "--day", "2999-01-01"], "a UTC day that has ended"),
        (
            ["--symbol", SYMBOL, "--day", DAY, "--select", "books"],
            "names among raw_deltas, sequence_gap_report",
        ),
    ],
)
def test_impossible_partitions_exit_2(simulated: Platform, arguments: list[str], expected: str) -> None:
    """An unlisted symbol, a day out of range, an unfinished day and an unknown asset are usage errors."""
    result = simulated.obp("materialize", *arguments)
    assert result.exit_code == 2
    assert f"expected  {expected}" in result.stderr
    assert not result.stdout


@pytest.mark.parametrize("select", [[], ["--select", "raw_deltas"]])
def test_a_day_without_files_exits_1_and_records_no_run(empty: Platform, select: list[str]) -> None:
    """A day that was mistyped: the component's own error is shown, and the lineage does not turn red."""
    result = empty.obp("materialize", "--symbol", SYMBOL, "--day", DAY, *select)
    assert result.exit_code == 1
    assert "Error (SourceMissingError)" in result.stderr
    assert "remedy    Set lake_root" in result.stderr
    assert "Traceback" not in result.stderr
    assert runs(empty) == []


def test_other_errors_leave_a_failed_run(empty: Platform) -> None:
    """Files that are there and damaged: that is worth a record."""
    folder = empty.config.parent / "lake" / "book_delta_v2" / PartitionKey.parse(SYMBOL, DAY).path
    folder.mkdir(parents=True)
    (folder / "1.parquet").write_bytes(b"not Parquet")
    result = empty.obp("materialize", "--symbol", SYMBOL, "--day", DAY)
    assert result.exit_code == 1
    assert "Error (SourceCorruptError)" in result.stderr
    assert runs(empty) == [dg.DagsterRunStatus.FAILURE]


def runs(platform: Platform) -> list[dg.DagsterRunStatus]:
    """How the runs ended that the instance knows."""
    with dg.DagsterInstance.from_config(str(platform.config.parent / ".dagster")) as instance:
        return [each.status for each in instance.get_runs()]


def test_missing_inputs_name_the_asset_to_make(empty: Platform) -> None:
    """An asset without its inputs says which command makes them."""
    result = empty.obp("materialize", "--symbol", SYMBOL, "--day", DAY, "--select", "rl_features")
    assert result.exit_code == 1
    assert "Error (PartitionMissingError)" in result.stderr
    assert "--select reconstructed_books" in result.stderr


@pytest.fixture(scope="module")
def recorded(recordings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings over the real recordings."""
    symbols = sorted({symbol for symbol, _ in RECORDED})
    file = tmp_path_factory.mktemp("recorded") / "platform.toml"
    file.write_text(
        f'lake_root = "{recordings / "lake"}"\ndata_root = "store"\nfirst_day = "2024-08-08"\n'
        + "".join(f'[[instruments]]\nsymbol = "{symbol}"\n' for symbol in symbols)
    )
    return file


@pytest.mark.parametrize(("symbol", "day"), RECORDED)
def test_recordings_pass_every_gate_twice(recorded: Path, symbol: str, day: str) -> None:
    """Every recorded symbol-day runs through with exit 0, and a second time to the same bytes."""
    arguments = ["--config", str(recorded), "materialize", "--symbol", symbol, "--day", day, "--json"]
    first = run(arguments)
    document = json.loads(first.stdout)
    failed = [gate for asset in document["assets"] for gate in asset["gates"] if not gate["passed"]]
    assert first.exit_code == 0, failed
    key = PartitionKey.parse(symbol, day)
    folders = [
        DataStore(recorded.parent / "store").folder(name, key) for name in (*NAMES, "snapshots", "trades")
    ]
    before = [tree_hash(folder) for folder in folders]
    assert run(arguments).exit_code == 0
    assert [tree_hash(folder) for folder in folders] == before
