"""Looking up sequence numbers among those of a long column."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

MESSAGES, LAST, HIGHEST = range(3)
STATE_SIZE = 3
"""int64 that are kept from one call to the next: messages so far, the number of the last, and the highest number."""

_NUMBERS = types.Array(types.int64, 1, "A", readonly=True)


@kernel(types.int64(_NUMBERS, types.int64))
def first_not_below(numbers, number):  # type: ignore[no-untyped-def]
    """Position of the first of the ascending `numbers` that is not below `number`; their count where all are."""
    low, high = 0, numbers.shape[0]
    while low < high:
        middle = (low + high) // 2
        if numbers[middle] < number:
            low = middle + 1
        else:
            high = middle
    return low


@kernel(types.void(_NUMBERS, _NUMBERS, types.int64[::1], types.int64[::1]))
def place_messages(column, wanted, state, places):  # type: ignore[no-untyped-def]
    """Find which messages of a column of deltas have the wanted numbers.

    A message is a run of equal numbers. The column is read once and may go back; numbers that rise are cheap.

    Args:
        column: int64[n], the next sequence numbers.
        wanted: int64[m], ascending, each once.
        state: int64[STATE_SIZE], all 0 at first.
        places: int64[m], set to the number's message, counted from 1, where the column has it; else left as it is. Of
            several messages of one number the last counts.
    """
    messages, last, highest = state[MESSAGES], state[LAST], state[HIGHEST]
    at = first_not_below(wanted, last)
    for i in range(column.shape[0]):
        number = column[i]
        if number == last and messages > 0:
            continue
        if number < last:
            at = first_not_below(wanted, number)
        while at < wanted.shape[0] and wanted[at] < number:
            at += 1
        highest = max(highest, number) if messages > 0 else number
        messages += 1
        last = number
        if at < wanted.shape[0] and wanted[at] == number:
            places[at] = messages
    state[MESSAGES], state[LAST], state[HIGHEST] = messages, last, highest
