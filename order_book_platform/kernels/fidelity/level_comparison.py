"""Comparing the levels of a book with those of a reference row by row, and how its errors grow with its age.

The age is the time, or the messages, since a snapshot last shaped the book.
"""

from __future__ import annotations

import math

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.arrays import MISSING_PIPS

ALL_EQUAL, ALL_KNOWN, REFERENCE_LEVELS, MISSING_LEVELS, BOOK_LEVELS, GHOST_LEVELS = range(6)
ROW_COUNTS = 6
"""Columns that `compare_levels` writes for each row: 1 if all 2·K levels are equal in price and size; 1 if the book
claims to know all; reference levels looked for in the book, and those missing from it; book levels looked for in the
reference, and those that are ghosts, which it does not have."""

_LEVELS = types.Array(types.int64, 3, "C", readonly=True)
_KNOWN = types.Array(types.uint8, 2, "A", readonly=True)
_NUMBERS = types.Array(types.int64, 1, "A", readonly=True)
_ROWS, _BY_LEVEL = types.int64[:, ::1], types.int64[:, :, ::1]
_STRIDED = types.Array(types.int64, 3, "A", readonly=True)
_ERRORS = types.Array(types.float64, 2, "A", readonly=True)
_BOOLS, _CLAIMS = (
    types.Array(types.boolean, 1, "A", readonly=True),
    types.Array(types.boolean, 2, "A", readonly=True),
)


@kernel(
    types.boolean(types.int64, _STRIDED, _STRIDED, _KNOWN, types.int64, _LEVELS, _LEVELS, _ROWS, _BY_LEVEL),
    inline="always",
)
def compare_row(  # type: ignore[no-untyped-def]
    r, book_price, book_size, known, q, reference_price, reference_size, rows, levels
):
    """Compare book row r with reference row q, with the arrays of `compare_levels`.

    Returns:
        Whether all levels are there, known and equal. Such a row is not added to `levels`; the caller adds all of them
        at once. As nearly all rows are of this kind, they are looked for first, which is 1.8 times as fast.
    """
    depth = book_price.shape[2]
    if min(known[r, 0], known[r, 1]) >= depth:
        different = missing = 0  # collected without branches, since nearly every row goes to its end
        for s in range(2):
            for k in range(depth):
                different |= book_price[r, s, k] ^ reference_price[q, s, k]
                different |= book_size[r, s, k] ^ reference_size[q, s, k]
                missing |= int(book_price[r, s, k] == MISSING_PIPS)
        if different == 0 and missing == 0:
            rows[r, ALL_EQUAL] = rows[r, ALL_KNOWN] = 1
            rows[r, REFERENCE_LEVELS] = rows[r, BOOK_LEVELS] = 2 * depth
            rows[r, MISSING_LEVELS] = rows[r, GHOST_LEVELS] = 0
            return True
    equal = all_known = 1
    seen = claimed = agreeing = 0
    for s in range(2):
        sign = -1 if s == 0 else 1
        known_levels = min(known[r, s], depth)
        all_known &= int(known_levels == depth)
        book_levels = reference_levels = beginning = 0
        for k in range(depth):
            at_one_price = int(book_price[r, s, k] == reference_price[q, s, k])
            same = at_one_price & int(book_size[r, s, k] == reference_size[q, s, k])
            beginning += at_one_price & int(beginning == k)
            mine = int(k < known_levels)
            equal &= same
            levels[s, k, 0] += mine
            levels[s, k, 1] += mine & same
            # A known level may also be missing: then the side has so few, and there is nothing to look for.
            book_levels += mine & int(book_price[r, s, k] != MISSING_PIPS)
            reference_levels += int(reference_price[q, s, k] != MISSING_PIPS)
        # The levels that both sides have at their beginning are passed over at once.
        i = j = min(beginning, book_levels, reference_levels)
        agreeing += i
        while i < book_levels and j < reference_levels:
            # Two sorted lists are merged. Which of them goes on is close to random, so both indices are advanced by
            # arithmetic and not by branches, which is 1.7 times as fast.
            gap = (book_price[r, s, i] - reference_price[q, s, j]) * sign
            agreeing += int(gap == 0)
            i += int(gap <= 0)
            j += int(gap >= 0)
        # Where the reference is full, book levels beyond its last price were not looked for; where it is not, it has
        # said that there are no more levels, so all that is left of the book are ghosts.
        seen += j
        claimed += i if reference_levels == depth else book_levels
    rows[r, ALL_EQUAL] = equal
    rows[r, ALL_KNOWN] = all_known
    rows[r, REFERENCE_LEVELS] = seen
    rows[r, MISSING_LEVELS] = seen - agreeing
    rows[r, BOOK_LEVELS] = claimed
    rows[r, GHOST_LEVELS] = claimed - agreeing
    return False


