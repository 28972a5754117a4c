"""Order flow and returns on a fixed grid of time: events are added to steps, and steps to windows.

Order flow is computed for one level at a time, so each pass streams through four contiguous columns and one of output.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from order_book_platform.kernels.compiled import kernel

LAST_BID_PRICE, LAST_BID_SIZE, LAST_ASK_PRICE, LAST_ASK_SIZE, LAST_USABLE = range(5)
"""Columns of `last`: prices and sizes of the row before at one level, in pips, and 1 where the next row may be compared
with it."""
LAST_FIELDS = 5

_BPS = 1e4

_I8_IN = types.Array(types.int64, 1, "C", readonly=True)
_U1_IN = types.Array(types.uint8, 1, "C", readonly=True)
_B1_IN = types.Array(types.boolean, 1, "C", readonly=True)
_F8_IN = types.Array(types.float64, 1, "C", readonly=True)


@kernel(
    types.void(
        *(_I8_IN, _U1_IN, _B1_IN, types.int64),
        *(_I8_IN, _I8_IN, _I8_IN, _I8_IN),
        *(types.int64[::1], types.int64[::1], types.float64[::1], types.boolean[::1]),
    )
)
def add_level_flow(  # type: ignore[no-untyped-def]
    step, usable, repaired, level, bid_price, bid_size, ask_price, ask_size, last, flow, shadow, broken
):
    """Add the order flow of each pair of consecutive book rows at one level to the step that the later row falls in.

    The flow of a pair is 1{Pb ≥ Pb'} qb − 1{Pb ≤ Pb'} qb' − 1{Pa ≤ Pa'} qa + 1{Pa ≥ Pa'} qa', with P and q price and
    size of the level, b bid and a ask, and ' the row before.

    Args:
        step: int64[n], never falling: the step of each row, an index into the outputs.
        usable: uint8[n], how many levels, counted from the best, may be compared; 0 in a doubtful row.
        repaired: bool[n], whether the row's change is not market activity alone.
        level: the level that the columns hold; 0 is best.
        bid_price, bid_size, ask_price, ask_size: int64[n], pips, read only where `usable` exceeds `level`.
        last: int64[LAST_FIELDS], the caller's: the row before the first one; written: the last row.
        flow: int64[steps], the caller's; added to, in pips of size; wraps around where it does not fit.
        shadow: float64[steps], the caller's; added to: the same sum as floats, by which the caller notices that `flow`
            has wrapped.
        broken: bool[steps], the caller's; set where a pair could not be compared.

    Source:
        Cont, Kukanov, Stoikov, "The price impact of order book events", 2014; per level: Xu, Gould, Howison,
        2019.
    """
    # The row before is carried in local variables, not read again from the columns: it may be of the batch before.
    old_bid, old_bid_size = last[LAST_BID_PRICE], last[LAST_BID_SIZE]
    old_ask, old_ask_size = last[LAST_ASK_PRICE], last[LAST_ASK_SIZE]
    was_usable = last[LAST_USABLE] != 0
    for i in range(len(step)):
        is_usable = usable[i] > level
        bid, ask = bid_price[i], ask_price[i]
        if is_usable and was_usable and not repaired[i]:
            at = step[i]
            # At an equal price both conditions of a side hold, and the flow is the change of the size.
            if bid >= old_bid:
                flow[at] += bid_size[i]
                shadow[at] += bid_size[i]
            if bid <= old_bid:
                flow[at] -= old_bid_size
                shadow[at] -= old_bid_size
            if ask <= old_ask:
                flow[at] -= ask_size[i]
                shadow[at] -= ask_size[i]
            if ask >= old_ask:
                flow[at] += old_ask_size
                shadow[at] += old_ask_size
        else:
            broken[step[i]] = True  # a step with an unknown pair has no known sum
        old_bid, old_bid_size, old_ask, old_ask_size = bid, bid_size[i], ask, ask_size[i]
        was_usable = is_usable
    last[LAST_BID_PRICE], last[LAST_BID_SIZE] = old_bid, old_bid_size
    last[LAST_ASK_PRICE], last[LAST_ASK_SIZE] = old_ask, old_ask_size
    last[LAST_USABLE] = 1 if was_usable else 0


@kernel(types.void(_I8_IN, _B1_IN, _I8_IN, types.int64[:, ::1], types.float64[:, ::1]))
def add_trades(step, is_buy, size, flow, shadow):  # type: ignore[no-untyped-def]
    """Count trades and add up their sizes, by the taker's side, at the step that each falls in.

    Numpy's sums of groups take ten times as long: they look at each trade once for each output.

    Args:
        step: int64[n], an index into the outputs.
        is_buy: bool[n], whether the taker bought.
        size: int64[n], pips.
        flow: int64[3, steps], the caller's; added to: trades, bought and sold size, which wraps where it does not fit.
        shadow: float64[3, steps], the caller's; added to: the same sums as floats.
    """
    for i in range(len(step)):
        at, side = step[i], 1 if is_buy[i] else 2
        flow[0, at] += 1
        shadow[0, at] += 1.0
        flow[side, at] += size[i]
        shadow[side, at] += size[i]


@kernel(types.void(_I8_IN, _I8_IN, types.int64, _I8_IN, types.int64, types.float32[::1]))
def log_returns(mid2, rows, lag, reset, offset, out):  # type: ignore[no-untyped-def]
    """Write the log return of the mid price over the last `lag` steps, ln(mid_t / mid_{t − lag}), at the chosen steps.

    Args:
        mid2: int64[steps], bid plus ask, which is the mid in half pips; 0 or below where there is no valid mid.
        rows: int64[m], the steps asked for; each at least `lag`.
        lag: length of the return, in steps.
        reset: int64[steps − offset], for each step the last step up to and including it at which the book was reset.
        offset: the step that `reset` begins at.
        out: float32[m], the caller's; written, in bps; NaN where a mid is missing or a reset lies after step − lag.
    """
    for k in range(len(rows)):
        at = rows[k]
        out[k] = np.nan
        # A return across a reset would compare two books that do not continue one another.
        if mid2[at] > 0 and mid2[at - lag] > 0 and reset[at - offset] <= at - lag:
            out[k] = math.log(mid2[at] / mid2[at - lag]) * _BPS


@kernel(types.void(_I8_IN, types.int64, types.int64, types.float64[::1]))
def squared_returns(mid2, first, second, out):  # type: ignore[no-untyped-def]
    """Write the squared log return in bps² from each whole second to the next; NaN where a mid is missing.

    Args:
        mid2: int64[steps], half pips; 0 or below where there is no valid mid.
        first, second: the first step that is a whole second, and the steps in a second.
        out: float64[steps], the caller's; written at whole seconds after the first.
    """
    for at in range(first + second, len(mid2), second):
        out[at] = np.nan
        if mid2[at] > 0 and mid2[at - second] > 0:
            r = math.log(mid2[at] / mid2[at - second]) * _BPS
            out[at] = r * r


@kernel(
    types.void(_F8_IN, _I8_IN, types.int64, types.int64, types.int64, _I8_IN, types.int64, types.float32[::1])
)
def realised_volatility(squares, rows, first, second, lag, reset, offset, out):  # type: ignore[no-untyped-def]
    """Write the realised volatility √Σ r² over the whole seconds of the last `lag` steps, at the chosen steps.

    The sum is taken anew for each second, and not as a running one: a running sum of floats would depend on where it
    began.

    Args:
        squares: float64[steps], bps², as `squared_returns` wrote it.
        rows: int64[m], ascending, the steps asked for.
        first, second: a step that is a whole second, at most `rows[0] − lag`, and the steps in a second.
        lag: length of the window in steps, a multiple of `second`.
        reset, offset: see `log_returns`.
        out: float32[m], the caller's; written, in bps; NaN where a return is missing or a reset lies after the first
            second used.
    """
    summed = -1
    total = 0.0
    for k in range(len(rows)):
        at = rows[k]
        whole = at - (at - first) % second
        # Several steps of one second share the sum.
        if whole != summed:
            total = 0.0
            for j in range(whole - lag + second, whole + 1, second):
                total += squares[j]
            summed = whole
        out[k] = np.nan
        if reset[at - offset] <= whole - lag and not math.isnan(total):
            out[k] = math.sqrt(total)
