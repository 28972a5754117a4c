"""Dagster's assets and their checks: each calls its component and reports what the component published.

The lake's source files are external assets, so that lineage starts where the data come from.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import dagster as dg

from order_book_platform.defs.asset_catalog import AssetDeclaration
from order_book_platform.defs.metadata import (
    gates_metadata,
    highlights_metadata,
    partition_metadata,
    pictures_metadata,
    siblings_metadata,
)
from order_book_platform.defs.platform import Platform, day_before, from_dagster
from order_book_platform.errors import OrderBookPlatformError
from order_book_platform.model import GateResult, Severity
from order_book_platform.model.dataset_catalog import DATASETS
from order_book_platform.settings import Settings
from order_book_platform.version import code_version

OWNERS = ["team:market-data"]
GROUP = "order_books"
"""One group for all assets: the UI draws several as closed boxes, and lineage is what people come for."""

TABLES = {
    "book_delta_v2": (
        "It has one row per changed level with the level's absolute size; 0 removes the level. "
        "It starts mid-stream and has no resets."
    ),
    "book": (
        "It holds the vendor's own book, 20 levels a side, about every 100 ms. The platform seeds its books from "
        "some of these rows and measures them against the others."
    ),
    "trades": "It has one row per trade, with the aggressor's side.",
}
"""Tables of the lake that the platform reads, with their descriptions for the UI."""


def lake_specs(settings: Settings, partitions: dg.PartitionsDefinition) -> Sequence[dg.AssetSpec]:
    """Declare one external asset per Crypto Lake table that is read."""
    root = settings.lake_root
    return [
        dg.AssetSpec(
            dg.AssetKey(["lake", table]),
            description=f"The table `{table}` of Crypto Lake. {text}",
            group_name=GROUP,
            kinds={"parquet", "source"},
            partitions_def=partitions,
            metadata={
                "files": dg.MetadataValue.path(
                    root / table / "exchange=…" / "symbol=…" / "dt=…" / "*.parquet"
                )
            },
        )
        for table, text in TABLES.items()
    ]


def build_asset(
    declared: AssetDeclaration, partitions: dg.PartitionsDefinition, *, follows_day_before: bool = False
) -> dg.AssetsDefinition:
    """Turn a declaration into Dagster's asset.

    If it follows the day before, a day needs the asset's own day before, so that a backfill goes day by day.
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


def check_specs(
    asset: str,
    gates: Mapping[str, str],
    partitions: dg.PartitionsDefinition,
    blocking: frozenset[str] = frozenset(),
) -> Sequence[dg.AssetCheckSpec]:
    """Declare one partitioned check per gate; if a blocking one fails, a run makes nothing that reads the asset."""
    with warnings.catch_warnings():
        # Partitioned checks are a preview in Dagster 1.13; others would show one verdict for all days.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return [
            dg.AssetCheckSpec(
                name, asset=asset, description=text, partitions_def=partitions, blocking=name in blocking
            )
            for name, text in gates.items()
        ]


def check_result(gate: GateResult) -> dg.AssetCheckResult:
    """Translate a gate's outcome; a missing figure is left out of the metadata, not shown as 0."""
    value = {} if gate.value is None else {"value": float(gate.value)}
    is_error = gate.severity is Severity.ERROR
    return dg.AssetCheckResult(
        check_name=gate.name,
        passed=bool(gate.passed),
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=gate.note or None,
        metadata={"bar": gate.gate, "n": gate.n, **value},
    )
