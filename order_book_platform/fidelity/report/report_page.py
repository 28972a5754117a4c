"""report.html, one file that opens anywhere, verdict first, and its figures, each with a sentence how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.datasets.book_sample import TimeSteps
from order_book_platform.datasets.scan import in_drawn_pips
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.metric_declarations import SNAPSHOTS
from order_book_platform.fidelity.metrics.error_drift import DRIFT_SCHEMA
from order_book_platform.fidelity.metrics.metric import Metric, failed_gates, is_measured
from order_book_platform.fidelity.metrics.reference_comparison import LEVELS_SCHEMA
from order_book_platform.fidelity.metrics.time_windows import WINDOWS_SCHEMA
from order_book_platform.fidelity.references.held_out import ReferenceCounts
from order_book_platform.model import GateResult, PartitionKey, Severity
from order_book_platform.plots import Svg, depth_chart, fidelity_charts, gap_chart
from order_book_platform.plots.pages import render_page
from order_book_platform.storage import DataStore

ERRORS, LEVELS, LEVEL_MAP, STATES, DRIFT = (
    "Error over time",
    "Levels: match and correlation",
    "Levels over time",
    "Distributions",
    "Drift between snapshots",
)
ERRORS_SNAPSHOTS = "Error over time, against snapshots"
"""Title of a second figure of errors where there are tickers, to which the first one belongs then."""
LATENCY, GAPS_TITLE, BOOK = "Latency and clocks", "Gaps", "The book"
_READ_ERRORS = (
    "A faithful book lies at 0 ticks and 100 %; the grey placebo shows what a wrong one looks like."
)
READ: Mapping[str, str] = {
    ERRORS: _READ_ERRORS,
    ERRORS_SNAPSHOTS: _READ_ERRORS,
    LEVELS: "Full bars are right. Marks are the placebo: near the ends of the bars they say that the bars show little.",
    LEVEL_MAP: "Asks above, bids below, the best in the middle. A stripe downwards is a moment, one along it a depth.",
    STATES: """Above, the shares of time: the book's thin line has to cover the reference's thick one. Below, the book's
        quantiles over the reference's: dots off the diagonal are another distribution.""",
    DRIFT: "Flat: the deltas alone keep the book right. Rising: something is lost, and snapshots put it right.",
    LATENCY: "The fastest messages show the clocks: their height is the skew (and the way), their slope the drift.",
    GAPS_TITLE: "What sequence_gap_report found: where the book may lack messages.",
    BOOK: "Size at each price, then at each distance from the mid price; shaded where the rows are in doubt.",
}
"""How to read each figure, by title."""
PICTURES = (ERRORS, ERRORS_SNAPSHOTS, LEVEL_MAP, LEVELS, STATES)
"""Titles of the figures that go with a materialization, as far as the day has them."""


Figure = tuple[str, str, Svg]
"""Heading of a figure, the sentence that says how to read it, and the drawing."""


def draw_figures(
    day: DayInputs, steps: TimeSteps, books: pl.DataFrame, report: Mapping[str, Any]
) -> list[Figure]:
    """Draw all figures of a report, in order, from report.json and the tables of the day.

    `steps` are the rows that stand for the day, and `books` the level columns of these rows of `reconstructed_books`.
    """
    shown, fixed_point = in_drawn_pips(books.lazy(), day.manifest.fixed_point)
    drawn = {
        **_drawn(report),
        LATENCY: gap_chart.latency_chart(day.gap_report.get("clocks") or {}),
        GAPS_TITLE: gap_chart.gap_chart(pl.DataFrame(day.gaps.read()), *delta_span(day, steps)),
        BOOK: depth_chart.depth_chart(steps.sample(shown.collect()), fixed_point),
    }
    return [(title, READ[title], svg) for title, svg in drawn.items()]


def delta_span(day: DayInputs, steps: TimeSteps) -> tuple[int, int]:
    """Return earliest and latest origin time of the deltas, ns; those of the book where some deltas have none."""
    first_ns, last_ns = day.deltas.value_range("origin_time") or (0, 0)
    if first_ns < steps.first_ns - NS_PER_DAY or last_ns > steps.last_ns + NS_PER_DAY:
        return steps.first_ns, steps.last_ns
    return first_ns, last_ns


def _drawn(report: Mapping[str, Any]) -> dict[str, Svg]:
    """Draw the figures that need nothing but report.json."""
    return {
        **dict(_errors(report)),
        LEVEL_MAP: fidelity_charts.level_map(report["level_windows"]),
        LEVELS: fidelity_charts.level_chart(pl.DataFrame(report["levels"], schema=LEVELS_SCHEMA)),
        STATES: fidelity_charts.distribution_chart(report["states"]),
        DRIFT: fidelity_charts.drift_chart(pl.DataFrame(report["drift"], schema=DRIFT_SCHEMA)),
    }


def _errors(report: Mapping[str, Any]) -> Iterator[tuple[str, Svg]]:
    """Draw errors over time against tickers and against snapshots where there are any: either may fail alone."""
    windows = pl.DataFrame(report["windows"], schema=WINDOWS_SCHEMA)
    yield ERRORS, fidelity_charts.error_chart(windows, reference=report["windows_reference"])
    if report.get("snapshot_windows"):
        windows = pl.DataFrame(report["snapshot_windows"], schema=WINDOWS_SCHEMA)
        yield ERRORS_SNAPSHOTS, fidelity_charts.error_chart(windows, reference=SNAPSHOTS)


def draw_pictures(store: DataStore, key: PartitionKey) -> dict[str, str]:
    """Draw the main charts of a published report from its report.json.

    Returns:
        Title of each figure to its SVG, which refers to nothing outside itself.

    Raises:
        PartitionMissingError: The report has not been published.
    """
    drawn = _drawn(store.report("fidelity_report", key))
    return {title: drawn[title].standalone() for title in PICTURES if title in drawn}


def render_report(
    key: PartitionKey,
    gates: Sequence[GateResult],
    metrics: Sequence[Metric],
    references: Mapping[str, ReferenceCounts],
    figures: Sequence[Figure],
    provenance: Mapping[str, str],
) -> str:
    """Render report.html, which refers to nothing outside itself.

    The references are counted by dataset, and the provenance is name to text of each input and hash that the report is
    made from.
    """
    errors, warnings = (failed_gates(gates, severity) for severity in (Severity.ERROR, Severity.WARN))
    described = [metric for metric in metrics if metric.note]
    return render_page(
        "order_book_platform.fidelity.report",
        "report_page.html.j2",
        title=f"Fidelity of {key.instrument.key}, {key.day.isoformat()}",
        verdict=_verdict(len(gates), len(errors), sum(map(is_measured, errors)), len(warnings)),
        is_faithful=not errors,
        failed=[*errors, *warnings],
        figures=figures,
        gated=[metric for metric in described if metric.gate is not None],
        ungated=[metric for metric in described if metric.gate is None],
        by_level=[metric for metric in metrics if not metric.note],
        references={name: (counts, _unfit_rows(counts)) for name, counts in references.items()},
        provenance=provenance,
    )


def _verdict(gates: int, errors: int, measured: int, warnings: int) -> str:
    """Tell by the numbers of gates, of errors, of measured ones among them and of warnings if the book is faithful."""
    if errors and not measured:
        words = f"Not shown to be faithful: {errors} of {gates} gates lack evidence"
    elif errors:
        lacking = f", {errors - measured} of them for lack of evidence" if errors > measured else ""
        words = f"Not faithful: {errors} of {gates} gates fail{lacking}"
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
