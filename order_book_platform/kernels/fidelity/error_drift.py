"""How the errors of a book grow with its age, which is the time, or the messages, since a snapshot last shaped it."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.fidelity.level_comparison import (
    ALL_EQUAL,
    ALL_KNOWN,
    GHOST_LEVELS,
    MISSING_LEVELS,
)

AGE_ROWS, AGE_BEST, AGE_KNOWN, AGE_EXACT, AGE_MISSING, AGE_GHOSTS = range(6)
AGE_COLUMNS = 6
"""Columns of a bucket: rows; those with exact best prices; those that claim to know all levels; of these, those that
have all right; levels missing from the book; ghosts."""

_BELOW, _USED = range(2)
CURSORS = 2
"""Columns of the cursors, which `add_by_age` keeps from call to call: snapshots below the last row, and used ones."""

_NUMBERS = types.Array(types.int64, 1, "A", readonly=True)
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
        number: int64[n], sequence numbers of the references, ascending, also from call to call.
        time_ns: int64[n], their times, ns.
        exact: bool[n], best bid and ask are right.
        counts: int64[n, ROW_COUNTS], as `level_comparison.compare_levels` wrote them.
        snapshots: int64[m], sequence numbers of all snapshots, ascending.
        places: int64[m], number of messages up to each.
        used: int64[u], sequence numbers of the snapshots that shaped the book, ascending.
        used_time_ns: int64[u], their times, ns.
        used_places: int64[u], number of messages up to each.
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
