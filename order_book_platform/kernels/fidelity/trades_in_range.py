"""Which prices lie inside the range that best prices had around a time."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel
from order_book_platform.kernels.fidelity.sequence_lookup import first_not_below
from order_book_platform.model.levels import MISSING_PIPS

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
        types.int64,
        types.int64,
        types.int64[::1],
        types.int64[::1],
    )
)
def count_inside(  # type: ignore[no-untyped-def]
    time, price, begin, end, row_time, best, window, next_too, shifts, sampled, step, counted, inside
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
        shifts: int64[P], ns, above 0: for a sampled price the first one at or after `time + shift` is judged, too.
        sampled: the first that is sampled, at or after `begin`.
        step: every how many-th is.
        counted: int64[1 + P], added to: prices that there were, and a range for them; of each shift.
        inside: int64[1 + P], added to: those of them that are inside.
    """
    first = after = 0
    seen_first = seen_last = -1
    lowest = highest = _MISSING
    judged = within = 0
    n, m = time.shape[0], row_time.shape[0]
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
        ranged = lowest != _MISSING and highest != _MISSING
        if ranged and price[i] != _MISSING:
            judged += 1
            within += int(lowest <= price[i] <= highest)
        if i != sampled:
            continue
        sampled += step
        for p in range(shifts.shape[0]):
            at = i + first_not_below(time[i:], time[i] + shifts[p])
            if at < n and price[at] != _MISSING and ranged:
                counted[1 + p] += 1
                inside[1 + p] += int(lowest <= price[at] <= highest)
    counted[0] += judged
    inside[0] += within
