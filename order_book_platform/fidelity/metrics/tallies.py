"""The fidelity metrics as plain functions: arrays of a book and of a reference in, tallies out.

Tallies add up, so a day can be measured a piece at a time. Definitions: facts/features_and_metrics.md,
"Fidelity metrics and gates"; P is a price and q a size in pips, a level is best at 0 here and counted from 1 in names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from order_book_platform.datasets.reconstructed_books.rows import BookHeads
from order_book_platform.kernels.fidelity import book_statistics
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
    tally_best,
)
from order_book_platform.model.arrays import BoolArray, Float64Array, Int64Array
from order_book_platform.model.levels import MISSING_PIPS


def share(part: float, whole: float) -> float | None:
    """`part / whole`; None where there is nothing to divide by."""
    return part / whole if whole else None


@dataclass(frozen=True, slots=True)
class BestPrices:
    """Row by row: is the best bid and ask right, and how far off is each price.

    Attributes:
        exact: bool[n], all four fields (two prices, two sizes) equal.
        error_ticks: float64[n, 2], book minus reference per side; NaN where either has no best level.
    """

    exact: BoolArray
    error_ticks: Float64Array


def compare_best(
    book_price: Int64Array,
    book_size: Int64Array,
    price: Int64Array,
    size: Int64Array,
    tick_pips: int,
    at: Int64Array | None = None,
) -> BestPrices:
    """Compare best bid and ask of a book with those of a reference.

    Args:
        book_price: int64[n, 2, K] pips; only level 0 is looked at.
        book_size: int64[n, 2, K] pips.
        price: int64[m, 2, K'] pips of the reference.
        size: int64[m, 2, K'] pips of the reference.
        tick_pips: pips per tick.
        at: int64[n], the reference row that each book row is compared with; by default the one beside it, m = n.
    """
    n = len(book_price)
    exact, errors = np.empty(n, dtype=np.bool_), np.empty((n, 2))
    rows = np.arange(n) if at is None else at
    compare_best_levels(book_price, book_size, price, size, rows, tick_pips, exact, errors)
    return BestPrices(exact, errors)


EVERY, CLAIMED = 0, 1
"""Of which rows the errors are: of all, or of those that claim to know the side's best level."""


class BestTally:
    """Sums behind the `bbo_*` metrics."""

    def __init__(self) -> None:
        self._rows = np.zeros(5, dtype=np.int64)
        self._priced = np.zeros((2, 2, 2), dtype=np.int64)
        self._squares = np.zeros((2, 2))

    def add(self, best: BestPrices, known: BoolArray, rows: BoolArray | None = None) -> None:
        """Take in the chosen rows, by default all.

        Args:
            best: the comparison of n rows.
            known: bool[n, 2], whether the book claims to know the best level of the side.
            rows: bool[n].
        """
        chosen = np.ones(len(known), dtype=np.bool_) if rows is None else rows
        tally_best(best.exact, best.error_ticks, known, chosen, self._rows, self._priced, self._squares)

    @property
    def rows(self) -> int:
        """Rows compared."""
        return int(self._rows[0])

    @property
    def exact(self) -> int:
        """Rows with all four fields equal."""
        return int(self._rows[1])

    @property
    def both_known(self) -> int:
        """Rows in which the book claims to know the best bid and the best ask."""
        return int(self._rows[2])

    def unknown(self, side: int) -> int:
        """Rows in which it does not claim to know the best bid (0) or ask (1)."""
        return int(self._rows[3 + side])

    def priced(self, part: int, side: int) -> int:
        """Rows of a part, `EVERY` or `CLAIMED`, in which the error of bids (0) or asks (1) is defined."""
        return int(self._priced[part, side, 0])

    def off(self, part: int, side: int) -> int:
        """Those of them in which it is not 0."""
        return int(self._priced[part, side, 1])

    def rms_ticks(self, part: int, side: int) -> float | None:
        """Root mean square of these errors, ticks; None without rows."""
        mean = share(float(self._squares[part, side]), self.priced(part, side))
        return None if mean is None else math.sqrt(mean)

    @property
    def exact_share(self) -> float | None:
        """`bbo_exact_seq`."""
        return share(self.exact, self.rows)


@dataclass(slots=True)
class LevelTally:
    """Sums behind the `topk_*` metrics over K levels a side.

    Attributes:
        rows: rows compared.
        equal: rows in which all 2·K levels are equal in price and size.
        known: rows in which the book claims to know all of them.
        known_equal: rows of both kinds.
        reference_levels: reference levels inside the book's known range.
        missing: those of them that the book has not.
        book_levels: known book levels inside the reference's range.
        ghosts: those of them that the reference has not.
        by_level: int64[2, K, 2], per side and level: rows in which the book claims to know it, and those in
            which it is equal in price and size.
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
        """Compare rows and take the counts in; see `kernels.compare_levels` for the rules.

        Args:
            book_price: int64[n, 2, K] pips.
            book_size: int64[n, 2, K] pips.
            known: uint8[n, 2], levels the book claims to know.
            price: int64[m, 2, K] pips of the reference.
            size: int64[m, 2, K] pips of the reference.
            at: int64[n], the reference row that each book row is compared with; by default the one beside it, m = n.

        Returns:
            int64[n, ROW_COUNTS], the counts of each row.
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


@dataclass(slots=True)
class BookFacts:
    """What the book's own rows say, without any reference.

    Attributes:
        rows: of the file.
        first_seed: sequence number of the first row with flag SEEDED; None where the book was never seeded.
        first_time_ns: origin time of the first row that has one, ns; 0 without such rows.
        last_time_ns: latest origin time of any row, ns; 0 without such rows.
        flagged: rows with GAP or HINDSIGHT.
        out_of_order: rows whose sequence number is below an earlier one.
        seeded_rows: rows from the first seeded one on.
        crossed_ns: time from the first seeded row on with best bid above best ask.
        locked_ns: the same, best bid equal to best ask.
        span_ns: time from the first seeded row to the last row.
        lowest_pips: lowest best bid of the seeded rows; `MISSING_PIPS` where there is none.
        highest_pips: highest best ask of the seeded rows; `MISSING_PIPS` where there is none.
        mistimed: rows whose origin time cannot be.
    """

    rows: int = 0
    first_seed: int | None = None
    first_time_ns: int = 0
    last_time_ns: int = 0
    flagged: int = 0
    out_of_order: int = 0
    seeded_rows: int = 0
    crossed_ns: int = 0
    locked_ns: int = 0
    span_ns: int = 0
    lowest_pips: int = MISSING_PIPS
    highest_pips: int = MISSING_PIPS
    mistimed: int = 0


_EVER = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))


