"""A backfill of all recorded partitions through the web server, as a user launches it: server, daemon, runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

from order_book_platform.defs import FIDELITY_JOB, Platform, to_dagster
from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.storage import DataStore
from order_book_platform_tests.cli.conftest import run as run_obp
from order_book_platform_tests.conftest import RECORDED, RECORDED_KEYS

START_SECONDS = 240
BACKFILL_SECONDS = 400
"""Bounds, not expectations: it takes about two minutes on two cores, one of which is the daemon's own rhythm."""

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

LAUNCH = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""

STATUS = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { status error { message } runs(limit: 50) { id status } }
    ... on PythonError { message }
  }
}"""


@dataclass(frozen=True)
class Deployment:
    """A web server and a daemon over one instance.

    Attributes:
        home: DAGSTER_HOME.
        config: the settings file.
        port: of the web server, on 127.0.0.1.
    """

    home: Path
    config: Path
    port: int

    @property
    def log(self) -> Path:
        """What all its processes print."""
        return self.home / "log"

    def wait_for(self, what: str, seconds: float, found: Callable[[], Any]) -> Any:
        """Ask every second until there is an answer; other processes are at work, so there is nothing to await."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = found()
            if answer:
                return answer
            time.sleep(1)
        log = self.log.read_text(errors="replace")[-10_000:]
        return pytest.fail(f"{what}: nothing after {seconds:.0f} s\n{log}")

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of a GraphQL answer."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def is_up(self) -> bool:
        """Whether the web server answers and knows the assets."""
        try:
            answer = self.ask("{ assetNodes { assetKey { path } } }")
        except (urllib.error.URLError, ConnectionError):
            return False
        return len(answer["assetNodes"]) == len(ASSETS) + 3

    def backfill(self, backfill_id: str) -> dict[str, Any] | None:
        """The backfill once it has come to an end."""
        found: dict[str, Any] = self.ask(STATUS, id=backfill_id)["partitionBackfillOrError"]
        return None if found["status"] in {"REQUESTED", "CANCELING"} else found


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture
def deployment(recordings: Path, tmp_path: Path) -> Iterator[Deployment]:
    """Web server and daemon with the project's dagster.yaml over the recordings; all their processes end with it."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    config = tmp_path / "platform.toml"
    symbols = sorted({symbol for symbol, _ in RECORDED})
    config.write_text(
        f'lake_root = "{recordings / "lake"}"\ndata_root = "store"\nfirst_day = "2024-08-08"\n'
        + "".join(f'[[instruments]]\nsymbol = "{symbol}"\n' for symbol in symbols)
    )
    made = Deployment(home, config, free_port())
    environment = {**os.environ, "DAGSTER_HOME": str(home), "OBP_CONFIG": str(config)}
    # As `make ui` starts it: web server and daemon share one process that loads the definitions.
    command = [str(BIN / "dagster"), "dev", "-h", "127.0.0.1", "-p", str(made.port)]
    command += ["-m", "order_book_platform.definitions"]
    with made.log.open("wb") as log:
        started = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=PROJECT, start_new_session=True
        )
        try:
            yield made
        finally:
            end(started)


def end(started: subprocess.Popen[bytes]) -> None:
    """End a process and all it started; fail if one stays."""
    family = psutil.Process(started.pid).children(recursive=True) if started.poll() is None else []
    started.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=30)
    for process in alive:
        process.kill()
    started.wait(timeout=30)
    _, alive = psutil.wait_procs(alive, timeout=30)
    assert not alive


def test_backfill_of_all_recorded_partitions(deployment: Deployment) -> None:
    """Launched through GraphQL, the backfill of all recorded partitions completes, one run per partition."""
    deployment.wait_for("web server", START_SECONDS, deployment.is_up)
    launched = deployment.ask(
        LAUNCH,
        params={
            "assetSelection": [{"path": [declared.name]} for declared in ASSETS],
            "partitionNames": [to_dagster(key) for key in RECORDED_KEYS],
        },
    )["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    backfill_id = launched["backfillId"]
    backfill = deployment.wait_for("backfill", BACKFILL_SECONDS, lambda: deployment.backfill(backfill_id))
    assert backfill["status"] == "COMPLETED_SUCCESS", backfill
    assert [run["status"] for run in backfill["runs"]] == ["SUCCESS"] * len(RECORDED)

    platform = Platform.from_file(deployment.config)
    expected = {to_dagster(key) for key in RECORDED_KEYS}
    with dg.DagsterInstance.from_config(str(deployment.home)) as instance:
        for declared in ASSETS:
            asset = dg.AssetKey(declared.name)
            assert instance.get_materialized_partitions(asset) == expected
            for key in RECORDED_KEYS:
                platform.store.check(declared.name, key)
            for name in declared.gates:
                history = instance.event_log_storage.get_asset_check_execution_history(
                    dg.AssetCheckKey(asset, name), limit=50
                )
                assert {record.partition for record in history} == expected
        # Every run wrote its own report, so the sensor, which is on, had nothing to add.
        assert {run.job_name for run in instance.get_runs()}.isdisjoint({FIDELITY_JOB})
    assert_same_as_command_line(platform, deployment.config)


def assert_same_as_command_line(platform: Platform, config: Path) -> None:
    """A partition that `obp` makes has the bytes of the one the backfill made."""
    key = RECORDED_KEYS[0]
    other = config.with_name("other.toml")
    other.write_text(config.read_text().replace('"store"', '"other"'))
    arguments = ["--config", str(other), "materialize", "--symbol", key.instrument.key, "--day", str(key.day)]
    assert run_obp(arguments).exit_code == 0
    for declared in ASSETS:
        made = DataStore(config.parent / "other").manifest(declared.name, key)
        assert made.fingerprint == platform.store.manifest(declared.name, key).fingerprint
