"""Runs assets of one partition in this process, recorded in the Dagster instance, and watches them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from order_book_platform.cli.display.run_display import AssetOutcome, RunDisplay
from order_book_platform.errors import OrderBookPlatformError, SettingsError
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.model.dataset import DATASETS

if TYPE_CHECKING:
    import dagster as dg

    from order_book_platform.cli.group import Invocation
    from order_book_platform.settings import Settings

TAGS = {"obp/started_by": "cli"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's log off the terminal; the instance records it all the same."""


@dataclass(slots=True)
class RunOutcome:
    """A run that ended without an error.

    Attributes:
        key: the partition.
        run_id: under which Dagster keeps it.
        assets: in the order in which they were made.
    """

    key: PartitionKey
    run_id: str
    assets: list[AssetOutcome]

    @property
    def failed_gates(self) -> list[GateResult]:
        """Gates of severity `error` that do not hold."""
        return [
            gate
            for asset in self.assets
            for gate in asset.gates
            if not gate.passed and gate.severity is Severity.ERROR
        ]


def run_assets(
    invocation: Invocation, settings: Settings, key: PartitionKey, assets: Sequence[str]
) -> RunOutcome:
    """Materialize assets of one partition.

    Args:
        invocation: names the settings file, which decides where the instance is.
        settings: read from it.
        key: the partition.
        assets: names; all six where empty.

    Raises:
        SettingsError: an asset's name is unknown, or the day is not a finished one.
        SourceMissingError: there are no source files of that day; no run is recorded.
        OrderBookPlatformError: whatever a component refuses.
        KeyboardInterrupt: the user stopped it.
    """
    import dagster as dg

    from order_book_platform.cli.instance import dagster_instance
    from order_book_platform.defs import MATERIALIZE_JOB, Platform, build_definitions, to_dagster
    from order_book_platform.sources import LakeSource

    board = RunDisplay()
    definitions = build_definitions(Platform(invocation.settings_file, settings, board))
    job = definitions.resolve_job_def(MATERIALIZE_JOB)
    known = [asset.to_user_string() for asset in job.asset_layer.executable_asset_keys]
    selected = _selected(known, assets)
    with dagster_instance(invocation.settings_file) as instance:
        _refuse_unfinished_day(job, key, to_dagster(key))
        if "raw_deltas" in selected:
            # A day that nobody has is a typing error: a run that fails on it would turn the lineage red.
            LakeSource(settings.lake_root).require("book_delta_v2", key)
        with board.shown(key, selected), _errors_of_components():
            result = job.execute_in_process(
                run_config=QUIET,
                instance=instance,
                partition_key=to_dagster(key),
                asset_selection=[dg.AssetKey(name) for name in selected],
                tags=TAGS,
            )
    return RunOutcome(key, result.run_id, list(board.outcomes))


def _selected(known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    ordered = [name for name in DATASETS if name in known]
    for name in wanted:
        if name not in known:
            raise SettingsError(
                expected="names among " + ", ".join(ordered),
                found=repr(name),
                where="--select",
                remedy="Separate names by commas, as in --select reconstructed_books,fidelity_report.",
            )
    return [name for name in ordered if not wanted or name in wanted]


def _refuse_unfinished_day(job: dg.JobDefinition, key: PartitionKey, partition: str) -> None:
    partitions = job.partitions_def
    if partitions is None or not partitions.has_partition_key(partition):
        raise SettingsError(
            expected="a UTC day that has ended",
            found=key.day.isoformat(),
            where="--day",
            remedy="Wait until the day is over, or choose an earlier one.",
        )


@contextmanager
def _errors_of_components() -> Iterator[None]:
    """Bring a component's own error back out of Dagster's wrapping, and Ctrl-C out of its interrupt."""
    import dagster as dg
    from dagster._core.errors import DagsterExecutionInterruptedError

    try:
        yield
    except dg.Failure as failure:
        if isinstance(failure.__cause__, OrderBookPlatformError):
            raise failure.__cause__ from None
        raise
    except DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
