"""The measurement of a day: passes over its tables, one after the other, and the metrics that follow from them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from order_book_platform.datasets.book_sample import TimeSteps
from order_book_platform.fidelity.day_inputs import DayInputs
from order_book_platform.fidelity.metric_declarations import GOLDEN, SNAPSHOTS, TICKERS, TRADES
from order_book_platform.fidelity.metrics.book_metrics import book_metrics, gap_metrics, replay_hash
from order_book_platform.fidelity.metrics.distributions import interval_metrics
from order_book_platform.fidelity.metrics.market_statistics import return_metrics, trade_metrics
from order_book_platform.fidelity.metrics.metric import Metric, judge_placebos
from order_book_platform.fidelity.references.held_out import Plausible, ReferenceCounts, find_messages
from order_book_platform.fidelity.table_passes import (
    BookPass,
    SnapshotPass,
    TickerPass,
    compare_golden_sample,
    compare_snapshots,
    compare_tickers,
    read_book,
)
from order_book_platform.model import GateResult
from order_book_platform.observability import Progress, silent


@dataclass(frozen=True, slots=True)
class FidelityResult:
    """Metrics and tables of one day, before they are drawn and published.

    The references are counted by dataset, and the steps are the rows of the book that stand for the day in its picture.
    """

    metrics: tuple[Metric, ...]
    references: Mapping[str, ReferenceCounts]
    snapshots: SnapshotPass
    tickers: TickerPass | None
    steps: TimeSteps

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """The gated metrics compared with their gates, in order."""
        return tuple(metric.result for metric in self.metrics if metric.result is not None)


def measure(day: DayInputs, progress: Progress = silent) -> FidelityResult:
    """Compare the book of a day with every reference that there is, and work out every metric.

    A second thread looks up the messages of the snapshots while the book is read, and works out the statistics while
    the snapshots are compared.
    """
    numbers = day.snapshot_numbers
    with ThreadPoolExecutor(1) as second_thread:
        lookup = second_thread.submit(find_messages, numbers, day.deltas)
        book = read_book(day, progress)
        places, last_message = lookup.result()
        statistics = second_thread.submit(_statistics, day, book)
        plausible = Plausible.of(day.key.day, book.summary, last_message)
        snapshots = compare_snapshots(day, book, numbers, places, last_message, plausible, progress)
        market = statistics.result()
    summary, references = book.summary, {SNAPSHOTS: snapshots.counts}
    metrics, tickers = [*snapshots.metrics], None
    trades = [] if day.trades is None else [book.trades.metric(TRADES, "origin_time")]
    if day.tickers is not None:
        tickers = compare_tickers(day, day.tickers, summary, plausible, progress)
        metrics += tickers.metrics
        references[TICKERS], trades = tickers.counts, tickers.trades or trades
    if day.golden is not None:
        of_golden, references[GOLDEN] = compare_golden_sample(
            day, day.golden, summary, last_message, plausible, progress
        )
        metrics += of_golden
    judged = (
        np.zeros(0, dtype=np.int64) if summary.first_seed is None else places[numbers >= summary.first_seed]
    )
    uses, unseen = day.used.column("use").to_pylist(), int(np.count_nonzero(judged == 0))
    metrics += trades
    metrics += book_metrics(summary, uses, len(judged), unseen)
    metrics += gap_metrics(day.gap_report)
    metrics.append(replay_hash(day.manifest.metadata, summary.rows))
    metrics.append(judge_placebos(metrics))
    metrics += [*bad_references(references), *market, *snapshots.single_levels]
    return FidelityResult(tuple(metrics), references, snapshots, tickers, book.steps)


def _statistics(day: DayInputs, book: BookPass) -> list[Metric]:
    """Return the metrics of intervals, returns and sizes of trades, which have no gates."""
    metrics = [*interval_metrics(day.books, book.times_ns), *return_metrics(book.mid_prices)]
    return metrics if day.trades is None else [*metrics, *trade_metrics(day.trades)]


def bad_references(references: Mapping[str, ReferenceCounts]) -> list[Metric]:
    """Return the number of references of each dataset that were left out because they are unfit in themselves."""
    return [
        Metric.of(
            "bad_references",
            float(counts.bad),
            counts.rows,
            f"{counts.bad:,} of {counts.rows:,} rows of {dataset} are unfit in themselves and were left out.",
            reference=dataset,
        )
        for dataset, counts in references.items()
    ]
