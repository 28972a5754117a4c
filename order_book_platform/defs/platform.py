"""The resource `platform`: settings, data store, and a watcher that is told of the assets being made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import dagster as dg

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.model import GateResult
from order_book_platform.observability import Progress, StreamMetrics
from order_book_platform.settings import Settings, load_settings, settings_path
from order_book_platform.storage import DataStore, Manifest

LOG_EVERY_NS = 5 * NS_PER_SECOND
"""Time between two lines of progress in a run's log."""


class Watcher(Protocol):
    """Is told of each asset of a run when it begins and when it has been published."""

    def started(self, asset: str, context: dg.AssetExecutionContext) -> Progress:
        """Take note that an asset begins; its component reports progress to the returned callback."""

    def finished(self, asset: str, manifest: Manifest, gates: Sequence[GateResult]) -> None:
        """Take note that an asset's partition has been published."""


class LogWatcher:
    """A watcher that writes progress to the run's log; results are in the materialization anyway."""

    def started(self, asset: str, context: dg.AssetExecutionContext) -> Progress:
        """Give a callback that writes progress as log lines."""
        return LoggedProgress(context.log.info)

    def finished(self, asset: str, manifest: Manifest, gates: Sequence[GateResult]) -> None:
        """Do nothing: the materialization says it all."""


class LoggedProgress:
    """Progress as lines in the run's log: the end of every stage, and every five seconds in between.

    Args:
        log: Called with each line.
        clock: Measures the five seconds; the machine's clock by default.
    """

    def __init__(self, log: Callable[[str], None], clock: Clock | None = None) -> None:
        self._log = log
        self._clock = clock or Clock()
        self._last_ns = self._clock.monotonic_ns()

    def __call__(self, stage: str, done: int, total: int, figures: StreamMetrics | None = None) -> None:
        """Report `done` of `total` units of a stage; a total of 0 means that it is not known."""
        now_ns = self._clock.monotonic_ns()
        if done != total and now_ns - self._last_ns < LOG_EVERY_NS:
            return
        self._last_ns = now_ns
        self._log(f"{stage}: {done:,} of {total:,}" if total else f"{stage}: {done:,}")


@dataclass(frozen=True)
class Platform:
    """The resource of all assets: everything that a run needs besides its partition.

    Attributes:
        settings_file: File that the settings were read from.
        settings: Validated settings.
        watcher: Told of every asset that starts and finishes.
    """

    settings_file: Path
    settings: Settings
    watcher: Watcher = field(default_factory=LogWatcher)

    @classmethod
    def from_file(cls, path: Path | None = None) -> "Platform":
        """Read the platform of a settings file; by default `OBP_CONFIG`, else `./platform.toml`.

        Raises:
            SettingsError: The file or a value is wrong.
        """
        file = settings_path(path)
        return cls(file, load_settings(file))

    @property
    def store(self) -> DataStore:
        """The store that datasets are published in."""
        return DataStore(self.settings.data_root)
