"""Days put together of blocks that were drawn, and how far the difference of two distributions moves in them."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

MOVED_KS, MOVED_TV, MOVED_W1 = range(3)
"""Rows of the result."""

_DRAWN = types.Array(types.int64, 2, "C", readonly=True)
_SUMS = types.Array(types.float64, 2, "C", readonly=True)
_VALUES = types.Array(types.float64, 1, "C", readonly=True)


@kernel(types.void(_DRAWN, _SUMS, _VALUES, _VALUES, _VALUES, types.float64[::1], types.float64[:, ::1]))
def move_days(drawn, excess, totals, real, steps, day, moved):  # type: ignore[no-untyped-def]
    """Measure each day's difference of shares against the real one.

    Sums of whole numbers are the same on every machine. numpy's matrix product takes 0.6 to 0.9 of the time,
    and leaves a thread spinning on the core that others need.

    Args:
        drawn: int64[days, blocks], how often each block was drawn.
        excess: float64[blocks, m], whole numbers: weight of the one distribution less that of the other per bin.
        totals: float64[blocks], whole numbers: weight of each.
        real: float64[m], the real day's difference of shares.
        steps: float64[k], from each of the first k bins to the next, k at most m.
        day: float64[m], room to work in.
        moved: float64[3, days], written: the largest difference of cumulative shares, half the sum of all differences
            of shares, and the area between the cumulative shares up to the k-th bin.
    """
    blocks, bins = excess.shape
    for d in range(drawn.shape[0]):
        whole = 0.0
        day[:] = 0.0
        for b in range(blocks):
            times = drawn[d, b]
            if times == 0:
                continue
            whole += times * totals[b]
            for m in range(bins):
                day[m] += times * excess[b, m]
        ahead = largest = apart = area = 0.0
        for m in range(bins):
            moves = day[m] / whole - real[m]
            ahead += moves
            largest = max(largest, abs(ahead))
            apart += abs(moves)
            if m < steps.shape[0]:
                area += abs(ahead) * steps[m]
        moved[MOVED_KS, d] = largest
        moved[MOVED_TV, d] = apart / 2
        moved[MOVED_W1, d] = area
