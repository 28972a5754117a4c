"""Depth correlation: do the sizes of a level move together in the book and in the reference?"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from order_book_platform.kernels import ranks
from order_book_platform.kernels.columns import rows_to_columns
from order_book_platform.model.batches import BoolArray, Int64Array
from order_book_platform.model.schemas import MISSING_PIPS

Float64Array = NDArray[np.float64]

SAMPLE_ROWS = 16_384
"""Rows correlated at most, evenly spaced over the day: ranks need all of them in memory at once (23 MB, and 10 MB more
while they are ranked). With so many a correlation of 0.99 is known to 0.0002; four times as many take 0.4 s of CPU
more."""


Magnitude = Callable[[Int64Array], Float64Array]
"""From the int64 that sizes are held as to float64 that sort and relate as the sizes do."""


def as_floats(pips: Int64Array) -> Float64Array:
    """The `Magnitude` of pips: themselves."""
    return pips.astype(np.float64)


def average_ranks(values: NDArray[np.generic]) -> Float64Array:
    """Ranks from 1 in ascending order; equal values, none of them NaN, share the average of their ranks. float64[n]."""
    found = np.empty(len(values))
    room = np.empty((2, 2, len(values)), dtype=np.int64)
    counts = np.empty((ranks.DIGITS, ranks.DIGIT_VALUES), dtype=np.int64)
    ranks.average_ranks(_keys(values), room, counts, found)
    return found


def _keys(values: NDArray[np.generic]) -> Int64Array:
    """Integers that sort and tie as the values do, int64[n]."""
    if np.issubdtype(values.dtype, np.integer):
        return np.ascontiguousarray(values, dtype=np.int64)
    # A float's bits sort as it does where it is at least 0, the other way round below; 0 and −0 are one value.
    bits = (values.astype(np.float64) + 0.0).view(np.int64)
    keys: Int64Array = bits ^ (bits >> 63 & np.iinfo(np.int64).max)
    return keys


def pearson(x: Float64Array, y: Float64Array) -> float | None:
    """Pearson's correlation; None where n < 2 or either side never changes."""
    if len(x) < 2:
        return None
    dx, dy = x - x.mean(), y - y.mean()
    spread = math.sqrt(float((dx * dx).sum()) * float((dy * dy).sum()))
    return min(1.0, max(-1.0, float((dx * dy).sum()) / spread)) if spread > 0.0 else None


def spearman(x: NDArray[np.generic], y: NDArray[np.generic]) -> float | None:
    """Spearman's rank correlation, ties averaged; None where n < 2 or either side never changes."""
    return pearson(average_ranks(x), average_ranks(y))


KINDS = ("l1", "pearson", "spearman", "pearson_detrended", "spearman_detrended")
"""Figures of `LevelCorrelations`."""


@dataclass(frozen=True, slots=True)
class LevelCorrelations:
    """How the sizes of each side and level compare; NaN where that cannot be measured.

    Attributes:
        l1: float64[2, K], Σ|q̂ − q| / Σq.
        pearson: float64[2, K], of log1p(size in pips).
        spearman: float64[2, K].
        pearson_detrended: float64[2, K], of the differences of log1p(size) between a row and the next.
        spearman_detrended: float64[2, K], of the differences of sizes between a row and the next.
        pairs: int64[2, K], rows behind the first three.
        steps: int64[2, K], differences behind the detrended ones.
    """

    l1: Float64Array
    pearson: Float64Array
    spearman: Float64Array
    pearson_detrended: Float64Array
    spearman_detrended: Float64Array
    pairs: Int64Array
    steps: Int64Array

    @classmethod
    def nothing(cls, depth: int) -> LevelCorrelations:
        """Of K = `depth` levels, none measured."""
        figures = (np.full((2, depth), np.nan) for _ in range(5))
        return cls(*figures, *(np.zeros((2, depth), dtype=np.int64) for _ in range(2)))

    def worst(self, kind: str) -> float | None:
        """The worst of all levels, the highest `l1` or the lowest correlation; None if one of them is not measured."""
        values: Float64Array = getattr(self, kind)
        if not values.size or np.isnan(values).any():
            return None
        return float(values.max() if kind == "l1" else values.min())


