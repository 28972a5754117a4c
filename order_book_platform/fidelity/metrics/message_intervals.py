"""Distance of the intervals between messages by the recorder's clock from those by the exchange's.

There is no second recording to compare them with, so this judges no book and has no gate. It tells a user of arrival
times how much of the market's own rhythm they show: a line that holds messages back and delivers them in bursts makes
the two distributions differ. A lost message lengthens both intervals alike and does not show here.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from order_book_platform.clock import NS_PER_MS
from order_book_platform.datasets.columns import NARROW_ROWS
from order_book_platform.fidelity.metric_declarations import BOOK
from order_book_platform.fidelity.metrics.distributions import distance, margins, positions, within
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.time_windows import window_width_ns
from order_book_platform.kernels.fidelity.state_histograms import SPREAD, SPREAD_SIDE, SUB_BINS
from order_book_platform.model.arrays import Int64Array
from order_book_platform.storage import ParquetRows

INTERVAL_BINS = 1_024
"""Bins of intervals: 64 of a millisecond each, then 32 to a doubling; the last begins at 2**36 ms."""
PLACES_MS = positions(SPREAD)[SPREAD_SIDE : SPREAD_SIDE + INTERVAL_BINS]
"""Where the bins begin, float64, ms: they are the bins of a spread of as many ticks."""


def interval_metrics(books: ParquetRows, origin_ns: Int64Array) -> Iterator[Metric]:
    """Yield `ks_inter_arrival`, `tv_inter_arrival` and `w1_inter_arrival` (in ms) of all rows of a book.

    Each interval counts once: it is no state that holds for a while.

    Args:
        books: Rows of `reconstructed_books`.
        origin_ns: int64[n], origin times of its rows, ns.
    """
    excess, totals = _count(books, origin_ns)
    n = int(totals.sum())
    found, chance = distance(excess.sum(axis=0), n, PLACES_MS), margins(excess, totals, PLACES_MS)
    notes = {
        "ks": "Intervals between book rows in ms, by the recorder's clock against by the exchange's.",
        "tv": "Share of intervals that are others by the recorder's clock than by the exchange's.",
        "w1": "How far intervals by the recorder's clock are from those by the exchange's on average, in ms.",
    }
    for kind, note in notes.items():
        value = getattr(found, kind)
        interval = within(value, getattr(chance, kind))
        yield Metric.of(f"{kind}_inter_arrival", value, n, note, reference=BOOK, interval=interval)


def _count(books: ParquetRows, origin_ns: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return excess int64[blocks, bins + 1] and totals int64[blocks], as `margins` takes them."""
    first_ns, last_ns = (int(origin_ns[0]), int(origin_ns.max())) if len(origin_ns) else (0, 0)
    width_ns = window_width_ns(last_ns - first_ns)
    first_block = first_ns // width_ns
    blocks = max(last_ns // width_ns - first_block, 0) + 1
    excess, totals = np.zeros((blocks, INTERVAL_BINS + 1), np.int64), np.zeros(blocks, np.int64)
    done, before = 0, (origin_ns[:0], origin_ns[:0])
    for batch in books.batches(NARROW_ROWS, columns=["received_time"]):
        received = batch.column(0).to_numpy()
        origin = origin_ns[done : done + len(received)]
        done += len(received)
        ours, theirs = (
            interval_bins(np.diff(np.concatenate([last, times])))
            for last, times in zip(before, (received, origin), strict=True)
        )
        before = received[-1:], origin[-1:]
        # A time outside the day's blocks counts in the nearest one, so that no interval is lost.
        block = np.clip(origin[len(origin) - len(ours) :] // width_ns - first_block, 0, blocks - 1)
        np.add.at(totals, block, 1)
        np.add.at(excess, (block, ours), 1)
        np.add.at(excess, (block, theirs), -1)
    return excess, totals


def interval_bins(intervals_ns: Int64Array) -> Int64Array:
    """Return the bins int64[n] of intervals, ns; a negative one, where time runs backwards, counts as 0."""
    whole_ms = np.maximum(intervals_ns, 0) // NS_PER_MS
    doublings = np.maximum(np.frexp(whole_ms)[1] - np.frexp(SUB_BINS)[1], 0)
    return np.asarray(np.minimum(doublings * SUB_BINS + (whole_ms >> doublings), INTERVAL_BINS - 1))
