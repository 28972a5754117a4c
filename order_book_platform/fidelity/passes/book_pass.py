"""The pass over the narrow columns of the book: its summary, its times, its mid prices, and the trades beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from order_book_platform.datasets.book_sample import TimeSteps, time_steps
from order_book_platform.datasets.reconstructed_books.reader import read_heads
from order_book_platform.datasets.reconstructed_books.rows import BookHeads, from_seed
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.metrics.book_summary import BookSummarizer, BookSummary
from order_book_platform.fidelity.metrics.market_statistics import SecondClock
from order_book_platform.fidelity.metrics.trades_in_range import TradeRange
from order_book_platform.fidelity.passes.row_progress import report_rows
from order_book_platform.fidelity.references.plausible_times import first_time, held_times, hold_times
from order_book_platform.model.arrays import Int64Array
from order_book_platform.observability import Progress


@dataclass(frozen=True, slots=True)
class BookPass:
    """Result of reading the narrow columns of a book.

    Attributes:
        summary: Summary of the rows.
        mid_prices: Mid prices of each second, from the first seeded row on.
        times_ns: int64[rows], origin times, ns; a time that is not plausible is replaced by that of the row before.
        steps: Which rows stand for the day in its picture.
        trades: Trades beside the book's best prices by origin time.
    """

    summary: BookSummary
    mid_prices: SecondClock
    times_ns: Int64Array
    steps: TimeSteps
    trades: TradeRange


def read_book(day: DayInputs, progress: Progress) -> BookPass:
    """Read the narrow columns of the book of a day.

    Args:
        day: Tables of the day.
        progress: Told of rows read.
    """
    times = [np.zeros(0, dtype=np.int64)]
    flags = [np.zeros(0, dtype=np.uint8)]
    mid_prices, plausible_ns = SecondClock(), day.plausible_ns
    summarizer = BookSummarizer(plausible_ns)
    trades = TradeRange.of(day.trades, day.encoding, next_too=True)
    first_ns = first_time(day.books, plausible_ns)

    def all_rows() -> Iterator[BookHeads]:
        heads = read_heads(day.books, day.encoding)
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
