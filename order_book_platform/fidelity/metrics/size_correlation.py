"""Correlation of sizes: whether the sizes of a level move together in the book and in the reference."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from order_book_platform.kernels.book.visible_rows import rows_to_columns
from order_book_platform.kernels.fidelity.size_correlation import (
    DIGIT_VALUES,
    DIGITS,
    RESULTS,
    WORKSPACE_ROWS,
    compare_sizes,
)
from order_book_platform.model.arrays import MISSING_PIPS, BoolArray, Float64Array, Int64Array

SAMPLE_ROWS = 16_384
"""Number of rows correlated at most, evenly spaced over the day: ranks need all of them in memory at once (23 MB, and
29 MB more while they are ranked). With so many a correlation of 0.99 is known to 0.0002; four times as many take 0.6 s
of CPU more."""


Magnitude = Callable[[Int64Array], Float64Array]
"""Turns encoded sizes, int64, into float64 that have the order and the ratios of the sizes."""


def as_floats(pips: Int64Array) -> Float64Array:
    """Return int64[n] pips as float64[n]: the `Magnitude` of sizes in pips."""
    return pips.astype(np.float64)


KINDS = ("l1", "pearson", "spearman", "pearson_detrended", "spearman_detrended")
"""Names of the figures of `LevelCorrelations`."""


@dataclass(frozen=True, slots=True)
class LevelCorrelations:
    """Comparison of the sizes of each side and level; NaN where it cannot be measured.

    All are float64[2, K], or int64[2, K] if they are numbers. Pearson correlations are those of log1p(size in pips),
    Spearman correlations those of sizes, detrended ones those of differences between neighbouring rows.

    Attributes:
        l1: Σ|q̂ − q| / Σq.
        pairs: Rows behind the first three.
        steps: Differences behind the detrended ones.
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
        """Return the comparison of K = `depth` levels none of which was measured."""
        figures = (np.full((2, depth), np.nan) for _ in range(5))
        return cls(*figures, *(np.zeros((2, depth), dtype=np.int64) for _ in range(2)))

    def worst(self, kind: str) -> float | None:
        """Return the highest `l1` or the lowest correlation of all levels; None if a level was not measured."""
        values: Float64Array = getattr(self, kind)
        if not values.size or np.isnan(values).any():
            return None
        return float(values.max() if kind == "l1" else values.min())


def correlate_levels(book: Sizes, reference: Sizes, both: BoolArray) -> LevelCorrelations:
    """Compare sizes of n rows where `both`, bool[n, 2, K]: the book knows the level and the reference has it."""
    rows, _, depth = both.shape
    figures, numbers = np.empty((2 * depth, RESULTS)), np.empty((2 * depth, 2), dtype=np.int64)

    def compare(levels: range) -> None:
        room, keys = np.empty((WORKSPACE_ROWS, rows)), np.empty(rows, dtype=np.int64)
        sorting = np.empty((2, 2, rows), dtype=np.int64)
        counts = np.empty((DIGITS, DIGIT_VALUES), dtype=np.int64)
        for level in levels:
            compare_sizes(
                *(book.sizes[level], reference.sizes[level], book.logs[level], reference.logs[level]),
                *(both[:, level // depth, level % depth], room, keys, sorting, counts),
                *(figures[level], numbers[level]),
            )

    with ThreadPoolExecutor(2) as threads:  # the loops release the GIL
        list(threads.map(compare, (range(0, 2 * depth, 2), range(1, 2 * depth, 2))))
    parts = (column.reshape(2, depth) for column in (*figures.T, *numbers.T))
    return LevelCorrelations(*parts)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of n rows, level by level.

    Both are float64[2·K, n], bid levels from the best, then ask levels; the logs are log1p of the sizes.
    """

    sizes: Float64Array
    logs: Float64Array

    @classmethod
    def of(cls, pips: Int64Array, magnitude: Magnitude = as_floats) -> Sizes:
        """Return the sizes of rows, level by level, from encoded sizes, int64[n, 2, K], C-contiguous."""
        rows = pips.reshape(len(pips), -1)
        columns = np.empty(rows.shape[::-1], dtype=np.int64)
        rows_to_columns(rows, columns, len(rows))
        sizes = magnitude(columns)
        return cls(sizes, np.log1p(sizes))


def sample_step(rows: int) -> int:
    """Return the distance at which rows are taken out of `rows` so that they are `SAMPLE_ROWS` at most."""
    return max(1, -(-rows // SAMPLE_ROWS))


class CorrelationSample:
    """Keeps evenly spaced rows of a day, so many at most, for the correlations: of book, reference and placebos."""

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
        """Take in n encoded rows of a book, int64[n, 2, K], and of R references: the true one and its placebos.

        Args:
            book_price: Prices of the book.
            book_size: Sizes of the book.
            known: uint8[n, 2], levels that the book claims to know.
            prices: int64[n, R, 2, K].
            sizes: int64[n, R, 2, K].
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
        """Return the correlations with each of the R references; empty where no row came."""
        if self._both is None:
            return ()
        kept = slice(0, self._kept)
        book = Sizes.of(self._sizes[0, kept], self._magnitude)
        return tuple(
            correlate_levels(book, Sizes.of(sizes[kept], self._magnitude), both[kept])
            for sizes, both in zip(self._sizes[1:], self._both, strict=True)
        )