@kernel(types.void(types.int64, _BY_LEVEL), inline="always")
def add_to_all(rows, levels):  # type: ignore[no-untyped-def]
    """Add a number of rows in which all levels are known and equal to `levels` of `compare_levels`."""
    for s in range(2):
        for k in range(levels.shape[1]):
            levels[s, k, 0] += rows
            levels[s, k, 1] += rows


@kernel(types.void(_STRIDED, _STRIDED, _KNOWN, _LEVELS, _LEVELS, _NUMBERS, _ROWS, _BY_LEVEL))
def compare_levels(  # type: ignore[no-untyped-def]
    book_price, book_size, known, reference_price, reference_size, at, rows, levels
):
    """Count per row which levels agree, which are missing from the book and which are ghosts.

    Levels of both are sorted from the best price outward, bids falling and asks rising; missing levels stand at the
    end. Neither may be blamed for what lies beyond its range. So a reference level is looked for only up to the price
    of the book's last known level, and a known book level only up to the price of the reference's last level; without a
    limit where the reference has fewer than K levels, since then it has said that there are no more.

    Args:
        book_price, book_size: int64[n, 2, K] pips; [:, 0] bids, [:, 1] asks; price `MISSING_PIPS` where there is no
            level.
        known: uint8[n, 2], how many levels of each side, from the best, the book claims to know.
        reference_price, reference_size: int64[m, 2, K] pips.
        at: int64[n], the reference row that each book row is compared with.
        rows: int64[n, ROW_COUNTS], the caller's; written.
        levels: int64[2, K, 2], the caller's; added to: per side and level, rows in which the book claims to know the
            level, and those of them in which price and size are equal.
    """
    equal = 0
    for r in range(book_price.shape[0]):
        q = at[r]
        equal += compare_row(
            r, book_price, book_size, known, q, reference_price, reference_size, rows, levels
        )
    add_to_all(equal, levels)


AGE_ROWS, AGE_BEST, AGE_KNOWN, AGE_EXACT, AGE_MISSING, AGE_GHOSTS = range(6)
AGE_COLUMNS = 6
"""Columns of a bucket: rows; those with exact best prices; those that claim to know all levels; of these, those that
have all right; levels missing from the book; ghosts."""

_BELOW, _USED = range(2)
CURSORS = 2
"""Columns of the cursors, which `add_by_age` keeps from call to call: snapshots below the last row, and used ones."""

_EXACT = types.Array(types.boolean, 1, "A", readonly=True)
_COUNTS = types.Array(types.int64, 2, "C", readonly=True)
_BUCKETS = types.int64[:, ::1]


@kernel(types.void(types.int64, _NUMBERS, types.int64, types.boolean, _COUNTS, _BUCKETS))
def add_to_bucket(age, edges, r, exact, counts, buckets):  # type: ignore[no-untyped-def]
    """Add row r to the last bucket that begins at or below its age."""
    # There are only a few buckets, so they are gone through one by one.
    at = edges.shape[0] - 1
    while at > 0 and edges[at] > age:
        at -= 1
    buckets[at, AGE_ROWS] += 1
    buckets[at, AGE_BEST] += int(exact)
    buckets[at, AGE_KNOWN] += counts[r, ALL_KNOWN]
    buckets[at, AGE_EXACT] += counts[r, ALL_KNOWN] & counts[r, ALL_EQUAL]
    buckets[at, AGE_MISSING] += counts[r, MISSING_LEVELS]
    buckets[at, AGE_GHOSTS] += counts[r, GHOST_LEVELS]


@kernel(
    types.void(
        *(_NUMBERS, _NUMBERS, _EXACT, _COUNTS),
        *(_NUMBERS, _NUMBERS),
        *(_NUMBERS, _NUMBERS, _NUMBERS),
        *(types.int64[::1], _NUMBERS, _NUMBERS, _BUCKETS, _BUCKETS, types.float64[::1]),
    )
)
def add_by_age(  # type: ignore[no-untyped-def]
    number,
    time_ns,
    exact,
    counts,
    snapshots,
    places,
    used,
    used_time_ns,
    used_places,
    cursors,
    time_edges,
    message_edges,
    by_time,
    by_messages,
    moments,
):
    """Add compared rows to the buckets of their ages in time and in messages.

    Rows before the first used snapshot have no age and are left out.

    Args:
        number, time_ns: int64[n], sequence numbers of the references, ascending, also from call to call, and times, ns.
        exact: bool[n], best bid and ask are right.
        counts: int64[n, ROW_COUNTS], as `compare_levels` wrote them.
        snapshots, places: int64[m], sequence numbers of all snapshots, ascending, and number of messages up to each.
        used, used_time_ns, used_places: int64[u], the same of the snapshots that shaped the book, and their times, ns.
        cursors: int64[CURSORS], the caller's, 0 at first; changed: how far the two lists have been walked.
        time_edges: int64[a], where the buckets of time begin, ns, ascending; the first is 0.
        message_edges: int64[b], where the buckets of messages begin, ascending; the first is 0.
        by_time: int64[a, AGE_COLUMNS], the caller's; added to.
        by_messages: int64[b, AGE_COLUMNS], the caller's; added to.
        moments: float64[5], the caller's; added to, of rows that claim all levels: their number, the sums of their ages
            in seconds and of the squares of these, how many are right, and the sum of the ages of those. A line of
            errors over age is fitted to them.
    """
    below, last = cursors[_BELOW], cursors[_USED]
    for r in range(number.shape[0]):
        # Both lists of snapshots are sorted as the rows are, so the cursors only move forward.
        while last < used.shape[0] and used[last] <= number[r]:
            last += 1
        while below < snapshots.shape[0] and snapshots[below] < number[r]:
            below += 1
        if last == 0:
            continue
        age_ns = max(0, time_ns[r] - used_time_ns[last - 1])
        add_to_bucket(age_ns, time_edges, r, exact[r], counts, by_time)
        # Messages are counted by places, not by sequence numbers, of which a message may use many.
        messages = max(0, places[min(below, places.shape[0] - 1)] - used_places[last - 1])
        add_to_bucket(messages, message_edges, r, exact[r], counts, by_messages)
        if counts[r, ALL_KNOWN]:
            age = age_ns / 1e9
            moments[0] += 1.0
            moments[1] += age
            moments[2] += age * age
            moments[3] += counts[r, ALL_EQUAL]
            moments[4] += age * counts[r, ALL_EQUAL]
    cursors[_BELOW], cursors[_USED] = below, last