class FactTally:
    """Gathers `BookFacts` from a book in passing.

    A state is weighed by the time until the next row (`crossed_tw`, `locked_tw`); a time below an earlier one counts as
    that one, and the last row weighs nothing. Rows before the first seeded one are not judged.

    Args:
        plausible_ns: first and last time that can be, ns. A row of another time is counted, and holds and is held for
            as if it had the time of the one before: 0 says that the exchange gave none.
    """

    def __init__(self, plausible_ns: tuple[int, int] = _EVER) -> None:
        self._plausible_ns = plausible_ns
        self._state = np.zeros(book_statistics.STATE_SIZE, dtype=np.int64)

    def add(self, part: BookHeads) -> None:
        """Take in the next rows."""
        columns = part.sequence_number, part.time_ns, part.flags, part.best_prices
        book_statistics.add_book_rows(*columns, *self._plausible_ns, self._state)

    @property
    def facts(self) -> BookFacts:
        """Of the rows so far."""
        found = dict(zip(_FACTS, self._state.tolist(), strict=False))
        if not found["rows"]:
            return BookFacts()
        first_seed = found.pop("first_seed")
        return BookFacts(first_seed=first_seed if found.pop("seeded") else None, **found)


_FACTS = (
    *(
        "rows",
        "seeded",
        "first_seed",
        "first_time_ns",
        "last_time_ns",
        "flagged",
        "out_of_order",
        "seeded_rows",
    ),
    *("crossed_ns", "locked_ns", "span_ns", "lowest_pips", "highest_pips", "mistimed"),
)
"""What stands in the first places of the state of `kernels.facts`."""
