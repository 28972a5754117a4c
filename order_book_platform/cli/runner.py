"""Runs assets of one partition in this process, recorded in the Dagster instance, and watches them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from order_book_platform.clock import NS_PER_SECOND, Clock, SystemClock
from order_book_platform.errors import OrderBookPlatformError, SettingsError
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.storage import DATASETS, Manifest

if TYPE_CHECKING:
    import dagster as dg
    from rich.progress import Progress, TaskID

    from order_book_platform import observability
    from order_book_platform.cli.group import Invocation
    from order_book_platform.settings import Settings

TAGS = {"obp/started_by": "cli"}
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's log off the terminal; the instance records it all the same."""


@dataclass(frozen=True, slots=True)
class AssetOutcome:
    """One published asset.

    Attributes:
        manifest: of the partition.
        gates: figures against their bars.
        seconds: how long it took.
    """

    manifest: Manifest
    gates: tuple[GateResult, ...]
    seconds: float

    @property
    def rows(self) -> int | None:
        """Rows of the main file; None where that is not a table."""
        return self.manifest.main_rows


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
        OrderBookPlatformError: whatever a component refuses.
        KeyboardInterrupt: the user stopped it.
    """
    import dagster as dg

    from order_book_platform.cli.instance import dagster_instance
    from order_book_platform.defs import MATERIALIZE_JOB, Platform, build_definitions, to_dagster

    board = AssetBoard()
    definitions = build_definitions(Platform(invocation.settings_file, settings, board))
    job = definitions.resolve_job_def(MATERIALIZE_JOB)
    known = [asset.to_user_string() for asset in job.asset_layer.executable_asset_keys]
    selected = _selected(known, assets)
    with dagster_instance(invocation.settings_file) as instance:
        _refuse_unfinished_day(job, key, to_dagster(key))
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


@dataclass(slots=True)
class _Running:
    name: str
    started_ns: int


@dataclass(slots=True)
class AssetBoard:
    """A `defs.Watcher`: a live line per asset on a terminal, a plain line per finished asset elsewhere.

    Attributes:
        clock: measures how long an asset takes.
        outcomes: of the assets that are done.
    """

    clock: Clock = field(default_factory=SystemClock)
    outcomes: list[AssetOutcome] = field(default_factory=list)
    _live: Progress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _running: _Running | None = None

    @contextmanager
    def shown(self, key: PartitionKey, assets: Sequence[str]) -> Iterator[None]:
        """Draw the board for the length of the block."""
        from order_book_platform.cli.output import kept_stderr, live_progress

        with kept_stderr() as stream, live_progress(stream) as self._live:
            self._live.console.print(f"[bold]{key}[/bold]")
            for name in assets:
                self._tasks[name] = self._live.add_task(name, start=False, total=None, rows="")
            yield

    def started(self, asset: str, context: dg.AssetExecutionContext) -> observability.Progress:
        """Start the asset's line."""
        self._running = _Running(asset, self.clock.monotonic_ns())
        if self._live is not None:
            self._live.start_task(self._tasks[asset])
        return self._progressed

    def finished(self, asset: str, manifest: Manifest, gates: Sequence[GateResult]) -> None:
        """Close the asset's line with its rows and time."""
        assert self._running is not None
        seconds = (self.clock.monotonic_ns() - self._running.started_ns) / NS_PER_SECOND
        outcome = AssetOutcome(manifest, tuple(gates), seconds)
        self.outcomes.append(outcome)
        rows = "" if outcome.rows is None else f"{outcome.rows:,} rows"
        if self._live is None:
            return
        if not self._live.console.is_terminal:
            self._live.console.print(f"{asset:<20} {rows:>18} {seconds:8.1f} s", markup=False)
            return
        self._live.update(self._tasks[asset], description=asset, total=1, completed=1, rows=rows)
        self._live.stop_task(self._tasks[asset])

    def _progressed(self, stage: str, done: int, total: int) -> None:
        if self._live is not None and self._running is not None:
            name = self._running.name
            self._live.update(
                self._tasks[name],
                description=f"{name}: {stage}",
                total=total or None,
                completed=done,
                rows=f"{done:,}",
            )
