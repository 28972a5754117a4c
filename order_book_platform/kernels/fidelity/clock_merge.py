"""Comparing best prices of a book with those of a reference by time: both streams merged in order of their times.

Neither stream has the other's sequence numbers, so only the clock says what belongs together. Errors are counted per
row, and also weighted by how long both streams said what they said.
"""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.arrays import MISSING_PIPS

HAS_BOOK, HAS_REFERENCE, TIME, BOOK_PRICE, REFERENCE_PRICE, REFERENCE_SIZE = 0, 1, 2, 3, 5, 7
STATE_SIZE = 9
"""Columns of the state, int64, all 0 at first: whether the book and the reference have begun (1), the time of the last
event (ns), and what holds since then: best bid and ask of the book, of the reference, and the reference's sizes
(pips)."""

ROWS, PRICE_EXACT, EXACT, PRICED, WEIGHED_NS = 0, 1, 2, 3, 5
COUNTS_SIZE = 7
"""Columns of the counts, int64: rows compared; those with both prices equal; those with both sizes equal too; and for
each side the rows that the squares are of, and the ns that the weighted squares are of."""

SQUARES, WEIGHED_SQUARES = 0, 2
SQUARES_SIZE = 4
"""Columns of the sums of squares, float64, for each side: squared errors in ticks², and these times the ns they
held."""

_TIMES = types.Array(types.int64, 1, "A", readonly=True)
_SIDES = types.Array(types.int64, 2, "A", readonly=True)
_KNOWN = types.Array(types.uint8, 2, "A", readonly=True)


@kernel(
    types.void(types.int64, types.float64, types.int64[::1], types.int64[::1], types.float64[::1]),
    inline="always",
)
def add_weighted_errors(time, tick, state, counts, squares):  # type: ignore[no-untyped-def]
    """Add the squared errors of what both streams say, weighted by the time from the last event to this one."""
    if state[HAS_BOOK] and state[HAS_REFERENCE]:
        held = time - state[TIME]
        for s in range(2):
            ours, theirs = state[BOOK_PRICE + s], state[REFERENCE_PRICE + s]
            if ours != MISSING_PIPS and theirs != MISSING_PIPS:
                # In ticks, so that sums of instruments with other decimals can be compared.
                error = (ours - theirs) / tick
                counts[WEIGHED_NS + s] += held
                squares[WEIGHED_SQUARES + s] += held * error * error
    state[TIME] = time


@kernel(
    types.void(
        *(_TIMES, _SIDES, _SIDES, _KNOWN),
        *(_TIMES, _SIDES, _SIDES),
        *(types.float64, types.boolean, types.int64[::1], types.int64[::1], types.float64[::1]),
        types.int64[::1],
    )
)
def merge_by_clock(  # type: ignore[no-untyped-def]
    book_time,
    book_price,
    book_size,
    known,
    reference_time,
    reference_price,
    reference_size,
    tick,
    ended,
    state,
    counts,
    squares,
    done,
):
    """Compare the rows of a book with the references of their times, as far as the order of both is settled.

    At one time the references come before the book rows: a row is compared with the last reference whose time is not
    above its own. A row after the last reference given has to wait for the next call, since a reference of its time may
    still come.

    Args:
        book_time, reference_time: int64[n] and int64[m], ns, never falling.
        book_price, book_size: int64[n, 2] pips; price `MISSING_PIPS` where there is no level.
        known: uint8[n, 2], levels of each side that the row claims to know.
        reference_price, reference_size: int64[m, 2] pips.
        tick: pips, above 0.
        ended: whether no reference comes after these; then the last one holds for rows of its own time and no longer.
        state: int64[STATE_SIZE], the caller's; changed.
        counts: int64[COUNTS_SIZE], the caller's; added to.
        squares: float64[SQUARES_SIZE], the caller's; added to.
        done: int64[2], the caller's, written: book rows and references that have been taken. The others are given
            again.
    """
    # Two indices over two sorted columns: each event is taken once, the earlier one first.
    i = j = 0
    n, m = book_time.shape[0], reference_time.shape[0]
    while i < n:
        if j < m and reference_time[j] <= book_time[i]:
            add_weighted_errors(reference_time[j], tick, state, counts, squares)
            for s in range(2):
                state[REFERENCE_PRICE + s] = reference_price[j, s]
                state[REFERENCE_SIZE + s] = reference_size[j, s]
            state[HAS_REFERENCE] = 1
            j += 1
            continue
        if j == m and not (ended and book_time[i] <= state[TIME]):
            break  # a reference of this time may still come, or there are no more references
        add_weighted_errors(book_time[i], tick, state, counts, squares)
        # The new row is compared with the reference in force; it holds from now on for the weighted errors, too.
        price_exact = exact = True
        for s in range(2):
            ours, theirs = book_price[i, s], state[REFERENCE_PRICE + s]
            state[BOOK_PRICE + s] = ours
            price_exact = price_exact and ours == theirs
            exact = exact and ours == theirs and book_size[i, s] == state[REFERENCE_SIZE + s]
        state[HAS_BOOK] = 1
        if state[HAS_REFERENCE]:
            counts[ROWS] += 1
            counts[PRICE_EXACT] += int(price_exact)
            counts[EXACT] += int(exact)
            for s in range(2):
                ours, theirs = book_price[i, s], state[REFERENCE_PRICE + s]
                if known[i, s] and ours != MISSING_PIPS and theirs != MISSING_PIPS:
                    error = (ours - theirs) / tick
                    counts[PRICED + s] += 1
                    squares[SQUARES + s] += error * error
        i += 1
    done[0] = i
    done[1] = j
