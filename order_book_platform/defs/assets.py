"""Dagster's assets: each calls its component and reports what the component published."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from order_book_platform.defs.asset_declaration import AssetDeclaration
from order_book_platform.defs.checks import check_result, check_specs
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
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.version import code_version

OWNERS = ["team:market-data"]


def build_asset(
    declared: AssetDeclaration, partitions: dg.PartitionsDefinition, *, follows_day_before: bool = False
) -> dg.AssetsDefinition:
    """Turn a declaration into Dagster's asset.

    Args:
        declared: Component, dependencies and texts of the asset.
        partitions: Partitions that all assets share.
        follows_day_before: Whether a day needs the asset's own day before, so that a backfill goes day by day.
    """
    deps = [dg.AssetDep(dg.AssetKey(dep.split("/"))) for dep in declared.deps]
    if follows_day_before:
        deps.append(dg.AssetDep(declared.name, partition_mapping=day_before()))

    @dg.asset(
        name=declared.name,
        deps=deps,
        partitions_def=partitions,
        check_specs=check_specs(declared.name, declared.gates, partitions, declared.blocking),
        description=declared.description,
        group_name=GROUP,
        kinds=set(declared.kinds),
        owners=OWNERS,
        tags={"component": declared.name},
        code_version=code_version(DATASETS[declared.name].component),
    )
    def asset(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads it; with an argument it wants a tuple
        key = from_dagster(context.partition_key)
        store = platform.store
        with failures_named():
            progress = platform.watcher.started(declared.name, context)
            result = declared.component(store, platform.settings).run(key, progress)
            metadata = {
                **highlights_metadata(result.manifest, declared.highlights),
                **pictures_metadata(declared.pictures(store, key)),
                **gates_metadata(result.gates),
                **partition_metadata(store, key, result.manifest),
                **siblings_metadata(store, key, declared.siblings),
                **declared.run_metadata(result),
            }
            platform.watcher.finished(declared.name, result.manifest, result.gates)
            return dg.MaterializeResult(
                metadata=metadata,
                check_results=[check_result(gate) for gate in result.gates if gate.name in declared.gates],
                data_version=dg.DataVersion(result.manifest.fingerprint),
            )

    return asset


@contextmanager
def failures_named() -> Iterator[None]:
    """Turn an error that a user can put right into a failure that says how, and that is not tried again."""
    try:
        yield
    except OrderBookPlatformError as error:
        raise dg.Failure(
            description=str(error),
            metadata={name: str(getattr(error, name)) for name in ("where", "expected", "found", "remedy")},
            allow_retries=False,
        ) from error
