"""report.html: one file that opens anywhere, verdict first, light or dark as the reader prefers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from order_book_platform.fidelity.metrics.metric import Metric, failed_gates
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.fidelity.report.charts import Figure
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.plots.pages import render_page


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Content of the page.

    Attributes:
        key: Symbol and day.
        gates: The gated metrics held against their gates.
        metrics: All metrics.
        references: What became of the rows of each reference dataset.
        figures: The figures, in the order in which they are shown.
        provenance: Name to text of each input and hash that the report is made from.
    """

    key: PartitionKey
    gates: tuple[GateResult, ...]
    metrics: tuple[Metric, ...]
    references: Mapping[str, ReferenceCounts]
    figures: tuple[Figure, ...]
    provenance: Mapping[str, str]


def render_report(page: ReportPage) -> str:
    """Render report.html, which refers to nothing outside itself."""
    errors, warnings = (failed_gates(page.gates, severity) for severity in (Severity.ERROR, Severity.WARN))
    described = [metric for metric in page.metrics if metric.note]
    return render_page(
        "order_book_platform.fidelity.report",
        "report_page.html.j2",
        title=f"Fidelity of {page.key.instrument.key}, {page.key.day.isoformat()}",
        verdict=_verdict(len(page.gates), len(errors), len(warnings)),
        is_faithful=not errors,
        failed=[*errors, *warnings],
        figures=page.figures,
        gated=[metric for metric in described if metric.gate is not None],
        ungated=[metric for metric in described if metric.gate is None],
        by_level=[metric for metric in page.metrics if not metric.note],
        references={name: (counts, _unfit_rows(counts)) for name, counts in page.references.items()},
        provenance=page.provenance,
    )


def _verdict(gates: int, errors: int, warnings: int) -> str:
    """Tell by the numbers of gates, of errors and of warnings whether the book is faithful."""
    if errors:
        words = f"Not faithful: {errors} of {gates} gates fail"
    elif warnings:
        words = f"Faithful: {gates - warnings} of {gates} gates hold"
    else:
        words = f"Faithful: all {gates} gates hold"
    return f"{words}, {warnings} {'warns' if warnings == 1 else 'warn'}." if warnings else f"{words}."


def _unfit_rows(counts: ReferenceCounts) -> str:
    """List how many rows of a reference dataset are unfit or doubtful, and why."""
    others = {name: getattr(counts, name) for name in ("other_day", "far_off", "doubtful")}
    reasons = {**counts.defects, **others}
    found = (f"{rows:,} {reason.replace('_', ' ')}" for reason, rows in reasons.items() if rows)
    return ", ".join(found) or "none"
