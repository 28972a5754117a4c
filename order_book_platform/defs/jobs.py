"""Jobs and the daily schedule."""

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:  # the types of two public functions, which Dagster does not export
    from dagster._core.definitions.partitions.partitioned_schedule import (
        UnresolvedPartitionedAssetScheduleDefinition,
    )
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

HOUR_OF_DAY = 6
"""UTC hour at which the day before is made; the vendor's files of a day come some hours after midnight."""

MATERIALIZE_JOB = "materialize_partition"
FIDELITY_JOB = "check_fidelity"


def all_assets_job() -> "UnresolvedAssetJobDefinition":
    """Declare the job that makes all six assets of a partition in one run."""
    return dg.define_asset_job(
        MATERIALIZE_JOB,
        selection=dg.AssetSelection.all(),
        executor_def=dg.in_process_executor,
        description="Makes every asset of one (day, symbol), from the source files to the features.",
    )


def fidelity_job() -> "UnresolvedAssetJobDefinition":
    """Declare the job that makes the fidelity report alone; the sensor launches it."""
    return dg.define_asset_job(
        FIDELITY_JOB,
        selection=dg.AssetSelection.assets("fidelity_report"),
        executor_def=dg.in_process_executor,
        description="Makes the fidelity report of books that were reconstructed without one.",
    )


def daily_schedule(
    job: "UnresolvedAssetJobDefinition",
) -> "dg.ScheduleDefinition | UnresolvedPartitionedAssetScheduleDefinition":
    """Declare the schedule that runs the job once a day and symbol, for the last finished UTC day.

    It is stopped until somebody switches it on, since it needs source files that keep coming.
    """
    return dg.build_schedule_from_partitioned_job(
        job,
        name="daily_partitions",
        hour_of_day=HOUR_OF_DAY,
        minute_of_hour=0,
        description=f"Makes every asset of the day before at {HOUR_OF_DAY:02d}:00 UTC, in one run per symbol.",
    )
