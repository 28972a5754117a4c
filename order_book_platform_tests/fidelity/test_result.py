"""The result of a measurement."""

from __future__ import annotations

from dataclasses import replace

from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.model import Gate
from order_book_platform.storage import DataStore
from order_book_platform_tests.fidelity.partitions import measure


def test_its_gates_are_those_of_the_gated_metrics_in_order(store: DataStore) -> None:
    """A metric without a gate has no result."""
    metrics = (
        Metric("first", 1.0, 5, Gate(">=", 0.9)),
        Metric("reported", 1.0, 5),
        Metric("second", 0.5, 5, Gate(">=", 0.9), reference="tickers"),
    )
    result = replace(measure(store), metrics=metrics)
    assert [(gate.name, gate.passed) for gate in result.gates] == [("first", True), ("second_tickers", False)]
