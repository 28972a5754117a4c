"""Runs assets of one partition in this process, records the run in the Dagster instance, and shows its progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import compress

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import TaskID
from rich.table import Table
from rich.text import Text

from order_book_platform.cli.dagster_instance import dagster_instance
from order_book_platform.cli.options import Invocation
from order_book_platform.cli.output import LiveProgress, kept_stderr, lines_above, live_progress
from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.defs import MATERIALIZE_JOB, Platform, Watcher, build_definitions, to_dagster
from order_book_platform.errors import OrderBookPlatformError, SettingsError
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.observability import Progress, StageMetrics, StreamMetrics
from order_book_platform.settings import Settings
from order_book_platform.sources import DayIngest
from order_book_platform.storage import DataStore, Manifest
from order_book_platform.streaming.pressure import resident_bytes

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run config that keeps Dagster's log off the terminal; the instance records it all the same."""


@dataclass(slots=True)
class RunOutcome:
    """A run that ended without an error, with the outcomes of its assets in the order in which they were made."""

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
    """Materialize the named assets of one partition, or all six, and record the run beside the settings file.

    An unknown name, a day that has not ended and one without source files are errors, and no run is recorded.
    """
    display = RunDisplay()
    definitions = build_definitions(Platform(invocation.settings_file, settings, display))
    job = definitions.resolve_job_def(MATERIALIZE_JOB)
    known = [asset.to_user_string() for asset in job.asset_layer.executable_asset_keys]
    selected = _selected(known, assets)
    with dagster_instance(invocation.settings_file) as instance:
        if job.partitions_def is None or not job.partitions_def.has_partition_key(to_dagster(key)):
            raise SettingsError(
                expected="a UTC day that has ended",
                found=key.day.isoformat(),
                where="--day",
                remedy="Wait until the day is over, or choose an earlier one.",
            )
        if "raw_deltas" in selected:
            # A day without files is a typing error: a run that fails on it would turn the lineage red.
            DayIngest(DataStore(settings.data_root), settings).require(key)
        with display.shown(key, selected), _errors_of_components():
            result = job.execute_in_process(
                run_config=QUIET,
                instance=instance,
                partition_key=to_dagster(key),
                asset_selection=[dg.AssetKey(name) for name in selected],
                tags={"obp/started_by": "cli"},
            )
    return RunOutcome(key, result.run_id, list(display.outcomes))


