"""Comparing the levels of a book with those of a reference, row by row."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.schemas import MISSING_PIPS

ALL_EQUAL, ALL_KNOWN, REFERENCE_LEVELS, MISSING_LEVELS, BOOK_LEVELS, GHOST_LEVELS = range(6)
ROW_COUNTS = 6
"""Columns of `compare_levels`' result per row."""

_LEVELS = types.Array(types.int64, 3, "C", readonly=True)
_KNOWN = types.Array(types.uint8, 2, "C", readonly=True)
_MISSING = MISSING_PIPS


@kernel(types.void(_LEVELS, _LEVELS, _KNOWN, _LEVELS, _LEVELS, types.int64[:, ::1], types.int64[:, :, ::1]))
def compare_levels(  # type: ignore[no-untyped-def]
    book_price, book_size, known, reference_price, reference_size, rows, levels
):
    """Count per row which levels agree, which are missing from the book and which are ghosts.

    Both ladders are sorted from the best price outward, bids falling and asks rising; missing levels stand at
    the end. A reference level is looked for only up to the price of the book's last known level, a known book
    level only up to the price of the reference's last level (without limit where the reference has fewer than
    K levels, since then it has said that there are no more).

    Args:
        book_price: int64[n, 2, K] pips; [:, 0] bids, [:, 1] asks; `MISSING_PIPS` where there is no level.
        book_size: int64[n, 2, K] pips.
        known: uint8[n, 2], how many levels of each side, from the best, the book claims to know.
        reference_price: int64[n, 2, K] pips.
        reference_size: int64[n, 2, K] pips.
        rows: int64[n, ROW_COUNTS], written: 1 if all 2·K levels are equal in price and size, 1 if all are
            claimed to be known, reference levels looked for, those missing, book levels looked for, those
            that are ghosts.
        levels: int64[2, K, 2], added to: per side and level, rows in which the book claims to know the level,
            and those of them in which price and size are equal.
    """
    depth = book_price.shape[2]
    for r in range(book_price.shape[0]):
        equal = 1
        all_known = 1
        seen = 0
        missing = 0
        claimed = 0
        ghosts = 0
        for s in range(2):
            sign = -1 if s == 0 else 1
            known_levels = min(known[r, s], depth)
            if known_levels < depth:
                all_known = 0
            book_levels = 0
            reference_levels = 0
            for k in range(depth):
                same = (
                    book_price[r, s, k] == reference_price[r, s, k]
                    and book_size[r, s, k] == reference_size[r, s, k]
                )
                if not same:
                    equal = 0
                if k < known_levels:
                    levels[s, k, 0] += 1
                    levels[s, k, 1] += 1 if same else 0
                    if book_price[r, s, k] != _MISSING:
                        book_levels += 1
                if reference_price[r, s, k] != _MISSING:
                    reference_levels += 1
            i = 0
            j = 0
            while i < book_levels and j < reference_levels:
                gap = (book_price[r, s, i] - reference_price[r, s, j]) * sign
                if gap <= 0:
                    claimed += 1
                    i += 1
                if gap >= 0:
                    seen += 1
                    j += 1
                if gap < 0:
                    ghosts += 1
                if gap > 0:
                    missing += 1
            if reference_levels < depth:
                claimed += book_levels - i
                ghosts += book_levels - i
        rows[r, ALL_EQUAL] = equal
        rows[r, ALL_KNOWN] = all_known
        rows[r, REFERENCE_LEVELS] = seen
        rows[r, MISSING_LEVELS] = missing
        rows[r, BOOK_LEVELS] = claimed
        rows[r, GHOST_LEVELS] = ghosts
