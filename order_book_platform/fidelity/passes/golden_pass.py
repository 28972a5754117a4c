"""The pass that compares the book with a golden sample, level by level."""

from __future__ import annotations

from order_book_platform.datasets.reconstructed_books.reader import read_books
from order_book_platform.fidelity.day_inputs import DayInputs, level_names
from order_book_platform.fidelity.metric_declarations import GOLDEN
from order_book_platform.fidelity.metrics.book_summary import BookSummary
from order_book_platform.fidelity.metrics.level_windows import LevelWindows
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.reference_comparison import LevelComparison
from order_book_platform.fidelity.metrics.time_windows import Windows
from order_book_platform.fidelity.passes.row_progress import report_rows
from order_book_platform.fidelity.references.golden_sample import GoldenSample
from order_book_platform.fidelity.references.held_out import NO_NUMBERS, HeldOut, Plausible, ReferenceCounts
from order_book_platform.fidelity.references.sequence_alignment import pair_with_last, with_placebos
from order_book_platform.observability import Progress
from order_book_platform.streaming import read_ahead


def compare_golden_sample(
    day: DayInputs,
    golden: GoldenSample,
    summary: BookSummary,
    last_message: int | None,
    plausible: Plausible,
    progress: Progress,
) -> tuple[list[Metric], ReferenceCounts]:
    """Stream the rows of a golden sample and the book rows they belong to past each other.

    Args:
        day: Tables of the day.
        golden: The golden sample.
        summary: Summary of the book.
        last_message: Highest sequence number of `raw_deltas`; None without messages.
        plausible: Limits of what a reference of this day can be.
        progress: Told of rows read.

    Returns:
        The metrics, and the counts of the sample's rows by what became of them.
    """
    levels = min(len(level_names(books)) // 4 for books in (day.books, golden.books))
    span_ns = summary.first_time_ns, summary.last_time_ns
    total = golden.books.num_rows
    comparison = LevelComparison(
        levels,
        day.encoding.tick,
        total,
        Windows(*span_ns),
        LevelWindows(levels, *span_ns),
        day.encoding.size_floats,
        GOLDEN,
    )
    selected = HeldOut(NO_NUMBERS, summary.first_seed, last_message, day.encoding.tick, plausible)
    read = read_ahead(golden.references(levels, day.encoding))
    chosen = selected.select(report_rows(read, progress, GOLDEN, total))
    references = with_placebos(chosen, step=comparison.step)
    rows = read_ahead(read_books(day.books, levels, day.encoding))
    for shifted, found in pair_with_last(references, rows, equal=day.on_grid):
        comparison.add(shifted, found)
    for _ in chosen:
        continue  # the counts are of all rows, also of those after the last book row
    comparison.close()
    counts = selected.counts
    counts.doubtful = golden.doubtful
    counts.rows += golden.doubtful
    return comparison.metrics(counts.unmatched(comparison.rows), day.alignment), counts
