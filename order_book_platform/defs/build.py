"""Puts all of Dagster's definitions together from one settings file, with the jobs and the daily schedule."""

import dagster as dg

from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.defs.assets import build_asset, lake_specs
from order_book_platform.defs.capture_sensor import capture_sensor
from order_book_platform.defs.platform import Platform, partitions_of
from order_book_platform.defs.sensors import fidelity_sensor

HOUR_OF_DAY = 6
"""UTC hour at which the day before is made; the vendor's files of a day come some hours after midnight."""

MATERIALIZE_JOB = "materialize_partition"
FIDELITY_JOB = "check_fidelity"


def build_definitions(platform: Platform | None = None) -> dg.Definitions:
    """Build assets, checks, jobs, schedule, sensors and resource of one settings file.

    The resource is by default that of the file `OBP_CONFIG`, else of `platform.toml` in the current folder.
    """
    platform = platform or Platform.from_file()
    settings = platform.settings
    partitions = partitions_of(settings)
    # Books that continue the day before depend on themselves, one day earlier.
    continued = {"reconstructed_books"} if settings.reconstruct.continue_previous_day else set()
    assets = [build_asset(each, partitions, follows_day_before=each.name in continued) for each in ASSETS]
    all_assets = dg.define_asset_job(
        MATERIALIZE_JOB,
        selection=dg.AssetSelection.all(),
        executor_def=dg.in_process_executor,
        description="Makes every asset of one (day, symbol), from the source files to the features.",
    )
    fidelity = dg.define_asset_job(
        FIDELITY_JOB,
        selection=dg.AssetSelection.assets("fidelity_report"),
        executor_def=dg.in_process_executor,
        description="Makes the fidelity report of books that were reconstructed without one.",
    )
    # It is stopped until somebody switches it on, since it needs source files that keep coming.
    daily = dg.build_schedule_from_partitioned_job(
        all_assets,
        name="daily_partitions",
        hour_of_day=HOUR_OF_DAY,
        minute_of_hour=0,
        description=f"Makes every asset of the day before at {HOUR_OF_DAY:02d}:00 UTC, in one run per symbol.",
    )
    return dg.Definitions(
        assets=[*lake_specs(settings, partitions), *assets],
        jobs=[all_assets, fidelity],
        schedules=[daily],
        sensors=[fidelity_sensor(fidelity), capture_sensor(all_assets, platform)],
        resources={"platform": platform},
        executor=dg.in_process_executor,
    )
