"""Dagster runs as the web UI has them: GraphQL, the instance's run launcher, a process of their own for each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster_graphql.cli import execute_query

from benchmarks.report import ROOT
from order_book_platform.cli.asset_run import QUIET
from order_book_platform.defs.build import MATERIALIZE_JOB
from order_book_platform.defs.platform import DAY, SYMBOL, to_dagster
from order_book_platform.errors import BenchmarkError
from order_book_platform.model import PartitionKey

DEFINITIONS = "order_book_platform.definitions"
INSTANCE = """
telemetry:
  enabled: false
run_coordinator:
  module: dagster._core.run_coordinator
  class: DefaultRunCoordinator
"""
"""Without a queue, so that no daemon is needed: the launcher is the same."""
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""


class CodeLocation:
    """Definitions in a server process, and the instance that launches their runs.

    Args:
        process: of the workspace.
        module: of the definitions.
    """

    def __init__(self, process: WorkspaceProcessContext, module: str) -> None:
        self._process = process
        self._module = module

    @property
    def instance(self) -> dg.DagsterInstance:
        """The instance."""
        return self._process.instance

    def launch(self, key: PartitionKey, assets: Sequence[str]) -> str:
        """Launch a run of assets of one partition; gives its id.

        Raises:
            BenchmarkError: it was refused.
        """
        partition = {
            "dagster/partition": str(to_dagster(key)),
            f"dagster/partition/{DAY}": key.day.isoformat(),
            f"dagster/partition/{SYMBOL}": key.instrument.key,
        }
        selector = {
            "repositoryLocationName": self._module,
            "repositoryName": "__repository__",
            "jobName": MATERIALIZE_JOB,
            "assetSelection": [{"path": [asset]} for asset in assets],
        }
        tags = [{"key": name, "value": value} for name, value in partition.items()]
        params = {"selector": selector, "executionMetadata": {"tags": tags}, "runConfigData": QUIET}
        run_id: str = self._ask("launchRun", LAUNCH, {"params": params}, "LaunchRunSuccess")["run"]["runId"]
        return run_id

    def terminate(self, run_id: str) -> None:
        """Ask for the run's end, by what the web server calls when the button is pressed.

        Raises:
            BenchmarkError: it was refused.
        """
        # Not by GraphQL: to put the schema together takes a second of this process's own.
        if not self.instance.run_coordinator.cancel_run(run_id):
            raise BenchmarkError(
                expected="a run that can be terminated",
                found="a launcher that refuses",
                where=f"run {run_id}",
                remedy="Look at the run in the instance.",
            )

    def is_finished(self, run_id: str) -> bool:
        """Whether the instance says that the run has ended, however it did."""
        run = self.instance.get_run_by_id(run_id)
        return run is not None and run.is_finished

    def process(self, run_id: str) -> psutil.Process | None:
        """The run's process; None before it has said that it is there."""
        for entry in self.instance.all_logs(run_id, dg.DagsterEventType.ENGINE_EVENT):
            event = entry.dagster_event
            pid = event.engine_event_data.metadata.get("pid") if event is not None else None
            if pid is not None:
                try:
                    return psutil.Process(int(str(pid.value)))
                except psutil.NoSuchProcess:
                    return None
        return None

    def _ask(self, field: str, query: str, variables: dict[str, Any], wanted: str) -> dict[str, Any]:
        answer = execute_query(self._process, query, variables)
        found: dict[str, Any] = (answer.get("data") or {}).get(field) or {}
        if found.get("__typename") != wanted:
            raise BenchmarkError(
                expected=wanted,
                found=str(found or answer.get("errors")),
                where=f"{field} of {self._module}",
                remedy="Look at the run in the instance.",
            )
        return found


@contextmanager
def code_location(home: Path, module: str = DEFINITIONS) -> Iterator[CodeLocation]:
    """Definitions served to an instance in a folder; both end with the block.

    Args:
        home: of the instance; made if it is not there.
        module: of the definitions; reads the settings that `OBP_CONFIG` names.
    """
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(INSTANCE, encoding="utf-8")
    target = ModuleTarget(module, None, str(ROOT), module)
    with (
        _stdout_for_results(),
        dg.DagsterInstance.from_config(str(home)) as instance,
        WorkspaceProcessContext(instance, target, code_server_log_level="WARNING") as process,
    ):
        yield CodeLocation(process, module)


@contextmanager
def _stdout_for_results() -> Iterator[None]:
    """Have what other processes print, which inherit stdout, go to stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is no more, or only waits for its parent to notice."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
