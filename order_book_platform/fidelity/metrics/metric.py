"""One figure of a fidelity report with everything that is printed beside it, and the verdict over all figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import filterfalse
from typing import Any, Self

import pyarrow as pa

from order_book_platform.datasets.frame_schemas import METRICS_SCHEMA
from order_book_platform.fidelity.metric_declarations import (
    LATER,
    NAMED_REFERENCES,
    PLACEBOS,
    SNAPSHOTS,
    WITHOUT_BEST,
    declaration_of,
    gate_of,
)
from order_book_platform.model import Gate, GateResult, Severity


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of metrics.parquet.

    Attributes:
        value: The figure; None where it cannot be measured.
        n: Number of observations behind the figure.
        gate: The bar that the figure has to meet; None where it is only reported.
        unmatched: Number of references, or against tickers of book rows, that have no partner to be compared with.
        alignment: How book and reference were matched: `sequence`, `sequence_equal`, `transaction_time`,
            `origin_time`, `received_time`, `time_weighted` or `none`.
        reference: The dataset that the book was measured against.
        placebos: The same figure against two spoiled references; None where it cannot be measured, or where what was
            spoiled plays no part in it. Empty for a figure in which no value of a reference plays a part.
        note: One sentence for people.
        spoiled: How the references of the placebos were spoiled: the columns of one of the declared placebos.
        interval: 95 % confidence interval of the value; None where there is none.
    """

    name: str
    value: float | None
    n: int
    gate: Gate | None = None
    unmatched: int = 0
    alignment: str = "none"
    reference: str = SNAPSHOTS
    placebos: tuple[float | None, ...] = ()
    note: str = ""
    spoiled: tuple[str, ...] = LATER
    interval: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        value: float | None,
        n: int,
        note: str = "",
        *,
        reference: str = SNAPSHOTS,
        alignment: str = "none",
        placebos: Iterable[float | None] = (),
        **others: Any,
    ) -> Self:
        """Return the row of a declared metric: its gate and the kind of its placebos come from the declaration.

        Raises:
            KeyError: No metric of this name is declared.
            ValueError: The metric is not declared to be measured against this reference.
        """
        return cls(
            name,
            value,
            n,
            gate_of(name, reference, alignment, value),
            alignment=alignment,
            reference=reference,
            placebos=tuple(placebos),
            note=note,
            spoiled=declaration_of(name).placebos,
            **others,
        )

    @property
    def gate_name(self) -> str:
        """Name of the gate: that of the metric, followed by the reference where that is not the usual one."""
        return f"{self.name}_{self.reference}" if self.reference in NAMED_REFERENCES else self.name

    @property
    def result(self) -> GateResult | None:
        """The figure compared with its gate; None without a gate."""
        if self.gate is None:
            return None
        return GateResult.of(self.gate_name, self.value, self.gate, n=self.n, note=self.note)

    @property
    def placebo_fails(self) -> bool | None:
        """Whether a placebo could be measured and none passes the gate; None without a gate or placebos."""
        if self.gate is None or not self.placebos:
            return None
        values = [value for value in self.placebos if value is not None]
        return bool(values) and not any(self.gate.holds(value) for value in values)

    def to_dict(self) -> dict[str, object]:
        """Return the row as a dictionary with every column of `METRICS_SCHEMA`."""
        result = self.result
        placebos = dict(zip(self.spoiled, self.placebos, strict=False))
        low, high = self.interval or (None, None)
        return {
            "name": self.name,
            "value": self.value,
            "low": low,
            "high": high,
            "gate": None if self.gate is None else str(self.gate),
            "pass": None if result is None else result.passed,
            "n": self.n,
            "unmatched": self.unmatched,
            "alignment": self.alignment,
            "reference": self.reference,
            **{f"placebo_{name}": placebos.get(name) for name in (*LATER, *WITHOUT_BEST)},
            "placebo_fails": self.placebo_fails,
        }


def failed_gates(gates: Iterable[GateResult], severity: Severity) -> tuple[GateResult, ...]:
    """Return the gates of a severity that do not hold."""
    return tuple(gate for gate in gates if not gate.passed and gate.severity == severity)


def is_measured(gate: GateResult) -> bool:
    """Return whether there was evidence for a gate: one without any fails, but says nothing against the book."""
    return gate.value is not None and gate.n > 0


def verdict_line(gates: Iterable[GateResult]) -> str:
    """Return the verdict on all gates of a report in one line, with the names of those that do not hold.

    It is `faithful`, `not faithful`, or `not shown to be faithful` where no gate contradicts but evidence is lacking.
    """
    gates = tuple(gates)
    errors = failed_gates(gates, Severity.ERROR)
    wrong, unmeasured, warnings = (
        ", ".join(gate.name for gate in chosen)
        for chosen in (
            filter(is_measured, errors),
            filterfalse(is_measured, errors),
            failed_gates(gates, Severity.WARN),
        )
    )
    said = f"not faithful: {wrong}" if wrong else "not shown to be faithful" if unmeasured else "faithful"
    said += f"{'; ' if wrong else ', '}not measured: {unmeasured}" if unmeasured else ""
    return said + (f"{'; ' if errors else ', '}warned: {warnings}" if warnings else "")


def judge_placebos(metrics: Iterable[Metric]) -> Metric:
    """Return `placebo_fails`: the share of gated, measured metrics whose placebos fail. Below 1 they show nothing.

    A metric that was measured but whose placebos were not, because the data are shorter than the shift, counts as one
    whose placebos pass.
    """
    judged = [metric for metric in metrics if metric.placebo_fails is not None and metric.n]
    passing = [metric.gate_name for metric in judged if not metric.placebo_fails]
    if not judged:
        note = "No metric could be measured, so no placebo either."
    elif passing:
        note = f"A spoiled reference passes (or is lacking): {', '.join(passing)}."
    else:
        note = f"Spoiled references fail all {len(judged)} gates that they are held against."
    value = 1 - len(passing) / len(judged) if judged else None
    return Metric.of("placebo_fails", value, len(judged), note, reference=PLACEBOS)


def metrics_table(metrics: Iterable[Metric]) -> pa.Table:
    """Return the metrics as a table with schema `METRICS_SCHEMA`, in the given order."""
    return pa.Table.from_pylist([metric.to_dict() for metric in metrics], schema=METRICS_SCHEMA)
