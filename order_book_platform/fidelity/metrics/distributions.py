"""Distances between distributions: of the states of a book and of its references, and of intervals by two clocks.

The states are those of the pairs that the other metrics compare: each reference and the book row it belongs to. A state
weighs the time until the next pair. A second later the distributions of spread, best sizes and queue imbalance are the
same (measured on the recordings: KS 0.001 to 0.004), so the reference of another time is no placebo here. The reference
without its best bid, or without its best ask, is one: KS 0.16 to 0.99.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from order_book_platform.clock import NS_PER_MS
from order_book_platform.datasets.columns import NARROW_ROWS
from order_book_platform.datasets.reconstructed_books.reader import BookRows
from order_book_platform.fidelity.metric_declarations import BOOK
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.size_correlation import Magnitude, as_floats
from order_book_platform.fidelity.metrics.time_windows import TimeWindows
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences
from order_book_platform.kernels.fidelity import state_histograms
from order_book_platform.kernels.fidelity.state_histograms import resampled_distances
from order_book_platform.model.arrays import Float64Array, Int64Array
from order_book_platform.storage import ParquetRows

STATISTICS = {
    "spread": "spread in ticks",
    "log_q_bid": "log size of the best bid",
    "log_q_ask": "log size of the best ask",
    "qi_1": "queue imbalance of the best levels",
    "qi_5": f"queue imbalance of {state_histograms.QUEUE_LEVELS} levels",
}
"""States that are compared, in the order of `kernels.fidelity.state_histograms`, with words for the notes."""

_TOUCHED = {"log_q_bid": (state_histograms.NO_BID,), "log_q_ask": (state_histograms.NO_ASK,)}
"""Placebos in which a state differs from the reference's; both where it is not listed."""

RESAMPLES = 500
"""How often the blocks of a day are drawn anew, with replacement, for an interval."""
SEED = 20_240_808
"""Seed of the draws: the same data give the same interval."""
CONFIDENCE = 95.0
"""Confidence of an interval, per cent."""


class Distance(NamedTuple):
    """How far apart two distributions on the same bins are.

    Attributes:
        ks: Kolmogorov–Smirnov distance, the largest difference of the two cumulative shares; None without states.
        tv: Total variation, half the sum of all differences of shares; None without states.
        w1: Wasserstein distance, the area between the two cumulative shares, in the statistic's unit; None without
            states, and where a state has no value.
    """

    ks: float | None = None
    tv: float | None = None
    w1: float | None = None


def positions(statistic: int) -> Float64Array:
    """Return the lower edges of a statistic's bins, float64[m]: ticks, logs of encoded sizes, or imbalances."""
    if statistic == state_histograms.SPREAD:
        bins = np.arange(state_histograms.SPREAD_SIDE + 1)
        doublings = np.maximum(bins // state_histograms.SUB_BINS - 1, 0)
        above = (bins - doublings * state_histograms.SUB_BINS) * 2.0**doublings
        return np.concatenate([-above[:0:-1], above])
    if statistic in (state_histograms.LOG_Q_BID, state_histograms.LOG_Q_ASK):
        octaves, parts = np.divmod(
            np.arange(state_histograms.BIN_COUNTS[statistic]), state_histograms.SUB_BINS
        )
        logs: Float64Array = (octaves - state_histograms.SIZE_OCTAVES_BELOW) * np.log(2.0)
        logs += np.log1p(parts / state_histograms.SUB_BINS)
        return logs
    steps: Float64Array = np.arange(state_histograms.QI_STEPS + 1) / (state_histograms.QI_STEPS / 2) - 1.0
    return steps


def distance(excess: Int64Array, total: int, places: Float64Array) -> Distance:
    """Return the distance of two distributions of equal weight.

    Args:
        excess: int64[m + 1], weight of the one less that of the other per bin; the last bin holds states without value.
        total: Weight of each distribution.
        places: float64[m], where the bins lie, ascending.
    """
    if not total:
        return Distance()
    ahead = np.abs(np.cumsum(excess))
    w1 = None if excess[-1] else float(ahead[:-2] @ np.diff(places)) / total
    return Distance(float(ahead.max()) / total, float(np.abs(excess).sum()) / (2 * total), w1)


def margins(excess: Int64Array, totals: Int64Array, places: Float64Array) -> Distance:
    """Return how far chance may have moved each distance at a confidence of 95 %; None with fewer than two blocks.

    Days are composed of blocks that are drawn with replacement: neighbouring states resemble each other, so blocks of
    time are drawn, not states. A margin is the 95th percentile of the distance between such a day's difference of the
    two distributions and that of the real day. By the triangle inequality the true distance lies within the margin of
    the measured one wherever the differences do; percentiles of the days' own distances do not have this property, as a
    distance can only grow from 0. Only the sums of a block are needed: the cost grows with blocks and bins, not with
    states.

    Args:
        excess: int64[blocks, m + 1], the excess of each block as in `distance`.
        totals: int64[blocks], weight of each block.
        places: float64[m], where the bins lie, ascending.
    """
    kept = totals > 0
    excess, totals = excess[kept], totals[kept]
    blocks = len(totals)
    if blocks < 2:
        return Distance()
    used = np.flatnonzero(excess.any(axis=0))
    if not len(used):
        return Distance(0.0, 0.0, 0.0)
    drawn = np.random.default_rng(SEED).multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)
    sums = np.ascontiguousarray(excess[:, used], dtype=np.float64)
    nowhere = bool(used[-1] == len(places))
    steps = np.diff(places[used[: len(used) - nowhere]])
    moved = np.empty((3, RESAMPLES))
    resampled_distances(
        *(drawn, sums, totals.astype(np.float64), sums.sum(axis=0) / totals.sum()),
        *(steps, np.empty(len(used)), moved),
    )
    ks, tv, w1 = np.percentile(moved, CONFIDENCE, axis=1).tolist()
    return Distance(ks, tv, None if nowhere else w1)


