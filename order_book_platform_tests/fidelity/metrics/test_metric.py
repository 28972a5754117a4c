"""Metrics, their gates and the judgement of placebos."""

from __future__ import annotations

import json

import pytest

from order_book_platform.datasets.frame_schemas import METRICS_SCHEMA
from order_book_platform.fidelity.metric_declarations import WITHOUT_BEST
from order_book_platform.fidelity.metrics.metric import (
    Metric,
    failed_gates,
    judge_placebos,
    metrics_table,
    verdict_line,
)
from order_book_platform.model import Gate, GateResult, Severity

BAR = Gate(">=", 0.9)


def test_a_figure_without_observations_fails_its_gate() -> None:
    """Neither a missing value nor a perfect one with n = 0 passes."""
    for value, n in ((None, 0), (None, 5), (1.0, 0)):
        result = Metric("m", value, n, BAR).result
        assert result is not None
        assert not result.passed


def test_a_declared_metric_has_its_gate_and_its_placebos() -> None:
    """Both come from the declaration: a bar and later references, or none and references without a best level."""
    exact = Metric.of("bbo_exact_seq", 0.5, 10, "note", reference="tickers", placebos=[0.1, 0.2])
    assert (str(exact.gate), exact.spoiled, exact.gate_name) == (
        ">= 0.999",
        ("1s", "10s"),
        "bbo_exact_seq_tickers",
    )
    distance = Metric.of("tv_spread", 0.5, 10, placebos=[0.1, 0.2])
    assert (distance.gate, distance.spoiled) == (None, ("no_bid", "no_ask"))


def test_what_is_not_declared_is_refused() -> None:
    """Neither a name nor a reference that no declaration has."""
    with pytest.raises(KeyError):
        Metric.of("new_metric", 0.5, 10)
    with pytest.raises(ValueError, match="bbo_exact_seq is declared against"):
        Metric.of("bbo_exact_seq", 0.5, 10, reference="trades")


def test_a_metric_without_gate_is_only_reported() -> None:
    """It has no verdict and no placebo to fail."""
    metric = Metric("m", 0.0, 5, placebos=(1.0,))
    assert metric.result is None
    assert metric.placebo_fails is None


@pytest.mark.parametrize(
    ("placebos", "fails"),
    [
        ((0.1, 0.2), True),
        ((0.1, None), True),
        ((0.1, 0.95), False),
        ((0.95, None), False),
        ((None, None), False),
        ((), None),
    ],
)
def test_a_placebo_fails_where_some_was_measured_and_none_passes(
    placebos: tuple[float | None, ...], fails: bool | None
) -> None:
    """A placebo that could not be measured shows nothing, so it does not count as failing."""
    assert Metric("m", 1.0, 5, BAR, placebos=placebos).placebo_fails is fails


def test_one_passing_placebo_fails_the_partition() -> None:
    """The gate wants all of them to fail and names the metric that showed nothing."""
    good = Metric("good", 1.0, 5, BAR, placebos=(0.1, 0.2))
    empty = Metric("empty", 1.0, 5, BAR, reference="tickers", placebos=(0.95, 0.2))
    assert judge_placebos([good]).value == 1.0
    judged = judge_placebos([good, empty, Metric("none", 1.0, 5, BAR)])
    assert (judged.value, judged.n) == (0.5, 2)
    assert judged.result is not None
    assert not judged.result.passed
    assert "empty_tickers" in judged.note


def test_without_placebos_their_gate_fails() -> None:
    """Metrics that were not measured have no placebos, and no evidence is no pass."""
    judged = judge_placebos([Metric("m", None, 0, BAR, placebos=(None, None))])
    assert judged.value is None
    assert judged.result is not None
    assert not judged.result.passed


