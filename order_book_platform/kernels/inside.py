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
        _TIMES,
        _TIMES,
        types.int64,
        types.int64,
        _TIMES,
        _TABLE,
        types.int64,
        types.boolean,
        _TIMES,
        types.int64[::1],
        types.int64[::1],
        types.int64[::1],
    )
)
def count_inside(  # type: ignore[no-untyped-def]
    time, price, begin, end, row_time, best, window, next_too, shifts, places, counted, inside
):
    """Count the prices within [lowest best bid, highest best ask] of the rows around their time.

    These are the rows from the last one at or before `time − window` to the last one at or before `time + window`.

    Args:
        time: int64[n], ns, never falling.
        price: int64[n] pips; `MISSING_PIPS` where it cannot be compared.
        begin: the first to be judged; it has a row at or before its time − `window`, as all after it have.
        end: the first after `begin` that is not judged.
        row_time: int64[m], ns, never falling; m > 0.
        best: int64[m, 2] pips, best bid and ask; `MISSING_PIPS` where there is none.
        window: ns.
        next_too: take in the first row at or after `time + window`, too.
        shifts: int64[P], ns, at least 0: judged is also the first price at or after `time + shift`; shift 0 is the
            price itself.
        places: int64[P], room to work in.
        counted: int64[P], added to: prices that there were, and a range for them.
        inside: int64[P], added to: those of them that are inside.
    """
    first = after = 0
    seen_first = seen_last = -1
    lowest = highest = _MISSING
    n, m = time.shape[0], row_time.shape[0]
    places[:] = begin
    for i in range(begin, end):
        while first + 1 < m and row_time[first + 1] <= time[i] - window:
            first += 1
        while after < m and row_time[after] <= time[i] + window:
            after += 1
        last = after
        if next_too and after < m and row_time[after - 1] < time[i] + window:
            last += 1
        if first != seen_first or last != seen_last:
            lowest = highest = _MISSING
            for r in range(first, last):
                bid, ask = best[r, 0], best[r, 1]
                if bid != _MISSING and (lowest == _MISSING or bid < lowest):
                    lowest = bid
                if ask != _MISSING and ask > highest:
                    highest = ask
            seen_first, seen_last = first, last
        for p in range(shifts.shape[0]):
            at = i
            if shifts[p] > 0:
                at = places[p]
                while at < n and time[at] < time[i] + shifts[p]:
                    at += 1
                places[p] = at
            if at < n and price[at] != _MISSING and lowest != _MISSING and highest != _MISSING:
                counted[p] += 1
                inside[p] += int(lowest <= price[at] <= highest)