@kernel(
    types.void(
        _STRIDED,
        _STRIDED,
        _STRIDED,
        _STRIDED,
        _NUMBERS,
        types.float64,
        types.boolean[::1],
        types.float64[:, ::1],
    )
)
def compare_best_levels(  # type: ignore[no-untyped-def]
    book_price, book_size, reference_price, reference_size, at, tick, exact, errors
):
    """Compare the best bid and ask of each book row, int64[n, 2, K], with those of reference row `at[r]`.

    Numpy takes four times as long for the three loops on best prices.

    Args:
        exact: bool[n], written: all four prices and sizes are equal.
        errors: float64[n, 2], written: book minus reference in ticks; NaN where either has no best level.
    """
    for r in range(book_price.shape[0]):
        q = at[r]
        equal = True
        for s in range(2):
            ours, theirs = book_price[r, s, 0], reference_price[q, s, 0]
            equal = equal and ours == theirs and book_size[r, s, 0] == reference_size[q, s, 0]
            undefined = ours == MISSING_PIPS or theirs == MISSING_PIPS
            errors[r, s] = math.nan if undefined else (ours - theirs) / tick
        exact[r] = equal


@kernel(
    types.void(
        _BOOLS, _ERRORS, _CLAIMS, _BOOLS, types.int64[::1], types.int64[:, :, ::1], types.float64[:, ::1]
    )
)
def count_best(exact, errors, known, chosen, rows, priced, squares):  # type: ignore[no-untyped-def]
    """Add up the chosen rows of a comparison of best prices.

    Args:
        exact, errors: as `compare_best_levels` writes them.
        known: bool[n, 2], whether the book claims to know the side's best level.
        chosen: bool[n].
        rows: int64[5], added to: rows, exact ones, those that claim both sides, those that do not claim the bid, the
            ask.
        priced: int64[2, 2, 2], added to, of all rows and of those that claim the side, per side: errors, and those that
            are not 0.
        squares: float64[2, 2], added to: squares of the same.
    """
    for r in range(exact.shape[0]):
        if not chosen[r]:
            continue
        rows[0] += 1
        rows[1] += int(exact[r])
        rows[2] += int(known[r, 0] and known[r, 1])
        for s in range(2):
            rows[3 + s] += int(not known[r, s])
            error = errors[r, s]
            if not math.isnan(error):
                for claimed in range(1 + int(known[r, s])):
                    priced[claimed, s, 0] += 1
                    priced[claimed, s, 1] += int(error != 0.0)
                    squares[claimed, s] += error * error


@kernel(types.void(_NUMBERS, _BOOLS, _ERRORS, _BOOLS, types.float64[:, ::1], types.float64[:, ::1]))
def add_to_windows(windows, exact, errors, chosen, rows, squares):  # type: ignore[no-untyped-def]
    """Add up the chosen rows of a comparison of best prices per window.

    Args:
        windows: int64[n], each row's window.
        exact, errors: as `compare_best_levels` writes them.
        chosen: bool[n].
        rows: float64[4, w], added to: rows, exact ones, errors of bids and of asks.
        squares: float64[2, w], added to: squared errors of bids and of asks.
    """
    for r in range(windows.shape[0]):
        if not chosen[r]:
            continue
        w = windows[r]
        rows[0, w] += 1
        rows[1, w] += int(exact[r])
        for s in range(2):
            error = errors[r, s]
            if not math.isnan(error):
                rows[2 + s, w] += 1
                squares[s, w] += error * error
