"""Figures of the report: the charts in their order, each with a sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.datasets.book_sample import TimeSteps
from order_book_platform.datasets.frame_units import in_drawn_pips
from order_book_platform.fidelity.metric_declarations import SNAPSHOTS
from order_book_platform.fidelity.metrics.error_drift import DRIFT_SCHEMA
from order_book_platform.fidelity.metrics.reference_comparison import LEVELS_SCHEMA
from order_book_platform.fidelity.metrics.time_windows import WINDOWS_SCHEMA
from order_book_platform.model import FixedPoint, PartitionKey
from order_book_platform.plots import (
    Svg,
    depth_chart,
    distribution_chart,
    drift_chart,
    error_charts,
    gap_chart,
    latency_chart,
)
from order_book_platform.storage import DataStore, ParquetRows

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


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the report.

    Attributes:
        title: Heading of the figure.
        read: Sentence that says how to read it.
        svg: The drawing.
    """

    title: str
    read: str
    svg: Svg


def draw_figures(
    steps: TimeSteps,
    books: pl.DataFrame,
    fixed_point: FixedPoint,
    report: Mapping[str, Any],
    gap: DrawnGaps,
) -> tuple[Figure, ...]:
    """Draw all figures of a report, in order.

    Args:
        steps: Which rows of the book stand for the day.
        books: Level columns of these rows of `reconstructed_books`.
        fixed_point: Decimals of their prices and sizes.
        report: Content of report.json.
        gap: Gaps and clocks of the day.
    """
    shown, fixed_point = in_drawn_pips(books.lazy(), fixed_point)
    drawn = {
        **_drawn(report),
        LATENCY: latency_chart.latency_chart(gap.clocks),
        GAPS_TITLE: gap_chart.gap_chart(gap.gaps, gap.first_ns, gap.last_ns),
        BOOK: depth_chart.depth_chart(steps.sample(shown.collect()), fixed_point),
    }
    return tuple(Figure(title, READ[title], svg) for title, svg in drawn.items())


def _drawn(report: Mapping[str, Any]) -> dict[str, Svg]:
    """Draw the figures that need nothing but report.json."""
    return {
        **dict(_errors(report)),
        LEVEL_MAP: error_charts.level_map(report["level_windows"]),
        LEVELS: error_charts.level_chart(pl.DataFrame(report["levels"], schema=LEVELS_SCHEMA)),
        STATES: distribution_chart.distribution_chart(report["states"]),
        DRIFT: drift_chart.drift_chart(pl.DataFrame(report["drift"], schema=DRIFT_SCHEMA)),
    }


def _errors(report: Mapping[str, Any]) -> Iterator[tuple[str, Svg]]:
    """Draw errors over time against tickers and against snapshots where there are any: either may fail alone."""
    windows = pl.DataFrame(report["windows"], schema=WINDOWS_SCHEMA)
    yield ERRORS, error_charts.error_chart(windows, reference=report["windows_reference"])
    if report.get("snapshot_windows"):
        windows = pl.DataFrame(report["snapshot_windows"], schema=WINDOWS_SCHEMA)
        yield ERRORS_SNAPSHOTS, error_charts.error_chart(windows, reference=SNAPSHOTS)


@dataclass(frozen=True, slots=True)
class DrawnGaps:
    """Gaps and clocks of a day, as the figures show them.

    Attributes:
        gaps: Rows of gaps.parquet.
        clocks: Entry `clocks` of the gap report.
        first_ns: Earliest origin time of the deltas, ns.
        last_ns: Latest origin time of the deltas, ns.
    """

    gaps: pl.DataFrame
    clocks: Mapping[str, Any]
    first_ns: int
    last_ns: int

    @classmethod
    def of(
        cls, gaps: ParquetRows, gap_report: Mapping[str, Any], deltas: ParquetRows, steps: TimeSteps
    ) -> DrawnGaps:
        """Return the gaps and clocks of a day.

        Args:
            gaps: Rows of gaps.parquet.
            gap_report: Content of report.json of `sequence_gap_report`.
            deltas: Rows of `raw_deltas`.
            steps: Rows of the day's book; their span stands in where some deltas have no origin time.
        """
        first_ns, last_ns = deltas.value_range("origin_time") or (0, 0)
        if first_ns < steps.first_ns - NS_PER_DAY or last_ns > steps.last_ns + NS_PER_DAY:
            first_ns, last_ns = steps.first_ns, steps.last_ns
        return cls(pl.DataFrame(gaps.read()), gap_report.get("clocks") or {}, first_ns, last_ns)


def draw_pictures(store: DataStore, key: PartitionKey) -> dict[str, str]:
    """Draw the main charts of a published report from its report.json.

    Args:
        store: Where the report is published.
        key: Symbol and day.

    Returns:
        Title of each figure to its SVG, which refers to nothing outside itself.

    Raises:
        PartitionMissingError: The report has not been published.
    """
    drawn = _drawn(store.report("fidelity_report", key))
    return {title: drawn[title].standalone() for title in PICTURES if title in drawn}
