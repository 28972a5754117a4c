"""One declaration: the names of a family, and when its gate is in force."""

from __future__ import annotations

import pytest

from order_book_platform.fidelity.metric_declarations import declaration_of
from order_book_platform.fidelity.metric_declarations.metric_declaration import MetricDeclaration
from order_book_platform.model import Gate, Severity

FAMILY = MetricDeclaration(
    name="height_{}",
    unit="m",
    formula="top less bottom",
    n="measurements",
    description="Height of the {}.",
    blind_to="width",
    references=("snapshots",),
    variants={"door": "door of the house", "roof": "roof"},
)


def test_a_family_has_a_name_and_a_description_for_each_variant() -> None:
    """The part of the name and the words of the description belong together."""
    assert FAMILY.names == ("height_door", "height_roof")
    assert FAMILY.descriptions["height_door"] == "Height of the door of the house."


def test_a_metric_is_measured_against_declared_references_only() -> None:
    """Another one is a mistake of whoever wrote the code, and is named."""
    assert FAMILY.gate_for("snapshots", "sequence", 1.0) is None
    with pytest.raises(ValueError, match="not tickers"):
        FAMILY.gate_for("tickers", "sequence", 1.0)


def test_a_gate_is_in_force_where_it_is_declared_to_be() -> None:
    """Not against another reference; without ids not at all; by another clock as a warning, and without any not."""
    in_range = declaration_of("trade_in_range")
    assert in_range.gate_for("trades", "transaction_time", 1.0) is None
    assert in_range.gate_for("tickers", "transaction_time", 1.0) == Gate(">=", 0.99)
    assert in_range.gate_for("tickers", "origin_time", 1.0) == Gate(">=", 0.99, Severity.WARN)
    assert in_range.gate_for("tickers", "none", None) is None
    by_ids = declaration_of("seq_gap_ratio")
    assert by_ids.gate_for("sequence_gap_report", "none", None) is None
    assert by_ids.gate_for("sequence_gap_report", "none", 0.0) == Gate("<", 0.001)
    assert declaration_of("bbo_exact_seq").gate_for("golden", "sequence", None) == Gate(">=", 0.999)
