"""`obp assess`: verdict and rules, one day or all of them, and when the deltas are read again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from order_book_platform.model import PartitionKey
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import BROKEN_DAY, DAY, SETTINGS, SYMBOL, Platform


@pytest.fixture
def fresh(simulated: Platform, tmp_path: Path) -> Platform:
    """The simulated lake, copied, with nothing published."""
    shutil.copytree(simulated.config.parent / "lake", tmp_path / "lake")
    (tmp_path / "platform.toml").write_text(SETTINGS)
    return Platform(tmp_path / "platform.toml")


def test_all_days_of_the_lake(fresh: Platform) -> None:
    """Without --day every day is judged; one no-go makes the exit code 1."""
    result = fresh.obp("assess", "--symbol", SYMBOL, "--json")
    reports = json.loads(result.stdout)
    assert [report["day"] for report in reports] == [DAY, BROKEN_DAY]
    assert [report["verdict"] for report in reports] == ["go", "no-go"]
    assert result.exit_code == 1
    assert reports[0] == DataStore(fresh.store).report("data_assessment", PartitionKey.parse(SYMBOL, DAY))


def test_deltas_are_read_again_only_if_the_files_changed(fresh: Platform, key: PartitionKey) -> None:
    """Published deltas are used while their files are the same or gone, and read anew when they have changed."""
    arguments = ("assess", "--symbol", SYMBOL, "--day", DAY)
    assert "raw_deltas" in fresh.obp(*arguments).stderr
    assert "raw_deltas" not in fresh.obp(*arguments).stderr
    folder = fresh.config.parent / "lake" / "trades" / key.path
    (folder / "1.snappy.parquet").rename(folder / "2.parquet")
    assert "raw_deltas" in fresh.obp(*arguments).stderr
    shutil.rmtree(fresh.config.parent / "lake")
    last = fresh.obp(*arguments)
    assert last.exit_code == 0
    assert "raw_deltas" not in last.stderr


def test_tables(materialized: tuple[Platform, Any]) -> None:
    """The verdict stands first, then every rule with its meaning, then what there is."""
    result = materialized[0].obp("assess", "--symbol", SYMBOL, "--day", DAY)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1] == f"{SYMBOL} {DAY}: go, every required rule holds"
    assert any(line.split()[:1] == ["origin_coverage"] and "pass" in line for line in lines)
    assert any(line.split()[:1] == ["recommended"] and "full_event" in line for line in lines)


def test_nothing_to_assess(empty: Platform) -> None:
    """A symbol without files exits 1 and points to doctor."""
    result = empty.obp("assess", "--symbol", SYMBOL)
    assert result.exit_code == 1
    assert "Error (SourceMissingError)" in result.stderr
    assert "obp doctor" in result.stderr
