"""Puts all of Dagster's definitions together from one settings file."""

import dagster as dg

from order_book_platform.defs.asset_catalog import ASSETS
from order_book_platform.defs.assets import build_asset
from order_book_platform.defs.jobs import all_assets_job, daily_schedule, fidelity_job
from order_book_platform.defs.lake_assets import lake_specs
from order_book_platform.defs.partitions import partitions_of
from order_book_platform.defs.platform import Platform
from order_book_platform.defs.sensors import fidelity_sensor


def build_definitions(platform: Platform | None = None) -> dg.Definitions:
    """Build assets, checks, jobs, schedule, sensor and resource of one settings file.

    Args:
        platform: The resource that assets use; by default that of the settings file `OBP_CONFIG`, else of
            `platform.toml` in the current folder.

    Raises:
        SettingsError: The file or a value is wrong.
    """
    platform = platform or Platform.from_file()
    settings = platform.settings
    partitions = partitions_of(settings)
    # Books that continue the day before depend on themselves, one day earlier.
    continued = {"reconstructed_books"} if settings.reconstruct.continue_previous_day else set()
    assets = [build_asset(each, partitions, follows_day_before=each.name in continued) for each in ASSETS]
    all_assets, fidelity = all_assets_job(), fidelity_job()
    return dg.Definitions(
        assets=[*lake_specs(settings, partitions), *assets],
        jobs=[all_assets, fidelity],
        schedules=[daily_schedule(all_assets)],
        sensors=[fidelity_sensor(fidelity)],
        resources={"platform": platform},
        executor=dg.in_process_executor,
    )
