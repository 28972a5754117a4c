"""Summary of a book from its own rows, without any reference: its span, order, flags, crossed and locked time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from order_book_platform.datasets.reconstructed_books.rows import BookHeads
from order_book_platform.kernels.fidelity import book_statistics
from order_book_platform.model.arrays import MISSING_PIPS

_ALL_TIMES = (int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max))
_STATE = (
    *("rows", "seeded", "first_seed", "first_time_ns", "last_time_ns", "flagged", "out_of_order"),
    *("seeded_rows", "crossed_ns", "locked_ns", "span_ns", "lowest_pips", "highest_pips", "mistimed"),
)
"""Names of the first places of the state of `kernels.fidelity.book_statistics`, in order."""


@dataclass(frozen=True, slots=True)
class BookSummary:
    """Summary of the rows of a book, without any reference.

    Attributes:
        rows: Number of rows of the file.
        first_seed: Sequence number of the first row with flag SEEDED; None where the book was never seeded.
        first_time_ns: Origin time of the first row that has one, ns; 0 without such rows.
        last_time_ns: Latest origin time of any row, ns; 0 without such rows.
        flagged: Number of rows with GAP or HINDSIGHT.
        out_of_order: Number of rows whose sequence number is below an earlier one.
        seeded_rows: Number of rows from the first seeded one on.
        crossed_ns: Time from the first seeded row on with best bid above best ask, ns.
        locked_ns: Time from the first seeded row on with best bid equal to best ask, ns.
        span_ns: Time from the first seeded row to the last row, ns.
        lowest_pips: Lowest best bid of the seeded rows, encoded; `MISSING_PIPS` where there is none.
        highest_pips: Highest best ask of the seeded rows, encoded; `MISSING_PIPS` where there is none.
        mistimed: Number of rows whose origin time is not plausible.
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

    @property
    def span(self) -> tuple[int, int]:
        """First and latest origin time, ns."""
        return self.first_time_ns, self.last_time_ns


class BookSummarizer:
    """Builds a `BookSummary` from the rows of a book in passing.

    A row weighs the time until the next one; a time below an earlier one counts as that one, and the last row weighs
    nothing. Rows before the first seeded one are not judged.

    Args:
        plausible_ns: First and last plausible time, ns. A row of another time is counted, and is weighed as if it had
            the time of the row before: 0 says that the exchange gave none.
    """

    def __init__(self, plausible_ns: tuple[int, int] = _ALL_TIMES) -> None:
        self._plausible_ns = plausible_ns
        self._state = np.zeros(book_statistics.STATE_SIZE, dtype=np.int64)

    def add(self, rows: BookHeads) -> None:
        """Take in the next rows of the book."""
        columns = rows.sequence_number, rows.time_ns, rows.flags, rows.best_prices
        book_statistics.add_book_rows(*columns, *self._plausible_ns, self._state)

    @property
    def summary(self) -> BookSummary:
        """Summary of the rows so far."""
        values = dict(zip(_STATE, self._state.tolist(), strict=False))
        if not values["rows"]:
            return BookSummary()
        first_seed = values.pop("first_seed")
        return BookSummary(first_seed=first_seed if values.pop("seeded") else None, **values)
