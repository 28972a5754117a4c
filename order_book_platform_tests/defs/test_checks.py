"""Gates become asset checks: declared once a gate, with the outcome's figure, bar, severity and note."""

from __future__ import annotations

import dagster as dg
import pytest

from order_book_platform.defs.checks import check_result, check_specs
from order_book_platform.model import Gate, GateResult, Severity

PARTITIONS = dg.StaticPartitionsDefinition(["one", "two"])


def test_each_gate_is_a_partitioned_check() -> None:
    """Name, description, partitions and whether it blocks are those that were declared, without a warning."""
    gates = {"rows": "Number of rows.", "share": "Share of rows."}
    specs = check_specs("books", gates, PARTITIONS, frozenset({"rows"}))
    assert [(spec.name, spec.description, spec.blocking) for spec in specs] == [
        ("rows", "Number of rows.", True),
        ("share", "Share of rows.", False),
    ]
    assert {spec.asset_key for spec in specs} == {dg.AssetKey("books")}
    assert {spec.partitions_def for spec in specs} == {PARTITIONS}


@pytest.mark.parametrize(
    ("severity", "shown"),
    [(Severity.ERROR, dg.AssetCheckSeverity.ERROR), (Severity.WARN, dg.AssetCheckSeverity.WARN)],
)
def test_an_outcome_is_shown_as_it_is(severity: Severity, shown: dg.AssetCheckSeverity) -> None:
    """Figure, bar, count, severity and note of a gate reach the check."""
    gate = GateResult.of("share", 0.5, Gate(">=", 0.9, severity), n=10, note="Share of rows.")
    result = check_result(gate)
    assert (result.check_name, result.passed, result.severity) == ("share", False, shown)
    assert result.description == "Share of rows."
    assert {name: value.value for name, value in result.metadata.items()} == {
        "bar": ">= 0.9",
        "n": 10,
        "value": 0.5,
    }


def test_a_figure_that_could_not_be_measured_is_left_out() -> None:
    """A missing figure is not shown as 0, and an empty note not as an empty line."""
    result = check_result(GateResult.of("share", None, Gate(">=", 0.9), n=0))
    assert not result.passed
    assert result.description is None
    assert set(result.metadata) == {"bar", "n"}
