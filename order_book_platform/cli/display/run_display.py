"""Shows a run: a line per asset, and below the asset that streams, what its stages are doing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.progress import TaskID

from order_book_platform.cli.display.live_terminal import LiveProgress, kept_stderr, lines_above
from order_book_platform.cli.display.output import live_progress
from order_book_platform.cli.display.stream_table import StreamTable
from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, StreamMetrics
from order_book_platform.storage import Manifest
from order_book_platform.streaming.pressure import resident_bytes

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True, slots=True)
class AssetOutcome:
    """One published asset.

    Attributes:
        manifest: Manifest of the partition.
        gates: Figures against their bars.
        seconds: Time that making it took.
    """

    manifest: Manifest
    gates: tuple[GateResult, ...]
    seconds: float

    @property
    def rows(self) -> int | None:
        """Number of rows of the main file; None where that is not a table."""
        return self.manifest.main_rows


@dataclass(slots=True)
class _Running:
    """The asset that is being made, when it began, and its table of stages while it streams."""

    name: str
    started_ns: int
    stream: StreamTable | None = None


@dataclass(slots=True)
class RunDisplay:
    """A `defs.Watcher`: a live line per asset on a terminal, a plain line per finished asset elsewhere.

    Below the line of an asset that streams stands a table of its stages until the stream ends.

    Attributes:
        clock: Measures how long an asset takes.
        resident: Measures the resident memory of the process, bytes.
        outcomes: Outcomes of the assets that are done, in order.
    """

    clock: Clock = field(default_factory=Clock)
    resident: Callable[[], int] = resident_bytes
    outcomes: list[AssetOutcome] = field(default_factory=list)
    _live: LiveProgress | None = None
    _tasks: dict[str, TaskID] = field(default_factory=dict)
    _running: _Running | None = None

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
        self._running = _Running(asset, self.clock.monotonic_ns())
        if self._live is not None:
            self._live.start_task(self._tasks[asset])
        return self._progressed

    def finished(self, asset: str, manifest: Manifest, gates: Sequence[GateResult]) -> None:
        """End the asset's line with its rows and time."""
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
        self._live.inset = None
        self._live.update(self._tasks[asset], description=asset, total=1, completed=1, rows=rows)
        self._live.stop_task(self._tasks[asset])

    def _progressed(self, stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
        """Move the line of the running asset; satisfies `observability.Progress`."""
        if self._live is None or self._running is None:
            return
        name = self._running.name
        self._live.update(
            self._tasks[name],
            description=f"{name}: {stage}",
            total=total or None,
            completed=done,
            rows=f"{done:,}",
        )
        if self._live.console.is_terminal:
            self._show_stream(self._live, self._running, figures)

    def _show_stream(self, live: LiveProgress, running: _Running, figures: StreamMetrics | None) -> None:
        """Show the stages below the line of the asset while it streams, and nothing there otherwise."""
        if figures is None:
            live.inset = running.stream = None
            return
        if running.stream is None:
            running.stream = StreamTable()
            live.inset = (1 + list(self._tasks).index(running.name), running.stream)
        running.stream.update(figures, self.resident(), self.clock.monotonic_ns())
