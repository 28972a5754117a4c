"""Where references stand among the messages: sequence numbers looked up in the deltas, and rows out of order.

A single row with a number or a time far ahead would make all rows after it look late; it is itself what is wrong.
"""

from __future__ import annotations

import numpy as np
from numba import types

from order_book_platform.kernels.compiled import kernel

MESSAGES, LAST, HIGHEST = range(3)
STATE_SIZE = 3
"""Columns of the state: messages so far, the sequence number of the last one, and the highest sequence number."""

_NUMBERS = types.Array(types.int64, 1, "A", readonly=True)


@kernel(types.void(_NUMBERS, _NUMBERS, types.int64[::1], types.int64[::1]))
def place_messages(column, wanted, state, places):  # type: ignore[no-untyped-def]
    """Find which messages of a column of deltas have the wanted sequence numbers, int64[m] ascending, each once.

    A message is a run of equal numbers. The numbers may go back; as long as they rise, none is searched for.

    Args:
        column: int64[n], the next sequence numbers, one a delta.
        state: int64[STATE_SIZE], the caller's, all 0 at first; changed.
        places: int64[m], the caller's; set to the place of the message with this number, counted from 1, where the
            column has one, and else left as it is. Of several messages of one number the last counts.
    """
    messages, last, highest = state[MESSAGES], state[LAST], state[HIGHEST]
    at = np.searchsorted(wanted, last)
    for i in range(column.shape[0]):
        number = column[i]
        if number == last and messages > 0:
            continue
        # Numbers mostly rise, and the wanted ones are walked along with them; only a step back needs a search.
        if number < last:
            at = np.searchsorted(wanted, number)
        while at < wanted.shape[0] and wanted[at] < number:
            at += 1
        highest = max(highest, number) if messages > 0 else number
        messages += 1
        last = number
        if at < wanted.shape[0] and wanted[at] == number:
            places[at] = messages
    state[MESSAGES], state[LAST], state[HIGHEST] = messages, last, highest


NUMBER, TIMES = 0, 1
"""Columns of `latest`: the highest number, and from TIMES on the latest time of each clock."""


@kernel(
    types.void(
        types.Array(types.int64, 1, "A", readonly=True),
        types.Array(types.int64, 2, "A", readonly=True),
        types.int64,
        types.boolean,
        types.int64[::1],
        types.boolean[::1],
    )
)
def find_disorder(numbers, times, tolerance, ended, latest, unfit):  # type: ignore[no-untyped-def]
    """Mark the rows that are out of order.

    A row is out of order if its number is below an earlier one, or if the next row contradicts it: its number is above
    the next one's, or one of its times is above the next one's by more than `tolerance`, while the next row is not
    behind the rows before.

    Args:
        numbers: int64[n], sequence numbers.
        times: int64[n, C], ns, by C clocks.
        tolerance: ns that a clock may step back by, at least 0.
        ended: whether no row comes after these; otherwise the last one is only looked at and not judged.
        latest: int64[1 + C], the caller's; changed: highest number and latest times of the rows that are in order.
        unfit: bool[n], the caller's; written, but for the last where it is not judged.
    """
    n, clocks = times.shape
    for i in range(n if ended else n - 1):
        bad = numbers[i] < latest[NUMBER]
        # A row that is ahead by itself: the next one goes on from the rows before it.
        if not bad and i + 1 < n:
            bad = latest[NUMBER] <= numbers[i + 1] < numbers[i]
            for c in range(clocks):
                following = times[i + 1, c]
                ahead = latest[TIMES + c] <= following < times[i, c]
                bad = bad or (ahead and following < times[i, c] - tolerance)
        # A bad row leaves no trace in `latest`, so those after it are judged by the good ones alone.
        unfit[i] = bad
        if not bad:
            latest[NUMBER] = numbers[i]
            for c in range(clocks):
                latest[TIMES + c] = max(latest[TIMES + c], times[i, c])
