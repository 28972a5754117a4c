"""Counting trade prices that lie within the range which the best prices had around the time of the trade.

A trade and a book row have different clocks, so a trade is not compared with one row but with all rows within a window
of its time. The same is counted at shifted times as a placebo: a range so wide that any price fits would pass there
too.
"""

from __future__ import annotations

import numpy as np
from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.arrays import MISSING_PIPS

_TIMES = types.Array(types.int64, 1, "A", readonly=True)
_TABLE = types.Array(types.int64, 2, "A", readonly=True)


@kernel(
    types.void(
        *(_TIMES, _TIMES, types.int64, types.int64),
        *(_TIMES, _TABLE, types.int64, types.boolean),
        *(_TIMES, types.int64, types.int64, types.int64[::1], types.int64[::1]),
    )
)
def count_in_range(  # type: ignore[no-untyped-def]
    time, price, begin, end, row_time, best, window, next_too, shifts, sampled, step, judged, in_range
):
    """Count the prices within [lowest best bid, highest best ask] of the rows around their time.

    These are the rows from the last one at or before `time − window` to the last one at or before `time + window`. Both
    ends only move forward, so all prices are counted in one pass over the rows; the range is looked up again only where
    an end has moved.

    Args:
        time: int64[n], ns, never falling.
        price: int64[n] pips; `MISSING_PIPS` where it cannot be compared.
        begin: index of the first price to judge. It has a row at or before its time − `window`, as all after it have.
        end: index after the last price to judge; the prices from there on serve the shifts alone.
        row_time: int64[m], ns, never falling; m > 0.
        best: int64[m, 2] pips, best bid and ask; `MISSING_PIPS` where there is none.
        window: ns.
        next_too: whether the first row at or after `time + window` counts, too.
        shifts: int64[P], ns, above 0: for a sampled price, the first price at or after `time + shift` is judged by the
            range of the sampled one, too.
        sampled: index of the first price that is sampled, at least `begin`.
        step: one price in this many is sampled.
        judged: int64[1 + P], the caller's; added to: prices with a range to judge them by, then those of each shift.
        in_range: int64[1 + P], the caller's; added to: those of them that lie within the range.
    """
    first = after = 0
    range_first = range_last = -1
    lowest = highest = MISSING_PIPS
    n_judged = n_in_range = 0
    n, m = time.shape[0], row_time.shape[0]
    for i in range(begin, end):
        while first + 1 < m and row_time[first + 1] <= time[i] - window:
            first += 1
        while after < m and row_time[after] <= time[i] + window:
            after += 1
        # `after` is the first row beyond the window, and so the end of the range of rows.
        last = after
        if next_too and after < m and row_time[after - 1] < time[i] + window:
            last += 1
        if first != range_first or last != range_last:
            lowest = highest = MISSING_PIPS
            # Taken anew from all rows of the window: a running extreme would be lost with the row that leaves it.
            for r in range(first, last):
                bid, ask = best[r, 0], best[r, 1]
                if bid != MISSING_PIPS and (lowest == MISSING_PIPS or bid < lowest):
                    lowest = bid
                if ask != MISSING_PIPS and ask > highest:  # `MISSING_PIPS` is below every price
                    highest = ask
            range_first, range_last = first, last
        has_range = lowest != MISSING_PIPS and highest != MISSING_PIPS
        if has_range and price[i] != MISSING_PIPS:
            n_judged += 1
            n_in_range += int(lowest <= price[i] <= highest)
        if i != sampled:
            continue
        sampled += step
        for p in range(shifts.shape[0]):
            at = i + np.searchsorted(time[i:], time[i] + shifts[p])
            if at < n and price[at] != MISSING_PIPS and has_range:
                judged[1 + p] += 1
                in_range[1 + p] += int(lowest <= price[at] <= highest)
    judged[0] += n_judged
    in_range[0] += n_in_range
