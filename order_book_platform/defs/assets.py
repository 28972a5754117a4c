"""The assets: thin shells that call a component and report what it published."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from order_book_platform.defs.checks import check_result, check_specs
from order_book_platform.defs.declaration import AssetDeclaration
from order_book_platform.defs.lake_assets import GROUP
from order_book_platform.defs.metadata import (
    gates_metadata,
    highlights_metadata,
    partition_metadata,
    pictures_metadata,
    siblings_metadata,
)
from order_book_platform.defs.partitions import day_before, from_dagster
from order_book_platform.defs.platform import Platform
from order_book_platform.errors import OrderBookPlatformError
from order_book_platform.model.dataset import DATASETS
from order_book_platform.version import code_version

OWNERS = ["team:market-data"]


def build_asset(
    stage: AssetDeclaration, partitions: dg.PartitionsDefinition, *, follows_day_before: bool = False
) -> dg.AssetsDefinition:
    """The asset of a stage.

    Args:
        stage: what it is made by and from.
        partitions: shared by all assets.
        follows_day_before: whether a day needs the asset's own day before, so that a backfill goes day by day.
    """
    deps = [dg.AssetDep(dg.AssetKey(dep.split("/"))) for dep in stage.deps]
    if follows_day_before:
        deps.append(dg.AssetDep(stage.name, partition_mapping=day_before()))

    @dg.asset(
        name=stage.name,
        deps=deps,
        partitions_def=partitions,
        check_specs=check_specs(stage.name, stage.gates, partitions, stage.blocking),
        description=stage.description,
        group_name=GROUP,
        kinds=set(stage.kinds),
        owners=OWNERS,
        tags={"component": stage.name},
        code_version=code_version(DATASETS[stage.name].component),
    )
    def asset(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it; with an argument it wants a tuple
        key = from_dagster(context.partition_key)
        store = platform.store
        with failures_named():
            progress = platform.watcher.started(stage.name, context)
            result = stage.component(store, platform.settings).run(key, progress)
            metadata = {
                **highlights_metadata(result.manifest, stage.highlights),
                **pictures_metadata(stage.pictures(store, key)),
                **gates_metadata(result.gates),
                **partition_metadata(store, key, result.manifest),
                **siblings_metadata(store, key, stage.siblings),
                **stage.run_metadata(result),
            }
            platform.watcher.finished(stage.name, result.manifest, result.gates)
            return dg.MaterializeResult(
                metadata=metadata,
                check_results=[check_result(gate) for gate in result.gates if gate.name in stage.gates],
                data_version=dg.DataVersion(result.manifest.fingerprint),
            )

    return asset


@contextmanager
def failures_named() -> Iterator[None]:
    """Turn what a user can put right into a failure that says so, and that no retry would cure."""
    try:
        yield
    except OrderBookPlatformError as error:
        raise dg.Failure(
            description=str(error),
            metadata={name: str(getattr(error, name)) for name in ("where", "expected", "found", "remedy")},
            allow_retries=False,
        ) from error