def within(value: float | None, margin: float | None) -> tuple[float, float] | None:
    """Return the interval of a distance, cut off at 0; None where distance or margin is not known."""
    return None if value is None or margin is None else (max(0.0, value - margin), value + margin)


def _distance_metrics(
    name: str,
    n: int,
    notes: tuple[str, ...],
    found: Distance,
    chance: Distance,
    placebos: Sequence[Distance] = (),
    **others: Any,
) -> Iterator[Metric]:
    """Yield `ks_…`, `tv_…` and `w1_…` of a statistic with the intervals that `chance` gives, one note for each."""
    for at, (kind, note) in enumerate(zip(Distance._fields, notes, strict=True)):
        yield Metric.of(
            f"{kind}_{name}",
            found[at],
            n,
            note,
            placebos=[placebo[at] for placebo in placebos],
            interval=within(found[at], chance[at]),
            **others,
        )


class Distributions:
    """Adds up the states of book rows and of the references that they are paired with, K levels a side, over a day.

    Its blocks are the `TimeWindows` from the first to the last time; a tick and sizes are encoded.
    """

    def __init__(
        self, levels: int, encoded_tick: int, first_ns: int, last_ns: int, magnitude: Magnitude = as_floats
    ) -> None:
        self._levels = levels
        self._encoded_tick = encoded_tick
        self._magnitude = magnitude
        self._blocks = TimeWindows(first_ns, last_ns)
        # The last pair, whose weight is not known before the next one comes: its time, and arrays of one row each.
        self._held: tuple[int, tuple[NDArray[np.generic], ...]] | None = None
        self._reference = np.zeros(state_histograms.BINS, dtype=np.int64)
        self._placebos = np.zeros((2, state_histograms.BINS), dtype=np.int64)
        self._excess = np.zeros((self._blocks.count, state_histograms.BINS), dtype=np.int64)
        self._totals = np.zeros((self._blocks.count, state_histograms.STATISTICS), dtype=np.int64)
        self._rows = np.zeros(state_histograms.STATISTICS, dtype=np.int64)

    def add(self, references: ShiftedReferences, books: BookRows) -> None:
        """Take in aligned rows, in order of time."""
        if not len(books):
            return
        top = slice(0, state_histograms.QUEUE_LEVELS + 1)
        rows = (
            books.encoded_price,
            np.ascontiguousarray(self._magnitude(books.encoded_size[:, :, top])),
            books.known,
            references.encoded_price,
            np.ascontiguousarray(self._magnitude(references.encoded_size[:, :, top])),
        )
        time_ns = references.time_ns
        if self._held is not None:
            before_ns, last = self._held
            self._weigh(last, np.array([before_ns, time_ns[0]]))
        self._weigh(tuple(array[:-1] for array in rows), time_ns)
        self._held = int(time_ns[-1]), tuple(array[-1:].copy() for array in rows)

    def _weigh(self, rows: tuple[NDArray[np.generic], ...], time_ns: Int64Array) -> None:
        """Add n rows; `time_ns` int64[n + 1] is the time of each and the time at which the last one ends, ns."""
        price, size, known, their_price, their_size = rows
        state_histograms.weigh_states(
            *(price, size, size.view(np.int64), known),
            *(their_price, their_size, their_size.view(np.int64)),
            *(self._encoded_tick, np.diff(time_ns), self._blocks.of(time_ns[:-1])),
            *(self._reference, self._placebos, self._excess, self._totals, self._rows),
        )

    def distance(self, statistic: int) -> Distance:
        """Return the distance of the book from its references."""
        bins = _bins(statistic)
        total = int(self._totals[:, statistic].sum())
        return distance(self._excess[:, bins].sum(axis=0), total, positions(statistic))

    def placebos(self, statistic: int) -> tuple[Distance, ...]:
        """Return the distances of the reference without its best bid, and without its best ask, from itself."""
        bins, total = _bins(statistic), int(self._totals[:, statistic].sum())
        both = (state_histograms.NO_BID, state_histograms.NO_ASK)
        touched = _TOUCHED.get(list(STATISTICS)[statistic], both)
        return tuple(
            distance(self._placebos[which, bins] - self._reference[bins], total, positions(statistic))
            if which in touched and self._levels > 1
            else Distance()
            for which in both
        )

    def weights(self, statistic: int) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """Return weights by bin, int64[m + 1] each; the last bin holds states without value.

        Returns:
            The weights of the reference, of the book, and of the reference without its best bid and best ask.
        """
        bins = _bins(statistic)
        reference = self._reference[bins]
        return reference, reference + self._excess[:, bins].sum(axis=0), *self._placebos[:, bins]

    def metrics(self, unmatched: int, alignment: str) -> Iterator[Metric]:
        """Yield `ks_*`, `tv_*` and `w1_*` of every statistic."""
        for statistic, (name, words) in enumerate(STATISTICS.items()):
            totals = self._totals[:, statistic]
            found = self.distance(statistic)
            chance = margins(self._excess[:, _bins(statistic)], totals, positions(statistic))
            blocks = int(np.count_nonzero(totals))
            notes = (
                f"Largest difference of the cumulative shares of time of the {words}, book against reference.",
                f"Share of time in which the {words} would have to be another for the two to agree.",
                f"How far the {words} would have to be moved on average for the two to agree.",
            )
            told = tuple(
                f"{note} 95 % interval {bounds[0]:.3g} to {bounds[1]:.3g}, from {blocks:,} blocks."
                if bounds
                else note
                for note, bounds in zip(notes, map(within, found, chance), strict=True)
            )
            n, placebos = int(self._rows[statistic]), self.placebos(statistic)
            matched = {"unmatched": unmatched, "alignment": alignment}
            yield from _distance_metrics(name, n, told, found, chance, placebos, **matched)


