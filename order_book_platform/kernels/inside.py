"""Which prices lie inside the range that best prices had around a time."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.model.schemas import MISSING_PIPS

_TIMES = types.Array(types.int64, 1, "A", readonly=True)
_TABLE = types.Array(types.int64, 2, "A", readonly=True)
_MISSING = MISSING_PIPS


@kernel(
    types.void(
        _TIMES, _TABLE, _TIMES, _TABLE, types.int64, types.boolean, types.int64[::1], types.int64[::1]
    )
)
def count_inside(time, price, row_time, best, window, next_too, counted, inside):  # type: ignore[no-untyped-def]
    """Count the prices within [lowest best bid, highest best ask] of the rows around their time.

    These are the rows from the last one at or before `time − window` to the last one at or before `time + window`.

    Args:
        time: int64[n], ns, never falling; each has a row at or before `time − window`.
        price: int64[n, P] pips, judged each by itself; `MISSING_PIPS` where there is none.
        row_time: int64[m], ns, never falling.
        best: int64[m, 2] pips, best bid and ask; `MISSING_PIPS` where there is none.
        window: ns.
        next_too: take in the first row at or after `time + window`, too.
        counted: int64[P], added to: prices that there were, and a range for them.
        inside: int64[P], added to: those of them that are inside.
    """
    first = end = 0
    seen_first = seen_end = -1
    lowest = highest = _MISSING
    m = row_time.shape[0]
    for i in range(time.shape[0]):
        while first + 1 < m and row_time[first + 1] <= time[i] - window:
            first += 1
        while end < m and row_time[end] <= time[i] + window:
            end += 1
        last = end
        if next_too and end < m and row_time[end - 1] < time[i] + window:
            last += 1
        if first != seen_first or last != seen_end:
            lowest = highest = _MISSING
            for r in range(first, last):
                bid, ask = best[r, 0], best[r, 1]
                if bid != _MISSING and (lowest == _MISSING or bid < lowest):
                    lowest = bid
                if ask != _MISSING and ask > highest:
                    highest = ask
            seen_first, seen_end = first, last
        if lowest == _MISSING or highest == _MISSING:
            continue
        for p in range(price.shape[1]):
            if price[i, p] != _MISSING:
                counted[p] += 1
                inside[p] += int(lowest <= price[i, p] <= highest)
