"""Statistics of returns and trade sizes that are known of every market, measured on this book: fat tails, clustering.

They are reported without gates: the figures are the market's, not the book's. One that is far from those of other days
is a reason to look.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.datasets.columns import NARROW_ROWS
from order_book_platform.datasets.reconstructed_books.reader import BookHeads
from order_book_platform.fidelity.metric_declarations import BOOK, LAGS_S, TRADES
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.model.arrays import MISSING_PIPS, Float64Array, Int64Array
from order_book_platform.model.decimal128 import float_pips
from order_book_platform.storage import ParquetRows

TAIL_SHARE, LEAST_TAIL = 0.01, 10
"""The tail is the largest 1 % of trade sizes; an index of fewer than ten says nothing."""


class SecondClock:
    """Keeps twice the mid price at the end of each second, a whole number as float64, from a book's rows in passing."""

    def __init__(self) -> None:
        self._latest = 0
        self._seconds: list[Int64Array] = []
        self._doubled: list[Float64Array] = []

    def add(self, part: BookHeads) -> None:
        """Take in the next rows."""
        if not len(part):
            return
        seconds = np.maximum(np.maximum.accumulate(part.time_ns // NS_PER_SECOND), self._latest)
        self._latest = int(seconds[-1])
        ends = np.append(np.flatnonzero(seconds[1:] != seconds[:-1]), len(seconds) - 1)
        bid, ask = part.best_prices[ends, 0], part.best_prices[ends, 1]
        sound = (bid != MISSING_PIPS) & (ask != MISSING_PIPS) & (bid <= ask)
        self._seconds.append(seconds[ends])
        self._doubled.append(np.where(sound, bid + ask, np.nan))

    def returns(self) -> Float64Array:
        """Return log returns from second to second, float64[n]; NaN where a price is unknown or the book is crossed.

        A second without a row has the price of the one before. They are the logs of quotients, not
        differences of logs: the float nearest to a quotient is the same in whatever unit both prices are held.
        """
        if not self._seconds:
            return np.empty(0)
        seconds, doubled = np.concatenate(self._seconds), np.concatenate(self._doubled)
        clock = np.arange(seconds[0], seconds[-1] + 1)
        held = doubled[np.searchsorted(seconds, clock, side="right") - 1]
        found: Float64Array = np.log(held[1:] / held[:-1])
        return found


def kurtosis(values: Float64Array) -> float | None:
    """Return the fourth central moment of float64[n] over the squared second, 3 for a normal law; None if all equal."""
    if not _vary(values):
        return None
    away = values - values.mean()
    return float((away**4).mean() / (away**2).mean() ** 2)


def autocorrelation(values: Float64Array, lag: int) -> tuple[float | None, int]:
    """Return the correlation of a series float64[n] with itself `lag` places later, and the number of pairs behind it.

    It is the mean product of both deviations from the series' mean, over its variance; None without pairs or variance.
    Pairs with a NaN are left out.
    """
    known = ~np.isnan(values)
    both = known[:-lag] & known[lag:]
    pairs = int(np.count_nonzero(both))
    if not pairs or not _vary(values[known]):
        return None, pairs
    away = values - values[known].mean()
    return float((away[:-lag] * away[lag:])[both].mean() / (away[known] ** 2).mean()), pairs


def _vary(values: Float64Array) -> bool:
    """Return whether the values differ; the variance would not do, since it may exceed 0 for equal floats."""
    return bool(len(values)) and bool((values != values[0]).any())


def hill(largest: Float64Array) -> float | None:
    """Return Hill's tail index of the largest values, float64[k + 1] in any order; the tail begins at the smallest.

    It is k over the sum of log(value / smallest), and estimates a where P(X > x) falls as x^−a. None if all are equal.
    """
    if not len(largest):
        return None
    # Ratios are the same in whatever unit; in ascending order so that the sum is that of any order.
    ratios = np.sort(largest / largest.min())
    height = float(np.log(ratios).sum())
    return (len(largest) - 1) / height if height > 0.0 else None


def largest_sizes(trades: ParquetRows, count: int) -> Float64Array:
    """Return the `count` largest trade sizes, float64 in pips and any order; decimals count in units of 10**-8."""
    name = next(name for name in trades.schema.names if name.startswith("size"))
    kept, bar = np.empty(0), -np.inf
    for batch in trades.batches(NARROW_ROWS, columns=[name]):
        column = batch.column(0)
        sizes = float_pips(column) if pa.types.is_decimal(column.type) else column.to_numpy()
        kept = np.concatenate([kept, sizes[sizes > bar]])
        if len(kept) > count:
            # What equals the smallest of them and is left out changes nothing: there are enough of it already.
            kept = np.partition(kept, len(kept) - count)[-count:]
            bar = float(kept[0])
    return kept


def return_metrics(clock: SecondClock) -> Iterator[Metric]:
    """Yield `kurtosis` of 1 s mid returns and `vol_clustering_k`, the autocorrelation of their squares k s apart."""
    returns = clock.returns()
    known = returns[~np.isnan(returns)]
    note = "Of the mid price's log returns from second to second; 3 for a normal law."
    yield Metric.of("kurtosis", kurtosis(known), len(known), note, reference=BOOK)
    for lag in LAGS_S:
        value, n = autocorrelation(returns**2, lag)
        note = "Correlation of squared 1 s returns with those of the second before." if lag == 1 else ""
        yield Metric.of(f"vol_clustering_{lag}", value, n, note, reference=BOOK)


def trade_metrics(trades: ParquetRows) -> Iterator[Metric]:
    """Yield `hill_tail` of trade sizes; n is the number of trades in the tail."""
    tail = int(trades.num_rows * TAIL_SHARE)
    value = hill(largest_sizes(trades, tail + 1)) if tail >= LEAST_TAIL else None
    note = f"Tail index of the largest {TAIL_SHARE:.0%} of {trades.num_rows:,} trade sizes."
    yield Metric.of("hill_tail", value, tail, note, reference=TRADES)
