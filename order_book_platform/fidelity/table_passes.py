"""The passes over a day's tables, each made once: the book's narrow columns, then its rows beside each reference."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import polars as pl

from order_book_platform.datasets.book_sample import TimeSteps, time_steps
from order_book_platform.datasets.columns import count_nulls
from order_book_platform.datasets.reconstructed_books.reader import (
    BEST_ROWS,
    BookHeads,
    BookRows,
    PickedRows,
    from_seed,
    read_as_of,
    read_best,
    read_books,
    read_heads,
)
from order_book_platform.datasets.snapshots import longest_list, read_reference_snapshots
from order_book_platform.datasets.tickers_and_trades import read_tickers
from order_book_platform.fidelity.day_inputs import DayInputs, level_names
from order_book_platform.fidelity.metric_declarations import (
    GOLDEN,
    SNAPSHOTS,
    TICKERS,
    TRADES,
    TRANSACTION_TIME,
)
from order_book_platform.fidelity.metrics.book_metrics import BookSummarizer, BookSummary
from order_book_platform.fidelity.metrics.clock_comparison import (
    ClockComparison,
    by_transaction_time,
    shared_clock,
)
from order_book_platform.fidelity.metrics.distributions import Distributions
from order_book_platform.fidelity.metrics.error_drift import Drift
from order_book_platform.fidelity.metrics.market_statistics import SecondClock
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.reference_comparison import (
    BestPriceComparison,
    LevelComparison,
    level_metrics,
)
from order_book_platform.fidelity.metrics.state_curves import state_curves
from order_book_platform.fidelity.metrics.trades_in_range import TradeRange
from order_book_platform.fidelity.references.golden_sample import GoldenSample
from order_book_platform.fidelity.references.held_out import (
    NO_NUMBERS,
    HeldOut,
    Plausible,
    ReferenceCounts,
    first_time,
    held_times,
    hold_times,
)
from order_book_platform.fidelity.references.sequence_alignment import (
    ShiftedReferences,
    pair_with_last,
    with_placebos,
)
from order_book_platform.model.arrays import Int64Array
from order_book_platform.observability import Progress
from order_book_platform.storage import ParquetRows
from order_book_platform.streaming import read_ahead

T = TypeVar("T", bound=Sized)

_AHEAD = 2
"""Batches of levels that are read ahead: with one less, the comparison waits for the next one more often."""


def report_rows(batches: Iterator[T], progress: Progress, stage: str, total: int) -> Iterator[T]:
    """Yield the same batches and report how many rows have been read, of `total` or fewer in the table."""
    done = 0
    progress(stage, 0, total)
    for batch in batches:
        yield batch
        done += len(batch)
        progress(stage, min(done, total), total)
    progress(stage, total, total)  # rows that were left out do not come


@dataclass(frozen=True, slots=True)
class BookPass:
    """Result of reading the narrow columns of a book.

    Mid prices are those of each second from the first seeded row on, trades stand beside the book by origin time, and
    the steps are the rows for the picture. In `times_ns` int64[rows], ns, that of the row before stands for one that is
    not plausible.
    """

    summary: BookSummary
    mid_prices: SecondClock
    times_ns: Int64Array
    steps: TimeSteps
    trades: TradeRange


def read_book(day: DayInputs, progress: Progress) -> BookPass:
    """Read the narrow columns of the book of a day."""
    times = [np.zeros(0, dtype=np.int64)]
    flags = [np.zeros(0, dtype=np.uint8)]
    mid_prices, plausible_ns = SecondClock(), day.plausible_ns
    summarizer = BookSummarizer(plausible_ns)
    trades = TradeRange.of(day.trades, day.encoding, next_too=True)
    first_ns = first_time(day.books, plausible_ns)

    def all_rows() -> Iterator[BookHeads]:
        heads = read_ahead(read_heads(day.books, day.encoding), _AHEAD)
        for rows in report_rows(heads, progress, "book", day.books.num_rows):
            summarizer.add(rows)
            times.append(rows.time_ns)
            flags.append(rows.flags)
            yield rows

    for rows in from_seed(hold_times(all_rows(), plausible_ns, first_ns)):
        trades.add(rows.time_ns, rows.best_prices)
        mid_prices.add(rows)
    trades.end()  # trades after the last row count as unmatched
    times_ns = held_times(np.concatenate(times), plausible_ns, first_ns)
    steps = time_steps(times_ns, np.concatenate(flags))
    return BookPass(summarizer.summary, mid_prices, times_ns, steps, trades)


@dataclass(frozen=True, slots=True)
class SnapshotPass:
    """Comparison of a book with held-out snapshots.

    Attributes:
        metrics: Metrics of best prices, levels, distributions and drift.
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
    """Stream held-out snapshots and the book rows they belong to past each other, each read ahead in a thread.

    `numbers` int64[m] are the sequence numbers of all snapshots; `places` and `last_message` are what `find_messages`
    found for them.
    """
    depth = len(level_names(day.books)) // 4
    longest = 0 if day.snapshots is None else longest_list(day.snapshots, enough=depth)
    levels = min(depth, longest or depth)
    span_ns, tick, magnitude = book.summary.span, day.encoding.tick, day.encoding.size_floats
    count = 0 if day.snapshots is None else day.snapshots.num_rows
    comparison = LevelComparison(levels, tick, count, span_ns, magnitude)
    distributions = Distributions(levels, tick, *span_ns, magnitude)
    drift = Drift(numbers, places, day.used)
    used = day.used.column("sequence_number").to_numpy()
    held_out = HeldOut(used, book.summary.first_seed, last_message, tick, plausible)
    picked = PickedRows(book.steps.rows, level_names(day.books))
    as_of = read_as_of(
        day.books, levels, held_out.unused(numbers), day.encoding, picked=picked, equal=day.on_grid
    )
    rows = read_ahead(as_of, _AHEAD)
    if day.snapshots is not None:
        read = read_reference_snapshots(day.snapshots, levels, day.encoding, admit=held_out.admit)
        chosen = held_out.select(report_rows(read, progress, SNAPSHOTS, count))
        references = with_placebos((batch.cut(levels) for batch in chosen), step=comparison.step)
        pairs = pair_with_last(read_ahead(references, _AHEAD), rows, equal=True)
        _compare(pairs, comparison, distributions, drift)
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