def test_rows_carry_all_columns() -> None:
    """metrics.parquet has a row per metric in order, nulls where there is nothing."""
    table = metrics_table(
        [
            Metric("a", 0.5, 3, BAR, 2, "sequence", "tickers", (0.1, None)),
            Metric("b", None, 0),
            Metric("c", 0.95, 4, BAR, placebos=(None, 0.3), spoiled=WITHOUT_BEST, interval=(0.9, 1.0)),
        ]
    )
    assert table.schema == METRICS_SCHEMA
    assert table.to_pylist() == [
        {
            "name": "a",
            "value": 0.5,
            "low": None,
            "high": None,
            "gate": ">= 0.9",
            "pass": False,
            "n": 3,
            "unmatched": 2,
            "alignment": "sequence",
            "reference": "tickers",
            "placebo_1s": 0.1,
            "placebo_10s": None,
            "placebo_no_bid": None,
            "placebo_no_ask": None,
            "placebo_fails": True,
        },
        {
            "name": "b",
            "value": None,
            "low": None,
            "high": None,
            "gate": None,
            "pass": None,
            "n": 0,
            "unmatched": 0,
            "alignment": "none",
            "reference": "snapshots",
            "placebo_1s": None,
            "placebo_10s": None,
            "placebo_no_bid": None,
            "placebo_no_ask": None,
            "placebo_fails": None,
        },
        {
            "name": "c",
            "value": 0.95,
            "low": 0.9,
            "high": 1.0,
            "gate": ">= 0.9",
            "pass": True,
            "n": 4,
            "unmatched": 0,
            "alignment": "none",
            "reference": "snapshots",
            "placebo_1s": None,
            "placebo_10s": None,
            "placebo_no_bid": None,
            "placebo_no_ask": 0.3,
            "placebo_fails": True,
        },
    ]


def test_failed_gates_are_told_apart_by_severity() -> None:
    """A warning is no error and the other way round; what holds is neither."""
    bars = (Gate(">=", 0.9), Gate(">=", 0.9, Severity.WARN))
    metrics = [Metric(f"{value}", value, 5, bar) for bar in bars for value in (0.5, 0.95)]
    gates = [metric.result for metric in metrics if metric.result is not None]
    assert failed_gates(gates, Severity.ERROR) == (gates[0],)
    assert failed_gates(gates, Severity.WARN) == (gates[2],)


@pytest.mark.parametrize(
    ("error", "warning", "line"),
    [
        (1.0, 1.0, "faithful"),
        (1.0, 0.0, "faithful, warned: knows"),
        (0.0, 1.0, "not faithful: right"),
        (None, 1.0, "not shown to be faithful, not measured: right"),
        (None, 0.0, "not shown to be faithful, not measured: right; warned: knows"),
    ],
)
def test_the_verdict_is_one_line(error: float | None, warning: float, line: str) -> None:
    """What fails is named, errors before warnings; what was not measured does not pass, and is told apart."""
    gates = (
        GateResult.of("knows", warning, Gate(">=", 0.5, Severity.WARN), n=1, note=""),
        GateResult.of("right", error, Gate(">=", 0.5), n=1, note=""),
    )
    assert verdict_line(gates) == line


def test_a_lack_of_evidence_stands_beside_what_is_wrong() -> None:
    """One gate that is contradicted makes the book unfaithful; those without an observation are still named apart."""
    gates = (
        GateResult.of("right", 0.0, Gate(">=", 0.5), n=1),
        GateResult.of("deep", None, Gate(">=", 0.5), n=0),
        GateResult.of("holds", 1.0, Gate(">=", 0.5), n=1),
    )
    assert verdict_line(gates) == "not faithful: right; not measured: deep"
    assert failed_gates(gates, Severity.ERROR) == gates[:2]


def test_gates_read_from_a_report_are_judged_alike() -> None:
    """A severity that came out of JSON is a word, and means the same."""
    gate = GateResult.of("right", 0.0, Gate(">=", 0.5), n=1, note="")
    read = GateResult(**json.loads(json.dumps(gate.to_dict())))
    assert failed_gates([read], Severity.ERROR) == (read,)
    assert verdict_line([read]) == verdict_line([gate]) == "not faithful: right"