def correlate_levels(
    book_size: Int64Array, size: Int64Array, both: BoolArray, magnitude: Magnitude = as_floats
) -> LevelCorrelations:
    """Compare sizes level by level.

    Args:
        book_size: int64[n, 2, K] pips.
        size: int64[n, 2, K] pips of the reference.
        both: bool[n, 2, K], where the book knows the level and the reference has it.
        magnitude: how large the sizes are, in pips.
    """
    depth = both.shape[2]
    found = LevelCorrelations.nothing(depth)

    def correlate_side(side: int) -> None:
        for level in range(depth):
            at = (side, level)
            rows = both[:, side, level]
            # Of rows that are left, those whose next one is left too.
            stepping = (rows[:-1] & rows[1:])[rows[:-1]]
            ours, theirs = book_size[rows, side, level], size[rows, side, level]
            same = np.array_equal(ours, theirs)
            ours = magnitude(ours)
            theirs = ours if same else magnitude(theirs)
            found.pairs[at], found.steps[at] = len(ours), np.count_nonzero(stepping)
            whole = float(theirs.sum())
            found.l1[at] = np.abs(ours - theirs).sum() / whole if whole > 0.0 else np.nan
            logs = np.log1p(ours)
            other = logs if same else np.log1p(theirs)
            found.pearson[at] = _measured(pearson, logs, other)
            found.spearman[at] = _measured(spearman, ours, theirs)
            found.pearson_detrended[at] = _measured(pearson, *_steps(logs, other, stepping))
            found.spearman_detrended[at] = _measured(spearman, *_steps(ours, theirs, stepping))

    with ThreadPoolExecutor(2) as threads:  # a side each; sorting and summing let go of the interpreter
        list(threads.map(correlate_side, range(2)))
    return found


def _measured(
    correlate: Callable[[Float64Array, Float64Array], float | None], x: Float64Array, y: Float64Array
) -> float:
    """A correlation, or NaN; of a series with itself, if it changes at all, it is 1."""
    if x is y:
        return 1.0 if len(x) > 1 and bool((x != x[0]).any()) else np.nan
    value = correlate(x, y)
    return np.nan if value is None else value


def _steps(x: Float64Array, y: Float64Array, stepping: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Differences between one value and the next, where `stepping`; one array twice if x is y."""
    steps = np.diff(x)[stepping[: max(len(x) - 1, 0)]]
    return steps, steps if x is y else np.diff(y)[stepping[: max(len(y) - 1, 0)]]


def sample_step(rows: int) -> int:
    """Every how many-th of so many rows is taken, that they be `SAMPLE_ROWS` at most."""
    return max(1, -(-rows // SAMPLE_ROWS))


class CorrelationSample:
    """Evenly spaced rows of a day for the correlations, of book, reference and placebos.

    Args:
        expected_rows: at least as many as will come.
        magnitude: how large the sizes are, in pips.
    """

    def __init__(self, expected_rows: int, magnitude: Magnitude = as_floats) -> None:
        self._magnitude = magnitude
        self._room = expected_rows
        self._kept = 0
        self._both: BoolArray | None = None

    def add(
        self,
        book_price: Int64Array,
        book_size: Int64Array,
        known: NDArray[np.uint8],
        prices: Int64Array,
        sizes: Int64Array,
        valid: BoolArray,
    ) -> None:
        """Take in rows.

        Args:
            book_price: int64[n, 2, K] pips.
            book_size: int64[n, 2, K] pips.
            known: uint8[n, 2].
            prices: int64[n, R, 2, K] pips of R references: the true one and its placebos.
            sizes: int64[n, R, 2, K] pips.
            valid: bool[n, R], false where that reference has ended.
        """
        depth = book_price.shape[2]
        if self._both is None:
            self._both = np.empty((prices.shape[1], self._room, 2, depth), dtype=np.bool_)
            self._sizes = np.empty((1 + prices.shape[1], self._room, 2, depth), dtype=np.int64)
        claimed = (np.arange(depth) < known[:, :, None]) & (book_price != MISSING_PIPS)
        both = claimed[:, None] & (prices != MISSING_PIPS) & valid[:, :, None, None]
        here = slice(self._kept, self._kept + len(known))
        self._both[:, here] = both.swapaxes(0, 1)
        self._sizes[0, here] = book_size
        self._sizes[1:, here] = sizes.swapaxes(0, 1)
        self._kept = here.stop

    def correlate(self) -> tuple[LevelCorrelations, ...]:
        """Correlations with each of the R references; empty where no row came."""
        if self._both is None:
            return ()
        count = self._kept
        book = _by_level(self._sizes[0, :count])
        return tuple(
            correlate_levels(book, _by_level(sizes[:count]), both[:count], self._magnitude)
            for sizes, both in zip(self._sizes[1:], self._both, strict=True)
        )


def _by_level(sizes: Int64Array) -> Int64Array:
    """The same int64[n, 2, K] with the sizes of a level lying together, as levels are correlated one by one."""
    rows = sizes.reshape(len(sizes), -1)
    columns = np.empty(rows.shape[::-1], dtype=np.int64)
    rows_to_columns(rows, columns, len(rows))
    return columns.reshape(*sizes.shape[1:], -1).transpose(2, 0, 1)