def _compare(
    pairs: Iterator[tuple[ShiftedReferences, BookRows]],
    comparison: LevelComparison,
    distributions: Distributions,
    drift: Drift,
) -> None:
    """Take in all pairs; the distributions are added up by a second thread, which is one batch behind at most."""
    with ThreadPoolExecutor(1) as second_thread:
        distributed = second_thread.submit(lambda: None)
        for shifted, found in pairs:
            distributed.result()
            distributed = second_thread.submit(distributions.add, shifted, found)
            drift.add(shifted, *comparison.add(shifted, found))
        distributed.result()


def compare_golden_sample(
    day: DayInputs,
    golden: GoldenSample,
    summary: BookSummary,
    last_message: int | None,
    plausible: Plausible,
    progress: Progress,
) -> tuple[list[Metric], ReferenceCounts]:
    """Stream the rows of a golden sample and the book rows they belong to past each other.

    Returns:
        The metrics, and the counts of the sample's rows by what became of them.
    """
    levels = min(len(level_names(books)) // 4 for books in (day.books, golden.books))
    tick, total = day.encoding.tick, golden.books.num_rows
    comparison = LevelComparison(levels, tick, total, summary.span, day.encoding.size_floats, GOLDEN)
    selected = HeldOut(NO_NUMBERS, summary.first_seed, last_message, tick, plausible)
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


@dataclass(frozen=True, slots=True)
class TickerPass:
    """Comparison of a book with tickers; counts and windows are as in `SnapshotPass`.

    The metrics are those of best prices by sequence number and by time, and of trades beside tickers; `trades` is
    `trade_in_range` beside the book by transaction time, empty where that is not known.
    """

    metrics: list[Metric]
    trades: list[Metric]
    counts: ReferenceCounts
    windows: pl.DataFrame


def compare_tickers(
    day: DayInputs, tickers: ParquetRows, summary: BookSummary, plausible: Plausible, progress: Progress
) -> TickerPass:
    """Compare the book with tickers, by sequence number first and by time then."""
    comparison = BestPriceComparison(day.encoding.tick, summary.span, TICKERS)
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
    """Stream book rows and tickers past each other by time, and trades past both; return `metrics` and `trades`."""
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
