"""Histograms of the intervals between neighbouring messages, by the exchange's clock and by the recorder's."""

from __future__ import annotations

from numba import types

from order_book_platform.clock import NS_PER_MS
from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.fidelity.state_histograms import magnitude_bin

INTERVAL_BINS = 1_024
"""Bins of intervals: 64 of a millisecond each, then 32 to a doubling; the last begins at 2**36 ms."""
ORIGIN, RECEIVED = range(2)
"""Columns of `last`: origin time and time of arrival."""

_TIMES = types.Array(types.int64, 1, "A", readonly=True)


@kernel(types.int64(types.int64))
def interval_bin(interval_ns):  # type: ignore[no-untyped-def]
    """Give the bin of an interval in ns; a negative one, where time runs backwards, counts as 0."""
    return min(magnitude_bin(max(interval_ns, 0) // NS_PER_MS), INTERVAL_BINS - 1)


@kernel(
    types.void(
        *(_TIMES, _TIMES, types.int64[::1], types.int64, types.int64),
        *(types.int64[:, ::1], types.int64[::1]),
    )
)
def count_intervals(  # type: ignore[no-untyped-def]
    origin_ns, received_ns, last, first_block, width_ns, excess, totals
):
    """Count the intervals between neighbouring messages by either clock, in blocks of time.

    Args:
        origin_ns: int64[n], times by the exchange's clock, ns.
        received_ns: int64[n], times by the recorder's clock, ns.
        last: int64[2], the caller's: both times of the message before the first one, ns; written: those of the last
            one.
        first_block: number of the first block, counted from time 0.
        width_ns: length of a block, ns.
        excess: int64[blocks, INTERVAL_BINS + 1], the caller's; added to: intervals by the recorder's clock less those
            by the exchange's. The last bin is for states without a value; an interval always has one.
        totals: int64[blocks], the caller's; added to: intervals.
    """
    for r in range(origin_ns.shape[0]):
        # A time outside the day's blocks counts in the nearest one, so that no interval is lost.
        b = min(max(origin_ns[r] // width_ns - first_block, 0), totals.shape[0] - 1)
        ours, theirs = (
            interval_bin(received_ns[r] - last[RECEIVED]),
            interval_bin(origin_ns[r] - last[ORIGIN]),
        )
        totals[b] += 1
        excess[b, ours] += 1
        excess[b, theirs] -= 1
        last[ORIGIN], last[RECEIVED] = origin_ns[r], received_ns[r]
