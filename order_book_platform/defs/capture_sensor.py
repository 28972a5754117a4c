"""A sensor that makes the assets of a captured day once the capture has gone on behind its end.

It looks at each capture below `capture_root` for the instruments of the settings. The cursor has, for each capture, the
first day that has not been requested, and the newest segment as it was found last: where nothing is new a tick lists
file names. `run_key` is the partition, so that a day runs once, however often it is found.
"""

import json
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from order_book_platform.clock import Clock
from order_book_platform.defs.platform import Platform, to_dagster
from order_book_platform.errors import OrderBookPlatformError
from order_book_platform.model import Instrument, PartitionKey
from order_book_platform.settings import Settings
from order_book_platform.sources import LakeSource
from order_book_platform.sources.binance.finished_days import CaptureProgress, FinishedDays, capture_folders
from order_book_platform.storage.master_keys import load_master_keys

if TYPE_CHECKING:  # the type of `define_asset_job`, which Dagster does not export
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

Cursor = Mapping[str, CaptureProgress]
"""Progress of each capture by its name, kept by Dagster between ticks as text."""


def capture_sensor(job: "UnresolvedAssetJobDefinition", platform: Platform) -> dg.SensorDefinition:
    """Declare the sensor; it is on by default, since it does nothing where nothing is captured."""

    @dg.sensor(
        name="captured_days",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes every asset of a captured day, for each listed symbol, once the capture goes on behind it.",
    )
    def captured_days(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        result, problems = evaluate(platform.settings, parse_cursor(context.cursor), Clock())
        for problem in problems:
            context.log.warning(problem)
        return result

    return captured_days


def parse_cursor(text: str | None) -> Cursor:
    """Read the cursor of the tick before; no text is the cursor before the first tick."""
    return {name: CaptureProgress.from_json(each) for name, each in json.loads(text or "{}").items()}


def evaluate(settings: Settings, cursor: Cursor, clock: Clock) -> tuple[dg.SensorResult, list[str]]:
    """Evaluate a tick: request the days that are over, set the cursor, and tell which captures cannot be read.

    A capture that cannot be read keeps its place in the cursor and holds up no other one. A day of which the lake has
    files is left to the schedule, since it is made from these.
    """
    folders = capture_folders(settings.capture_root)
    instruments = [entry.instrument for entry in settings.instruments]
    lake, now_ns = LakeSource(settings.lake_root), clock.now_ns()
    progress, problems = dict(cursor), list[str]()
    found: set[tuple[date, Instrument]] = set()
    keys = load_master_keys(settings.capture.key_file) if folders else None
    for folder in folders:
        try:
            after, days = FinishedDays(folder, keys).since(progress.get(folder.name), instruments, now_ns)
        except (OrderBookPlatformError, OSError) as error:
            problems.append(f"Capture {folder.name}: {error}")
            continue
        found |= set(days)
        if after is not None:
            progress[folder.name] = after
    wanted = [
        to_dagster(key)
        for key in sorted(
            (PartitionKey(instrument, day) for day, instrument in found),
            key=lambda key: (key.day, key.instrument.key),
        )
        if key.day >= settings.first_day and not lake.has("book_delta_v2", key)
    ]
    requests = [dg.RunRequest(run_key=str(each), partition_key=each) for each in wanted]
    idle = "; ".join(problems) or f"{len(folders)} captures; no day has ended since the last tick."
    text = json.dumps({name: each.to_json() for name, each in sorted(progress.items())})
    result = dg.SensorResult(run_requests=requests, skip_reason=None if requests else idle, cursor=text)
    return result, problems