def _selected(known: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the wanted assets in the order in which they are made; all of them where none is named."""
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


@dataclass(frozen=True, slots=True)
class AssetOutcome:
    """One published asset: its manifest, its gates, and the time that making it took."""

    manifest: Manifest
    gates: tuple[GateResult, ...]
    seconds: float


@dataclass(slots=True)
class RunDisplay(Watcher):
    """A watcher that shows a live line per asset on a terminal, a plain line per finished asset elsewhere.

    Below the line of an asset that streams stands a table of its stages until the stream ends. `clock` measures how
    long an asset takes, `resident` the memory of the process in bytes; `outcomes` are those of finished assets.
    """

    clock: Clock = field(default_factory=Clock)
    resident: Callable[[], int] = resident_bytes
    outcomes: list[AssetOutcome] = field(default_factory=list)
    _live: LiveProgress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _running: str = ""
    _started_ns: int = 0
    _stream: StreamTable | None = None

    @contextmanager
    def shown(self, key: PartitionKey, assets: Sequence[str]) -> Iterator[None]:
        """Show the lines of the assets for the length of the block."""
        with kept_stderr() as stream, live_progress(stream) as self._live, lines_above(self._live.console):
            self._live.console.print(f"[bold]{key}[/bold]")
            for name in assets:
                self._tasks[name] = self._live.add_task(name, start=False, total=None, rows="")
            yield

    def started(self, asset: str, context: dg.AssetExecutionContext) -> Progress:
        """Start the asset's line; the returned callback moves it."""
        self._running, self._started_ns, self._stream = asset, self.clock.monotonic_ns(), None
        if self._live is not None:
            self._live.start_task(self._tasks[asset])
        return self._progressed

    def finished(self, asset: str, manifest: Manifest, gates: Sequence[GateResult]) -> None:
        """End the asset's line with its rows and time."""
        seconds = (self.clock.monotonic_ns() - self._started_ns) / NS_PER_SECOND
        outcome = AssetOutcome(manifest, tuple(gates), seconds)
        self.outcomes.append(outcome)
        rows = "" if manifest.main_rows is None else f"{manifest.main_rows:,} rows"
        if self._live is None:
            return
        if not self._live.console.is_terminal:
            self._live.console.print(f"{asset:<20} {rows:>18} {seconds:8.1f} s", markup=False)
            return
        self._live.inset = None
        self._live.update(self._tasks[asset], description=asset, total=1, completed=1, rows=rows)
        self._live.stop_task(self._tasks[asset])

    def _progressed(self, stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
        """Move the line of the running asset; satisfies `observability.Progress`."""
        live, name = self._live, self._running
        if live is None:
            return
        text = f"{name}: {stage}"
        line = live.tasks[live.task_ids.index(self._tasks[name])]
        # A stage that takes less than the display's interval would otherwise never be seen.
        live.update(
            line.id,
            refresh=line.description != text,
            description=text,
            total=total or None,
            completed=done,
            rows=f"{done:,}",
        )
        if figures is None or not live.console.is_terminal:
            live.inset = self._stream = None
            return
        if self._stream is None:
            self._stream = StreamTable()
            live.inset = (1 + list(self._tasks).index(name), self._stream)
        self._stream.update(figures, self.resident(), self.clock.monotonic_ns())


WINDOW_NS = 5 * NS_PER_SECOND
"""Rates and shares are of the last five seconds: a stage may spend one second on an item."""
WIDE = 100
"""Columns of a terminal from which on headings are written out."""
FULL = 80
"""Columns from which on every column is shown; below only those that tell which stage is the slow one."""
LEAST = 48
"""Columns below which nothing is shown: the line of the asset says how far it is."""


COLUMNS = (
    ("rows", "rows", False),
    ("rows/s", "rows/s", True),
    ("bytes", "bytes", False),
    ("waiting", "waiting", False),
    ("oldest", "oldest", False),
    ("busy", "busy", True),
    ("blocked up", "blk up", True),
    ("blocked down", "blk down", True),
)
"""Heading of each column on a wide terminal and on others, and whether it stays when there is little room."""


def _cells(before: StageMetrics, now: StageMetrics, passed_ns: int) -> tuple[str, ...]:
    """Describe a stage between two moments, a text for each of `COLUMNS`; a dash where there is nothing to say."""
    waiting = oldest = rate = "-"
    if now.queue_items:
        waiting = f"{now.queue_items}, {in_units(now.queue_bytes + now.spilled_bytes)}B"
        milliseconds = now.oldest_ns / 1e6
        oldest = f"{milliseconds:.0f} ms" if milliseconds < 1_000 else f"{milliseconds / 1e3:.1f} s"
    shares = ["-", "-", "-"]
    if passed_ns:
        rate = in_units((now.rows - before.rows) * NS_PER_SECOND / passed_ns).strip()
        ran_ns = (
            now.busy_ns - before.busy_ns,
            now.blocked_up_ns - before.blocked_up_ns,
            now.blocked_down_ns - before.blocked_down_ns,
        )
        # Stopwatches are read one after another, a little later than the clock: a share may come out above 100.
        shares = [f"{min(100.0, 100 * ns / passed_ns):.0f} %" for ns in ran_ns]
    return f"{now.rows:,}", rate, f"{in_units(now.bytes)}B", waiting, oldest, *shares


class StreamTable:
    """A rich renderable that shows the newest figures of a stream."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, StreamMetrics]] = deque()
        self._resident_bytes = 0

    def update(self, figures: StreamMetrics, resident_bytes: int, now_ns: int) -> None:
        """Take the newest figures, at a time of a monotonic clock; a stream that began again counts from its start."""
        self._resident_bytes = resident_bytes
        seen = self._seen
        if seen and _work_done(figures) < _work_done(seen[-1][1]):
            seen.clear()
        seen.append((now_ns, figures))
        while len(seen) > 2 and now_ns - seen[1][0] >= WINDOW_NS:
            seen.popleft()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give the table and a line about the whole stream; nothing where there is no room for them."""
        if not self._seen or options.max_width < LEAST:
            return
        wide = options.max_width >= WIDE
        shown = [always or options.max_width >= FULL for _, _, always in COLUMNS]
        drawn = Table(box=None, padding=(0, 2 if wide else 1, 0, 0), header_style="dim", style="dim")
        drawn.add_column("  stage", no_wrap=True)
        for heading, short, _ in compress(COLUMNS, shown):
            drawn.add_column(heading if wide else short, justify="right", no_wrap=True)
        (since_ns, before), (now_ns, now) = self._seen[0], self._seen[-1]
        for one, other in zip(before.stages, now.stages, strict=True):
            drawn.add_row(f"  {other.stage}", *compress(_cells(one, other, now_ns - since_ns), shown))
        yield drawn
        spilled = sum(stage.spilled_bytes for stage in now.stages)
        whole = (
            f"  backpressure: {now.pressure}, memory: {now.memory.replace('_', ' ')}, "
            f"{in_units(self._resident_bytes)}B resident"
            + (f", {in_units(spilled)}B spilled" if spilled else "")
        )
        yield Text(whole, style="dim", no_wrap=True, overflow="ellipsis")


def in_units(value: float) -> str:
    """Write three significant digits and a decimal prefix, such as `12.3 M`; without a prefix a space ends the text."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        scaled = value / factor
        # A number that would be rounded up to 1,000 takes the next prefix.
        if scaled >= 0.9995:
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f} {prefix}"
    return f"{value:.0f} "


def _work_done(figures: StreamMetrics) -> int:
    """Return a number that grows as long as it is the same stream, and falls when the stream begins again."""
    return sum(stage.rows + stage.busy_ns for stage in figures.stages)
