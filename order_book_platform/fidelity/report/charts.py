"""The report's figures: what is drawn, in which order, and the sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from order_book_platform.clock import NS_PER_DAY
from order_book_platform.datasets.book_sample import TimeSteps
from order_book_platform.fidelity.metrics.error_drift import DRIFT_SCHEMA
from order_book_platform.fidelity.metrics.gap_metrics import GAPS
from order_book_platform.fidelity.metrics.metric import SNAPSHOTS
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
from order_book_platform.plots.drawn_pips import in_pips
from order_book_platform.storage import DataStore

ERRORS, LEVELS, LEVEL_MAP, STATES, DRIFT = (
    "Error over time",
    "Levels: match and correlation",
    "Levels over time",
    "Distributions",
    "Drift between snapshots",
)
ERRORS_SNAPSHOTS = "Error over time, against snapshots"
"""Where there are tickers, to which the first figure belongs."""
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
"""How to read each figure."""
PICTURES = (ERRORS, ERRORS_SNAPSHOTS, LEVEL_MAP, LEVELS, STATES)
"""Figures that go with a materialization, as far as the day has them."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the report.

    Attributes:
        title: its heading.
        read: how to read it.
        svg: the drawing.
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
    """Draw what the report shows.

    Args:
        steps: of the day's books.
        books: level columns of `reconstructed_books`, of the rows that the steps show.
        fixed_point: of their prices and sizes.
        report: content of report.json.
        gap: what is known of gaps and clocks.
    """
    shown, fixed_point = in_pips(books.lazy(), fixed_point)
    drawn = {
        **_drawn(report),
        LATENCY: latency_chart.latency_chart(gap.clocks),
        GAPS_TITLE: gap_chart.gap_chart(gap.gaps, gap.first_ns, gap.last_ns),
        BOOK: depth_chart.depth_chart(steps.sample(shown.collect()), fixed_point),
    }
    return tuple(Figure(title, READ[title], svg) for title, svg in drawn.items())


def _drawn(report: Mapping[str, Any]) -> dict[str, Svg]:
    """The figures that report.json alone is enough for."""
    return {
        **dict(_errors(report)),
        LEVEL_MAP: error_charts.level_map(report["level_windows"]),
        LEVELS: error_charts.level_chart(pl.DataFrame(report["levels"], schema=LEVELS_SCHEMA)),
        STATES: distribution_chart.distribution_chart(report["states"]),
        DRIFT: drift_chart.drift_chart(pl.DataFrame(report["drift"], schema=DRIFT_SCHEMA)),
    }


def _errors(report: Mapping[str, Any]) -> Iterator[tuple[str, Svg]]:
    """Errors over time against tickers and against snapshots, as far as there are any: either may fail alone."""
    windows = pl.DataFrame(report["windows"], schema=WINDOWS_SCHEMA)
    yield ERRORS, error_charts.error_chart(windows, reference=report["windows_reference"])
    if report.get("snapshot_windows"):
        windows = pl.DataFrame(report["snapshot_windows"], schema=WINDOWS_SCHEMA)
        yield ERRORS_SNAPSHOTS, error_charts.error_chart(windows, reference=SNAPSHOTS)


@dataclass(frozen=True, slots=True)
class DrawnGaps:
    """What the figures take from `sequence_gap_report`.

    Attributes:
        gaps: gaps.parquet.
        clocks: of its report.json.
        first_ns: earliest origin time of the deltas, ns.
        last_ns: latest, ns.
    """

    gaps: pl.DataFrame
    clocks: Mapping[str, Any]
    first_ns: int
    last_ns: int

    @classmethod
    def read(cls, store: DataStore, key: PartitionKey, steps: TimeSteps) -> DrawnGaps:
        """Of a partition.

        Args:
            store: of it.
            key: symbol and day.
            steps: of the day's books, whose span stands in for that of deltas some of which have no origin time.

        Raises:
            PartitionMissingError: it or the deltas have not been published.
        """
        clocks_found = store.report(GAPS, key).get("clocks") or {}
        span = store.rows("raw_deltas", key).value_range("origin_time") or (0, 0)
        first_ns, last_ns = span
        if first_ns < steps.first_ns - NS_PER_DAY or last_ns > steps.last_ns + NS_PER_DAY:
            first_ns, last_ns = steps.first_ns, steps.last_ns
        return cls(pl.DataFrame(store.table(GAPS, key)), clocks_found, first_ns, last_ns)


def draw_pictures(store: DataStore, key: PartitionKey) -> dict[str, str]:
    """The main charts of a published report, drawn from its report.json: title to SVG that stands alone.

    Args:
        store: where it is published.
        key: symbol and day.

    Raises:
        PartitionMissingError: it has not been published.
    """
    drawn = _drawn(store.report("fidelity_report", key))
    return {title: drawn[title].standalone() for title in PICTURES if title in drawn}
