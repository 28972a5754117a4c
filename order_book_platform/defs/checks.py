"""Gates as asset checks: declared from the components' lists, recorded for the partition."""

import warnings
from collections.abc import Mapping, Sequence

import dagster as dg

from order_book_platform.model import GateResult, Severity


def check_specs(
    asset: str,
    gates: Mapping[str, str],
    partitions: dg.PartitionsDefinition,
    blocking: frozenset[str] = frozenset(),
) -> Sequence[dg.AssetCheckSpec]:
    """Declare one partitioned check per gate.

    Args:
        asset: Name of the asset.
        gates: Name of each gate to its description.
        partitions: Partitions of the asset.
        blocking: Gates whose failure keeps a run from making the assets that read this one.
    """
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
    metadata: dict[str, dg.MetadataValue] = {
        "bar": dg.MetadataValue.text(gate.gate),
        "n": dg.MetadataValue.int(gate.n),
    }
    if gate.value is not None:
        metadata["value"] = dg.MetadataValue.float(float(gate.value))
    is_error = gate.severity is Severity.ERROR
    return dg.AssetCheckResult(
        check_name=gate.name,
        passed=bool(gate.passed),
        severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
        description=gate.note or None,
        metadata=metadata,
    )
