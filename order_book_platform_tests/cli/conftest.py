"""A small simulated market, materialized once for all tests of the commands."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from order_book_platform.cli import main
from order_book_platform.model import PartitionKey

SYMBOL = "SIMULATED:ETH-USDT"
DAY = "2024-08-08"
BROKEN_DAY = "2024-08-09"
MESSAGES = 3_000

SETTINGS = """
lake_root = "lake"
data_root = "store"
first_day = "2024-08-08"

[reconstruct]
extend_every = 4  # five minutes of a moving price: enough snapshots to know all levels most of the time

[[instruments]]
symbol = "SIMULATED:ETH-USDT"

[[instruments]]
symbol = "SIMULATED:BTC-USDT-PERP"
"""


@dataclass(frozen=True)
class Platform:
    """A settings file and how to run `obp` with it.

    Attributes:
        config: the settings file; lake, store and Dagster instance lie beside it.
    """

    config: Path

    def obp(self, *arguments: str, columns: int | None = None) -> Result:
        """Run a command in this process; an exception that is not meant for users is raised."""
        # DAGSTER_HOME of the caller's shell stays out: the instance is the one beside the settings.
        return run(["--config", str(self.config), *arguments], columns)

    def json(self, *arguments: str) -> Any:
        """Run a command with --json and read what it prints."""
        return json.loads(self.obp(*arguments, "--json").stdout)

    @property
    def store(self) -> Path:
        """The data root."""
        return self.config.parent / "store"


def run(arguments: Sequence[str], columns: int | None = None) -> Result:
    """Run `obp` with nothing of the caller's environment that could change what it does; columns as of a pipe."""
    runner = CliRunner(env={"DAGSTER_HOME": None, "OBP_CONFIG": None, "COLUMNS": columns and str(columns)})
    result = runner.invoke(main, arguments, catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Two simulated days in the lake, the second with lost messages; nothing materialized."""
    folder = tmp_path_factory.mktemp("simulated")
    (folder / "platform.toml").write_text(SETTINGS)
    for day, faults in ((DAY, ""), (BROKEN_DAY, "drop=16")):
        arguments = ["simulate", "--out", str(folder / "lake"), "--symbol", SYMBOL, "--day", day]
        assert run([*arguments, "--messages", str(MESSAGES), "--fault", faults]).exit_code == 0
    return Platform(folder / "platform.toml")


@pytest.fixture(scope="session")
def materialized(simulated: Platform) -> tuple[Platform, Any]:
    """All assets of the sound day, and what the command printed about them."""
    result = simulated.obp("materialize", "--symbol", SYMBOL, "--day", DAY, "--json")
    assert result.exit_code == 0, result.stderr
    return simulated, json.loads(result.stdout)


@pytest.fixture
def empty(tmp_path: Path) -> Platform:
    """Settings over a lake and a store that do not exist."""
    (tmp_path / "platform.toml").write_text(SETTINGS)
    return Platform(tmp_path / "platform.toml")


@pytest.fixture(scope="session")
def key() -> PartitionKey:
    """The sound day."""
    return PartitionKey.parse(SYMBOL, DAY)


OTHER = "SIMULATED:BTC-USDT-PERP"
RANGE = ("--days", "2024-08-07..2024-08-10")


@pytest.fixture
def fresh(simulated: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The simulated lake, copied, with nothing published; the current folder is beside it."""
    shutil.copytree(simulated.config.parent / "lake", tmp_path / "lake")
    (tmp_path / "platform.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return Platform(tmp_path / "platform.toml")


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the caller's Dagster instance out: the one beside the settings is used."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
