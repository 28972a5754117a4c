"""Runs assets of one partition in this process, records the run in the Dagster instance, and shows its progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from order_book_platform.cli.display.run_display import AssetOutcome, RunDisplay
from order_book_platform.cli.group import Invocation
from order_book_platform.cli.instance import dagster_instance
from order_book_platform.defs import MATERIALIZE_JOB, Platform, build_definitions, to_dagster
from order_book_platform.errors import OrderBookPlatformError, SettingsError
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.settings import Settings
from order_book_platform.sources import DayIngest
from order_book_platform.storage import DataStore

TAGS = {"obp/started_by": "cli"}
"""Tags of the runs that `obp` records."""
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's log off the terminal; the instance records it all the same."""


@dataclass(slots=True)
class RunOutcome:
    """A run that ended without an error.

    Attributes:
        key: Partition of the run.
        run_id: Id under which Dagster keeps the run.
        assets: Outcomes in the order in which the assets were made.
    """

    key: PartitionKey
    run_id: str
    assets: list[AssetOutcome]

    @property
    def gates(self) -> list[tuple[str, GateResult]]:
        """Every gate of every asset, with the name of the asset."""
        return [(asset.manifest.dataset, gate) for asset in self.assets for gate in asset.gates]

    @property
    def passed(self) -> bool:
        """Whether every gate of severity `error` holds."""
        return all(gate.passed or gate.severity is not Severity.ERROR for _, gate in self.gates)


def run_assets(
    invocation: Invocation, settings: Settings, key: PartitionKey, assets: Sequence[str]
) -> RunOutcome:
    """Materialize assets of one partition.

    Args:
        invocation: Names the settings file, which decides where the instance is.
        settings: Settings read from that file.
        key: Partition to make.
        assets: Names of assets; all six where empty.

    Raises:
        SettingsError: An asset's name is unknown, or the day has not ended.
        SourceMissingError: There are no source files of that day; no run is recorded.
        OrderBookPlatformError: A component refuses its input.
        KeyboardInterrupt: The user stopped the run.
    """
    display = RunDisplay()
    definitions = build_definitions(Platform(invocation.settings_file, settings, display))
    job = definitions.resolve_job_def(MATERIALIZE_JOB)
    known = [asset.to_user_string() for asset in job.asset_layer.executable_asset_keys]
    selected = _selected(known, assets)
    with dagster_instance(invocation.settings_file) as instance:
        _refuse_unfinished_day(job, key)
        if "raw_deltas" in selected:
            # A day without files is a typing error: a run that fails on it would turn the lineage red.
            DayIngest(DataStore(settings.data_root), settings).require(key)
        with display.shown(key, selected), _errors_of_components():
            result = job.execute_in_process(
                run_config=QUIET,
                instance=instance,
                partition_key=to_dagster(key),
                asset_selection=[dg.AssetKey(name) for name in selected],
                tags=TAGS,
            )
    return RunOutcome(key, result.run_id, list(display.outcomes))


def _selected(known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The wanted assets in the order in which they are made; all of them where none is named."""
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


def _refuse_unfinished_day(job: dg.JobDefinition, key: PartitionKey) -> None:
    """Refuse a day that Dagster has no partition of yet."""
    if job.partitions_def is None or not job.partitions_def.has_partition_key(to_dagster(key)):
        raise SettingsError(
            expected="a UTC day that has ended",
            found=key.day.isoformat(),
            where="--day",
            remedy="Wait until the day is over, or choose an earlier one.",
        )


@contextmanager
def _errors_of_components() -> Iterator[None]:
    """Take a component's own error out of Dagster's wrapping, and turn Dagster's interrupt back into Ctrl-C."""
    try:
        yield
    except dg.Failure as failure:
        if isinstance(failure.__cause__, OrderBookPlatformError):
            raise failure.__cause__ from None
        raise
    except DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
