"""Distances between the distributions of the states of a book and of its references.

The states are those of the pairs that the other metrics compare: each reference and the book row it belongs to. A state
weighs the time until the next pair. A second later the distributions of spread, best sizes and queue imbalance are the
same (measured on the recordings: KS 0.001 to 0.004), so the reference of another time is no placebo here. The reference
without its best bid, or without its best ask, is one: KS 0.16 to 0.99.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.reconstructed_books.rows import BookRows
from order_book_platform.fidelity.metrics.metric import Metric
from order_book_platform.fidelity.metrics.size_correlation import Magnitude, as_floats
from order_book_platform.fidelity.metrics.time_windows import window_width_ns
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences
from order_book_platform.kernels.fidelity import state_histograms
from order_book_platform.kernels.fidelity.state_histograms import resampled_distances
from order_book_platform.model.arrays import Float64Array, Int64Array

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


@dataclass(frozen=True, slots=True)
class Distance:
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


@dataclass(frozen=True, slots=True)
class _Held:
    """The last pair, whose weight is not known before the next one comes.

    Attributes:
        time_ns: Time of the pair, ns.
        rows: Arrays of one row each, as `state_histograms.weigh_states` takes them.
    """

    time_ns: int
    rows: tuple[NDArray[np.generic], ...]


@dataclass(slots=True)
class Distributions:
    """Adds up the states of book rows, and of the references that they are paired with, over a day.

    Args:
        levels: K, levels a side of both.
        tick_pips: Encoded price of a tick.
        first_ns: Earliest time, ns; blocks begin at whole multiples of their width.
        last_ns: Latest time, ns; pairs outside belong to the first or the last block.
        magnitude: How large encoded sizes are.
    """

    levels: int
    tick_pips: int
    first_ns: int
    last_ns: int
    magnitude: Magnitude = as_floats
    _held: _Held | None = field(default=None, init=False)
    _width_ns: int = field(init=False)
    _reference: Int64Array = field(init=False)
    _placebos: Int64Array = field(init=False)
    _excess: Int64Array = field(init=False)
    _totals: Int64Array = field(init=False)
    _rows: Int64Array = field(init=False)

    def __post_init__(self) -> None:
        self._width_ns = window_width_ns(self.last_ns - self.first_ns)
        blocks = self.last_ns // self._width_ns - self.first_ns // self._width_ns + 1
        self._reference = np.zeros(state_histograms.BINS, dtype=np.int64)
        self._placebos = np.zeros((2, state_histograms.BINS), dtype=np.int64)
        self._excess = np.zeros((blocks, state_histograms.BINS), dtype=np.int64)
        self._totals = np.zeros((blocks, state_histograms.STATISTICS), dtype=np.int64)
        self._rows = np.zeros(state_histograms.STATISTICS, dtype=np.int64)

    def add(self, references: ShiftedReferences, books: BookRows) -> None:
        """Take in aligned rows, in order of time."""
        if not len(books):
            return
        top = slice(0, state_histograms.QUEUE_LEVELS + 1)
        rows = (
            books.encoded_price,
            np.ascontiguousarray(self.magnitude(books.encoded_size[:, :, top])),
            books.known,
            references.encoded_price,
            np.ascontiguousarray(self.magnitude(references.encoded_size[:, :, top])),
        )
        time_ns = references.time_ns
        if self._held is not None:
            self._weigh(self._held.rows, np.array([self._held.time_ns, time_ns[0]]))
        self._weigh(tuple(array[:-1] for array in rows), time_ns)
        self._held = _Held(int(time_ns[-1]), tuple(array[-1:].copy() for array in rows))

    def _weigh(self, rows: tuple[NDArray[np.generic], ...], time_ns: Int64Array) -> None:
        """Add n rows; `time_ns` int64[n + 1] is the time of each and the time at which the last one ends, ns."""
        price, size, known, their_price, their_size = rows
        blocks = time_ns[:-1] // self._width_ns - self.first_ns // self._width_ns
        state_histograms.weigh_states(
            *(price, size, size.view(np.int64), known),
            *(their_price, their_size, their_size.view(np.int64)),
            *(self.tick_pips, np.diff(time_ns), np.clip(blocks, 0, len(self._totals) - 1)),
            *(self._reference, self._placebos, self._excess, self._totals, self._rows),
        )

    def distance(self, statistic: int) -> Distance:
        """Return the distance of the book from its references."""
        excess, totals, places = self._of(statistic)
        return distance(excess.sum(axis=0), int(totals.sum()), places)

    def margins(self, statistic: int) -> Distance:
        """Return how far chance may have moved that distance."""
        return margins(*self._of(statistic))

    def placebos(self, statistic: int) -> tuple[Distance, Distance]:
        """Return the distances of the reference without its best bid, and without its best ask, from itself."""
        _, totals, places = self._of(statistic)
        bins = slice(state_histograms.STARTS[statistic], state_histograms.STARTS[statistic + 1])
        touched = _TOUCHED.get(
            list(STATISTICS)[statistic], (state_histograms.NO_BID, state_histograms.NO_ASK)
        )
        first, second = (
            distance(self._placebos[which, bins] - self._reference[bins], int(totals.sum()), places)
            if which in touched and self.levels > 1
            else Distance()
            for which in (state_histograms.NO_BID, state_histograms.NO_ASK)
        )
        return first, second

    def _of(self, statistic: int) -> tuple[Int64Array, Int64Array, Float64Array]:
        """Return excess and totals of a statistic by block, and where its bins lie."""
        bins = slice(state_histograms.STARTS[statistic], state_histograms.STARTS[statistic + 1])
        return self._excess[:, bins], self._totals[:, statistic], positions(statistic)

    def weights(self, statistic: int) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """Return weights by bin, int64[m + 1] each; the last bin holds states without value.

        Returns:
            The weights of the reference, of the book, and of the reference without its best bid and best ask.
        """
        excess, _, _ = self._of(statistic)
        bins = slice(state_histograms.STARTS[statistic], state_histograms.STARTS[statistic + 1])
        reference = self._reference[bins]
        return reference, reference + excess.sum(axis=0), *self._placebos[:, bins]

    def metrics(self, unmatched: int, alignment: str) -> Iterator[Metric]:
        """Yield `ks_*`, `tv_*` and `w1_*` of every statistic.

        Args:
            unmatched: Number of references without a book row.
            alignment: How book and reference were matched, as in `Metric`.
        """
        for statistic, (name, words) in enumerate(STATISTICS.items()):
            found, chance = self.distance(statistic), self.margins(statistic)
            placebos = self.placebos(statistic)
            blocks = int(np.count_nonzero(self._totals[:, statistic]))
            notes = {
                "ks": f"Largest difference of the cumulative shares of time of the {words}, book against reference.",
                "tv": f"Share of time in which the {words} would have to be another for the two to agree.",
                "w1": f"How far the {words} would have to be moved on average for the two to agree.",
            }
            for kind, note in notes.items():
                value = getattr(found, kind)
                interval = within(value, getattr(chance, kind))
                yield Metric.of(
                    f"{kind}_{name}",
                    value,
                    int(self._rows[statistic]),
                    note if interval is None else f"{note} {_interval_words(interval, blocks)}",
                    unmatched=unmatched,
                    alignment=alignment,
                    placebos=[getattr(placebo, kind) for placebo in placebos],
                    interval=interval,
                )


def _interval_words(bounds: tuple[float, float], blocks: int) -> str:
    return f"95 % interval {bounds[0]:.3g} to {bounds[1]:.3g}, from {blocks:,} blocks."
