"""Counts behind the metrics of best prices and of levels: arrays of a book and of a reference in, sums out.

Counts add up, so a day can be compared a batch at a time. The definitions are those of facts/features_and_metrics.md,
"Fidelity metrics and gates". A level is best at 0 here and counted from 1 in names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from order_book_platform.kernels.fidelity.level_comparison import (
    ALL_EQUAL,
    ALL_KNOWN,
    BOOK_LEVELS,
    GHOST_LEVELS,
    MISSING_LEVELS,
    REFERENCE_LEVELS,
    ROW_COUNTS,
    compare_best_levels,
    compare_levels,
    count_best,
)
from order_book_platform.model.arrays import BoolArray, Float64Array, Int64Array


def share(part: float, whole: float) -> float | None:
    """Return `part / whole`; None where there is nothing to divide by."""
    return part / whole if whole else None


def root_mean(squares: float, weight: float) -> float | None:
    """Return the root of the mean of a sum of squares; None where there is nothing to divide by."""
    return math.sqrt(squares / weight) if weight else None


class BestPrices(NamedTuple):
    """Comparison of the best bid and ask of n book rows with those of a reference.

    `exact` bool[n] tells whether all four fields (two prices, two sizes) are equal; `error_ticks` float64[n, 2] is the
    price of the book minus that of the reference per side, NaN where either has no best level.
    """

    exact: BoolArray
    error_ticks: Float64Array


def compare_best(
    book_price: Int64Array,
    book_size: Int64Array,
    price: Int64Array,
    size: Int64Array,
    encoded_tick: int,
    at: Int64Array | None = None,
) -> BestPrices:
    """Compare best bid and ask of a book, int64[n, 2, K], with those of a reference, int64[m, 2, K'], encoded.

    `at` int64[n] is the reference row that each book row is compared with; by default the one beside it, m = n.
    """
    count = len(book_price)
    best = BestPrices(np.empty(count, np.bool_), np.empty((count, 2)))
    rows = np.arange(count) if at is None else at
    compare_best_levels(book_price, book_size, price, size, rows, encoded_tick, best.exact, best.error_ticks)
    return best


EVERY, CLAIMED = 0, 1
"""Whether errors are taken over all rows, or over those that claim to know the side's best level."""


class BestPriceCounts:
    """Counts and sums behind the `bbo_*` metrics."""

    def __init__(self) -> None:
        self._rows = np.zeros(5, dtype=np.int64)
        self._priced = np.zeros((2, 2, 2), dtype=np.int64)
        self._squares = np.zeros((2, 2))

    def add(self, best: BestPrices, known: BoolArray, rows: BoolArray | None = None) -> None:
        """Take in the chosen `rows` bool[n], by default all; `known` bool[n, 2]: the book claims the side's best."""
        chosen = np.ones(len(known), np.bool_) if rows is None else rows
        count_best(best.exact, best.error_ticks, known, chosen, self._rows, self._priced, self._squares)

    @property
    def rows(self) -> int:
        """Number of rows compared."""
        return int(self._rows[0])

    @property
    def exact(self) -> int:
        """Number of rows with all four fields equal."""
        return int(self._rows[1])

    @property
    def both_known(self) -> int:
        """Number of rows in which the book claims to know the best bid and the best ask."""
        return int(self._rows[2])

    def unknown(self, side: int) -> int:
        """Return the number of rows in which the book does not claim to know the best bid (0) or ask (1)."""
        return int(self._rows[3 + side])

    def priced(self, part: int, side: int) -> int:
        """Return the number of rows of a part, `EVERY` or `CLAIMED`, in which the error of a side is defined."""
        return int(self._priced[part, side, 0])

    def off(self, part: int, side: int) -> int:
        """Return the number of rows of a part in which the price of a side is wrong."""
        return int(self._priced[part, side, 1])

    def rms_ticks(self, part: int, side: int) -> float | None:
        """Return the root mean square of the errors of a part and side, ticks; None without rows."""
        return root_mean(float(self._squares[part, side]), self.priced(part, side))

    @property
    def exact_share(self) -> float | None:
        """Share of rows with all four fields equal; None without rows."""
        return share(self.exact, self.rows)


@dataclass(slots=True)
class LevelCounts:
    """Counts behind the `topk_*` metrics over K = `depth` levels a side.

    Attributes:
        equal: Number of rows in which all 2·K levels are equal in price and size.
        known: Number of rows in which the book claims to know all of them.
        reference_levels: Number of reference levels inside the book's known range.
        missing: Number of these that the book lacks.
        book_levels: Number of known book levels inside the reference's range.
        ghosts: Number of these that the reference lacks.
        by_level: int64[2, K, 2], per side and level: the rows in which the book claims to know it, and those of them
            in which it is equal in price and size.
    """

    depth: int
    rows: int = 0
    equal: int = 0
    known: int = 0
    known_equal: int = 0
    reference_levels: int = 0
    missing: int = 0
    book_levels: int = 0
    ghosts: int = 0
    by_level: Int64Array = field(init=False)

    def __post_init__(self) -> None:
        self.by_level = np.zeros((2, self.depth, 2), dtype=np.int64)

    def add(
        self,
        book_price: Int64Array,
        book_size: Int64Array,
        known: NDArray[np.uint8],
        price: Int64Array,
        size: Int64Array,
        at: Int64Array | None = None,
    ) -> Int64Array:
        """Compare rows as `compare_best` does, by the rules of `kernels.fidelity.level_comparison.compare_levels`.

        Returns:
            int64[n, ROW_COUNTS], the counts of each row, which have been taken in.
        """
        counts = np.empty((len(known), ROW_COUNTS), dtype=np.int64)
        sides = [book_price, book_size, known, np.ascontiguousarray(price), np.ascontiguousarray(size)]
        compare_levels(*sides, np.arange(len(known)) if at is None else at, counts, self.by_level)
        equal, all_known = counts[:, ALL_EQUAL] == 1, counts[:, ALL_KNOWN] == 1
        self.rows += len(counts)
        self.equal += int(equal.sum())
        self.known += int(all_known.sum())
        self.known_equal += int((equal & all_known).sum())
        self.reference_levels += int(counts[:, REFERENCE_LEVELS].sum())
        self.missing += int(counts[:, MISSING_LEVELS].sum())
        self.book_levels += int(counts[:, BOOK_LEVELS].sum())
        self.ghosts += int(counts[:, GHOST_LEVELS].sum())
        return counts
