"""Distances between the distributions of a book's states and of its references', and between two sets of intervals.

The states are those of the pairs that the other metrics compare: each reference and the book row it belongs to. A state
weighs the time until the next pair. A second later the distributions of spread, best sizes and queue imbalance are the
same (measured on the recordings: KS 0.001 to 0.004), so the reference of another time is no placebo here. The reference
without its best bid, or without its best ask, is: KS 0.16 to 0.99.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.reconstructed_books.rows import BookRows
from order_book_platform.fidelity.metrics.metric import GATES, WITHOUT_BEST, Metric
from order_book_platform.fidelity.metrics.size_correlation import Magnitude, as_floats
from order_book_platform.fidelity.metrics.time_windows import window_width_ns
from order_book_platform.fidelity.references.sequence_alignment import ShiftedReferences
from order_book_platform.kernels.fidelity import state_histograms
from order_book_platform.kernels.fidelity.block_bootstrap import resampled_distances
from order_book_platform.model.arrays import Float64Array, Int64Array

STATISTICS = {
    "spread": "spread in ticks",
    "log_q_bid": "log size of the best bid",
    "log_q_ask": "log size of the best ask",
    "qi_1": "queue imbalance of the best levels",
    "qi_5": f"queue imbalance of {state_histograms.QUEUE_LEVELS} levels",
}
"""What is compared, in the order of `kernels.states`, with the words for notes."""

_TOUCHED = {"log_q_bid": (state_histograms.NO_BID,), "log_q_ask": (state_histograms.NO_ASK,)}
"""Placebos that say anything of a statistic; both where not listed."""

RESAMPLES = 500
"""Times that the blocks of a day are drawn anew, with replacement, for an interval."""
SEED = 20_240_808
"""Of these draws: the same data give the same interval."""
CONFIDENCE = 95.0
"""Per cent."""


@dataclass(frozen=True, slots=True)
class Distance:
    """How far two distributions on the same bins are apart.

    Attributes:
        ks: Kolmogorov–Smirnov, the largest difference of the two cumulative shares; None without states.
        tv: total variation, half the sum of all differences of shares.
        w1: Wasserstein, the area between the two cumulative shares, in the statistic's unit; None also where a state
            has no value.
    """

    ks: float | None = None
    tv: float | None = None
    w1: float | None = None


def positions(statistic: int) -> Float64Array:
    """Lower edges of a statistic's bins, in its unit: ticks, log of a size in pips, or the imbalance itself."""
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
    """Distance of two distributions of equal weight.

    Args:
        excess: int64[m + 1], weight of the one less that of the other per bin; the last holds what has no value.
        total: weight of each.
        places: float64[m], where the bins lie, ascending.
    """
    if not total:
        return Distance()
    ahead = np.abs(np.cumsum(excess))
    w1 = None if excess[-1] else float(ahead[:-2] @ np.diff(places)) / total
    return Distance(float(ahead.max()) / total, float(np.abs(excess).sum()) / (2 * total), w1)


def margins(excess: Int64Array, totals: Int64Array, places: Float64Array) -> Distance:
    """How far chance may have moved each distance at a confidence of 95 %; None where there are fewer than two blocks.

    Days are put together of blocks that are drawn with replacement: neighbouring states resemble each other, so blocks
    of time are drawn, not states. A margin is the 95th percentile of the distance between such a day's difference of
    the two distributions and that of the real day. By the triangle inequality the true distance lies within the margin
    of the measured one wherever the differences do; percentiles of the days' own distances do not, as a distance can
    only grow from 0. The sums of a block are all that is needed: the cost grows with blocks and bins, not with states.

    Args:
        excess: int64[blocks, m + 1], as of `distance`.
        totals: int64[blocks].
        places: float64[m].
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
    """The interval of a distance, none of it below 0; None where either is not known."""
    return None if value is None or margin is None else (max(0.0, value - margin), value + margin)


@dataclass(frozen=True, slots=True)
class _Held:
    """The last pair, whose weight is not known before the next one comes; arrays of one row."""

    time_ns: int
    rows: tuple[NDArray[np.generic], ...]


@dataclass(slots=True)
class Distributions:
    """States of the book rows and of the references that they are paired with, added up over a day.

    Args:
        levels: K, of both.
        tick_pips: pips per tick.
        first_ns: earliest time, ns; blocks begin at whole multiples of their width.
        last_ns: latest time, ns; pairs outside belong to the first or the last block.
        magnitude: how large the sizes are, in pips.
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
        """Add n rows; the time of each and, at last, when the last one ends: int64[n + 1] ns."""
        price, size, known, their_price, their_size = rows
        blocks = time_ns[:-1] // self._width_ns - self.first_ns // self._width_ns
        state_histograms.weigh_states(
            *(price, size, size.view(np.int64), known),
            *(their_price, their_size, their_size.view(np.int64)),
            *(self.tick_pips, np.diff(time_ns), np.clip(blocks, 0, len(self._totals) - 1)),
            *(self._reference, self._placebos, self._excess, self._totals, self._rows),
        )

    def distance(self, statistic: int) -> Distance:
        """Of the book from its references."""
        excess, totals, places = self._of(statistic)
        return distance(excess.sum(axis=0), int(totals.sum()), places)

    def margins(self, statistic: int) -> Distance:
        """Of these distances, see `margins`."""
        return margins(*self._of(statistic))

    def placebos(self, statistic: int) -> tuple[Distance, Distance]:
        """Of the reference without its best bid, and without its best ask, from the reference."""
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
        """Excess and totals by block, and where the bins lie."""
        bins = slice(state_histograms.STARTS[statistic], state_histograms.STARTS[statistic + 1])
        return self._excess[:, bins], self._totals[:, statistic], positions(statistic)

    def weights(self, statistic: int) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
        """Weight by bin, int64[m + 1] each, the last of what has no value.

        Returns:
            Of the reference, of the book, and of the reference without its best bid and without its best ask.
        """
        excess, _, _ = self._of(statistic)
        bins = slice(state_histograms.STARTS[statistic], state_histograms.STARTS[statistic + 1])
        reference = self._reference[bins]
        return reference, reference + excess.sum(axis=0), *self._placebos[:, bins]

    def metrics(self, unmatched: int, alignment: str) -> Iterator[Metric]:
        """`ks_*`, `tv_*` and `w1_*` of every statistic.

        Args:
            unmatched: references without a book row.
            alignment: as in `Metric`.
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
                bounds = within(getattr(found, kind), getattr(chance, kind))
                yield Metric(
                    f"{kind}_{name}",
                    getattr(found, kind),
                    int(self._rows[statistic]),
                    GATES.get(f"{kind}_{name}"),
                    unmatched,
                    alignment,
                    placebos=tuple(getattr(placebo, kind) for placebo in placebos),
                    note=note if bounds is None else f"{note} {_said(bounds, blocks)}",
                    spoiled=WITHOUT_BEST,
                    interval=bounds,
                )


def _said(bounds: tuple[float, float], blocks: int) -> str:
    return f"95 % interval {bounds[0]:.3g} to {bounds[1]:.3g}, from {blocks:,} blocks."
