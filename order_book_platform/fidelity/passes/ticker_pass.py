"""The passes that compare the book's best prices with tickers: by sequence number, and by time."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from order_book_platform.datasets.columns import count_nulls
from order_book_platform.datasets.reconstructed_books.reader import BEST_ROWS, read_best, read_books
from order_book_platform.datasets.tickers import read_tickers
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.metric_declarations import (
    TICKERS,
    TRADES,
    TRANSACTION_TIME,
)
from order_book_platform.fidelity.metrics.book_summary import BookSummary
from order_book_platform.fidelity.metrics.clock_comparison import (
    ClockComparison,
    by_transaction_time,
    shared_clock,
)
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.reference_comparison import BestPriceComparison
from order_book_platform.fidelity.metrics.time_windows import Windows
from order_book_platform.fidelity.metrics.trades_in_range import TradeRange
from order_book_platform.fidelity.passes.row_progress import report_rows
from order_book_platform.fidelity.references.held_out import HeldOut, Plausible, ReferenceCounts
from order_book_platform.fidelity.references.plausible_times import hold_times
from order_book_platform.fidelity.references.sequence_alignment import pair_with_last, with_placebos
from order_book_platform.observability import Progress
from order_book_platform.storage import ParquetRows
from order_book_platform.streaming import read_ahead


@dataclass(frozen=True, slots=True)
class TickerPass:
    """Comparison of a book with tickers.

    Attributes:
        metrics: Metrics of best prices by sequence number and by time, and of trades beside tickers.
        trades: `trade_in_range` of trades beside the book by transaction time; empty where that is not known.
        counts: Counts of the tickers by what became of them.
        windows: Best prices over time, schema `WINDOWS_SCHEMA`.
    """

    metrics: list[Metric]
    trades: list[Metric]
    counts: ReferenceCounts
    windows: pl.DataFrame


def compare_tickers(
    day: DayInputs, tickers: ParquetRows, summary: BookSummary, plausible: Plausible, progress: Progress
) -> TickerPass:
    """Compare the book with tickers, by sequence number first and by time then.

    Args:
        day: Tables of the day.
        tickers: Rows of `tickers`.
        summary: Summary of the book.
        plausible: Limits of what a reference of this day can be.
        progress: Told of rows read.
    """
    comparison = BestPriceComparison(
        day.encoding.tick, Windows(summary.first_time_ns, summary.last_time_ns), TICKERS
    )
    selected = HeldOut.of_any_number(day.encoding.tick, plausible)
    references = with_placebos(selected.select(read_tickers(tickers, day.encoding)))
    books = report_rows(read_books(day.books, 1, day.encoding), progress, TICKERS, summary.rows)
    first = summary.first_seed
    judged = (rows.take(rows.sequence_number >= first) for rows in books if first is not None)
    compared = 0
    for rows, latest in pair_with_last(judged, references, beyond_end=False):
        comparison.add(rows.time_ns, rows, latest)
        compared += len(rows)
    for _ in references:
        continue  # the counts are of all tickers, also of those after the last book row
    by_time, trades = _compare_by_time(day, tickers, summary, plausible)
    return TickerPass(
        [*comparison.metrics(summary.rows - compared, "sequence"), *by_time],
        trades,
        selected.counts,
        comparison.windows.frame(),
    )


def _compare_by_time(
    day: DayInputs, tickers: ParquetRows, summary: BookSummary, plausible: Plausible
) -> tuple[list[Metric], list[Metric]]:
    """Stream book rows and tickers past each other by time, and trades past both.

    Returns:
        The metrics against tickers, and `trade_in_range` of the book by transaction time where that is known.
    """
    clock = shared_clock(tickers, day.deltas)
    best = read_best(day.books, summary.first_seed, day.encoding)
    books = hold_times(best, day.plausible_ns, summary.first_time_ns)
    if clock == TRANSACTION_TIME:
        books = by_transaction_time(books, day.deltas)
    selected = HeldOut.of_any_number(day.encoding.tick, plausible)
    latest = selected.select(read_tickers(tickers, day.encoding, BEST_ROWS, clock))
    by_tickers, by_book = (TradeRange.of(day.trades, day.encoding, next_too=too) for too in (False, True))
    if clock:
        latest = by_tickers.watch(latest, lambda rows: rows.encoded_price[:, :, 0])
        books = by_book.watch(books, lambda rows: rows.encoded_price)
    comparison = ClockComparison(day.encoding.tick, clock, count_nulls(tickers, clock) if clock else 0)
    comparison.run(read_ahead(books), read_ahead(latest))
    metrics = comparison.metrics(summary.rows)
    if not clock or day.trades is None:
        return metrics, []
    of_book = [by_book.metric(TRADES, clock)] if clock == TRANSACTION_TIME else []
    return [*metrics, by_tickers.metric(TICKERS, clock)], of_book