def _bins(statistic: int) -> slice:
    return slice(state_histograms.STARTS[statistic], state_histograms.STARTS[statistic + 1])


INTERVAL_BINS = 1_024
"""Bins of intervals: 64 of a millisecond each, then 32 to a doubling; the last begins at 2**36 ms."""
PLACES_MS = positions(state_histograms.SPREAD)[state_histograms.SPREAD_SIDE :][:INTERVAL_BINS]
"""Where the bins of intervals between messages begin, float64, ms: they are the bins of a spread of as many ticks."""


def interval_metrics(books: ParquetRows, origin_ns: Int64Array) -> Iterator[Metric]:
    """Yield `ks_…`, `tv_…`, `w1_inter_arrival`: intervals between rows by the recorder's clock from those by E.

    There is no second recording to compare with, so this judges no book and has no gate. It tells a user of arrival
    times how much of the market's own rhythm they show: a line that holds messages back and delivers them in bursts
    makes the two differ. A lost message lengthens both alike. Each interval counts once: it is no state that holds.

    `origin_ns` int64[n] are the origin times of the rows of the book.
    """
    excess, totals = _count(books, origin_ns)
    n = int(totals.sum())
    notes = (
        "Intervals between book rows in ms, by the recorder's clock against by the exchange's.",
        "Share of intervals that are others by the recorder's clock than by the exchange's.",
        "How far intervals by the recorder's clock are from those by the exchange's on average, in ms.",
    )
    found, chance = distance(excess.sum(axis=0), n, PLACES_MS), margins(excess, totals, PLACES_MS)
    yield from _distance_metrics("inter_arrival", n, notes, found, chance, reference=BOOK)


def _count(books: ParquetRows, origin_ns: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Return excess int64[blocks, bins + 1] and totals int64[blocks], as `margins` takes them."""
    first_ns, last_ns = (int(origin_ns[0]), int(origin_ns.max())) if len(origin_ns) else (0, 0)
    blocks = TimeWindows(first_ns, last_ns)
    excess, totals = np.zeros((blocks.count, INTERVAL_BINS + 1), np.int64), np.zeros(blocks.count, np.int64)
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
        block = blocks.of(origin[len(origin) - len(ours) :])
        np.add.at(totals, block, 1)
        np.add.at(excess, (block, ours), 1)
        np.add.at(excess, (block, theirs), -1)
    return excess, totals


def interval_bins(intervals_ns: Int64Array) -> Int64Array:
    """Return the bins int64[n] of intervals, ns; a negative one, where time runs backwards, counts as 0."""
    whole_ms = np.maximum(intervals_ns, 0) // NS_PER_MS
    doublings = np.maximum(np.frexp(whole_ms)[1] - np.frexp(state_histograms.SUB_BINS)[1], 0)
    bins = doublings * state_histograms.SUB_BINS + (whole_ms >> doublings)
    return np.asarray(np.minimum(bins, INTERVAL_BINS - 1))
