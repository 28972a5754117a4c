"""The resource `platform`: settings, data store, and a watcher that is told of the assets being made.

Its settings give the partitions of every asset, (day, symbol), whose keys are translated between Dagster and us.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.model import GateResult, PartitionKey
from order_book_platform.observability import Progress, StreamMetrics
from order_book_platform.settings import Settings, load_settings, settings_path
from order_book_platform.storage import DataStore, Manifest

LOG_EVERY_NS = 5 * NS_PER_SECOND
"""Time between two lines of progress in a run's log."""


class Watcher:
    """A watcher is told of each asset of a run; this one writes progress to the run's log."""

    def started(self, asset: str, context: dg.AssetExecutionContext) -> Progress:
        """Take note that an asset begins; its component reports progress to the returned callback."""
        return LoggedProgress(context.log.info)

    def finished(self, asset: str, manifest: Manifest, gates: Sequence[GateResult]) -> None:
        """Take note that an asset has been published; the materialization says all that a log would."""


class LoggedProgress:
    """Progress as lines in the run's log: the end of every stage, and every five seconds in between."""

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
    """The resource of all assets: everything that a run needs besides its partition."""

    settings_file: Path
    settings: Settings
    watcher: Watcher = field(default_factory=Watcher)

    @classmethod
    def from_file(cls, path: Path | None = None) -> "Platform":
        """Read the platform of a settings file; by default `OBP_CONFIG`, else `./platform.toml`."""
        file = settings_path(path)
        return cls(file, load_settings(file))

    @property
    def store(self) -> DataStore:
        """The store that datasets are published in."""
        return DataStore(self.settings.data_root)


DAY = "day"
SYMBOL = "symbol"


def partitions_of(settings: Settings) -> dg.MultiPartitionsDefinition:
    """Partition assets by UTC day, from `first_day` to the last finished one, and by listed symbol."""
    return dg.MultiPartitionsDefinition(
        {
            DAY: dg.DailyPartitionsDefinition(start_date=settings.first_day.isoformat(), timezone="UTC"),
            SYMBOL: dg.StaticPartitionsDefinition([entry.symbol for entry in settings.instruments]),
        }
    )


def to_dagster(key: PartitionKey) -> dg.MultiPartitionKey:
    """Translate a partition's key into Dagster's, `2024-08-08|EXCHANGE:SYMBOL`."""
    return dg.MultiPartitionKey({DAY: key.day.isoformat(), SYMBOL: key.instrument.key})


def from_dagster(partition_key: str) -> PartitionKey:
    """Translate Dagster's key, whose dimensions stand in the order of their names, into a `PartitionKey`."""
    day, symbol = partition_key.split("|", 1)
    return PartitionKey.parse(symbol, day)


def day_before() -> dg.PartitionMapping:
    """Map a partition to the same symbol one day earlier; the first day maps to nothing."""
    with warnings.catch_warnings():
        # Beta in Dagster 1.13, and the only mapping that moves one dimension and keeps the other.
        warnings.simplefilter("ignore", dg.BetaWarning)
        earlier = dg.TimeWindowPartitionMapping(
            start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
        )
        return dg.MultiPartitionMapping(
            {
                DAY: dg.DimensionPartitionMapping(DAY, earlier),
                SYMBOL: dg.DimensionPartitionMapping(SYMBOL, dg.IdentityPartitionMapping()),
            }
        )
