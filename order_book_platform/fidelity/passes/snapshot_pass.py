"""The pass that compares the book with held-out snapshots, level by level, and takes the rows to be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from order_book_platform.datasets.reconstructed_books.reader import PickedRows, read_as_of
from order_book_platform.datasets.snapshots import longest_list, read_reference_snapshots
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.metric_declarations import SNAPSHOTS
from order_book_platform.fidelity.metrics.distributions import Distributions
from order_book_platform.fidelity.metrics.error_drift import Drift
from order_book_platform.fidelity.metrics.level_windows import LevelWindows
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.reference_comparison import LevelComparison, level_metrics
from order_book_platform.fidelity.metrics.state_curves import state_curves
from order_book_platform.fidelity.metrics.time_windows import Windows
from order_book_platform.fidelity.passes.book_pass import BookPass
from order_book_platform.fidelity.passes.row_progress import report_rows
from order_book_platform.fidelity.references.held_out import HeldOut, Plausible, ReferenceCounts
from order_book_platform.fidelity.references.sequence_alignment import (
    ShiftedReferences,
    pair_with_last,
    with_placebos,
)
from order_book_platform.model.arrays import Int64Array
from order_book_platform.observability import Progress
from order_book_platform.storage import ParquetRows
from order_book_platform.streaming import read_ahead

_AHEAD = 2
"""Batches of levels that are read ahead: with one less, the comparison waits for the next one more often."""


@dataclass(frozen=True, slots=True)
class SnapshotPass:
    """Comparison of a book with held-out snapshots.

    Attributes:
        metrics: Metrics of best prices, levels, distributions and drift.
        single_levels: Metrics of each side and level.
        counts: Counts of the snapshots by what became of them.
        windows: Best prices over time, schema `WINDOWS_SCHEMA`.
        levels: Comparison by side and level, schema `LEVELS_SCHEMA`.
        level_windows: Comparison by window and level, as in report.json.
        states: Curves of the distributions, as in report.json.
        drift: Errors by age, schema `DRIFT_SCHEMA`.
        shown: Level columns of the book's rows that are drawn.
    """

    metrics: list[Metric]
    single_levels: list[Metric]
    counts: ReferenceCounts
    windows: pl.DataFrame
    levels: pl.DataFrame
    level_windows: dict[str, Any]
    states: list[dict[str, Any]]
    drift: pl.DataFrame
    shown: pl.DataFrame


def compare_snapshots(
    day: DayInputs,
    book: BookPass,
    numbers: Int64Array,
    places: Int64Array,
    last_message: int | None,
    plausible: Plausible,
    progress: Progress,
) -> SnapshotPass:
    """Stream held-out snapshots and the book rows they belong to past each other.

    Each is read ahead in a thread of its own: the book is decoded, snapshots are selected and given their placebos.

    Args:
        day: Tables of the day.
        book: The narrow columns of the book.
        numbers: int64[m], sequence numbers of all snapshots.
        places: int64[m], number of each snapshot's message in `raw_deltas`, counted from 1; 0 without one.
        last_message: Highest sequence number of `raw_deltas`; None without messages.
        plausible: Limits of what a reference of this day can be.
        progress: Told of rows read.
    """
    depth = len(day.level_names) // 4
    longest = 0 if day.snapshots is None else longest_list(day.snapshots, enough=depth)
    levels = min(depth, longest or depth)
    span_ns = book.summary.first_time_ns, book.summary.last_time_ns
    tick_pips, magnitude = day.encoding.tick, day.encoding.size_floats
    count = 0 if day.snapshots is None else day.snapshots.num_rows
    windows = Windows(*span_ns), LevelWindows(levels, *span_ns)
    comparison = LevelComparison(levels, tick_pips, count, *windows, magnitude)
    distributions = Distributions(levels, tick_pips, *span_ns, magnitude)
    drift = Drift(numbers, places, day.used)
    used = day.used.column("sequence_number").to_numpy()
    held_out = HeldOut(used, book.summary.first_seed, last_message, tick_pips, plausible)
    picked = PickedRows(book.steps.rows, day.level_names)
    as_of = read_as_of(
        day.books, levels, held_out.unused(numbers), day.encoding, picked=picked, equal=day.on_grid
    )
    rows = read_ahead(as_of, _AHEAD)
    if day.snapshots is not None:
        references = _references(day, day.snapshots, levels, held_out, comparison.step, progress)
        for shifted, found in pair_with_last(read_ahead(references, _AHEAD), rows, equal=True):
            drift.add(shifted, *comparison.add(shifted, found))
            distributions.add(shifted, found)
    for _ in rows:
        continue  # rows after the last snapshot are drawn too
    comparison.close()
    unmatched = held_out.counts.unmatched(comparison.rows)
    table = comparison.level_frame()
    parts = (comparison, distributions, drift)
    return SnapshotPass(
        [metric for part in parts for metric in part.metrics(unmatched, day.alignment)],
        level_metrics(table, unmatched, day.alignment),
        held_out.counts,
        comparison.best.windows.frame(),
        table,
        comparison.level_windows.to_dict(),
        state_curves(distributions, day.encoding.float_decimals),
        drift.frame(),
        pl.DataFrame(picked.table(day.books.schema)),
    )


def _references(
    day: DayInputs,
    snapshots: ParquetRows,
    levels: int,
    held_out: HeldOut,
    step: int,
    progress: Progress,
) -> Iterator[ShiftedReferences]:
    """Return the held-out snapshots, cut to `levels` a side, with the placebos of every `step`-th of them."""
    read = read_reference_snapshots(snapshots, levels, day.encoding, admit=held_out.admit)
    chosen = held_out.select(report_rows(read, progress, SNAPSHOTS, snapshots.num_rows))
    return with_placebos((batch.cut(levels) for batch in chosen), step=step)
