"""Looking up a few sequence numbers in a long column of deltas, which is read once and in pieces."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

MESSAGES, LAST, HIGHEST = range(3)
STATE_SIZE = 3
"""Columns of the state: messages so far, the sequence number of the last one, and the highest sequence number."""

_NUMBERS = types.Array(types.int64, 1, "A", readonly=True)


@kernel(types.int64(_NUMBERS, types.int64))
def first_not_below(numbers, number):  # type: ignore[no-untyped-def]
    """Give the position of the first number that is not below `number`, by binary search.

    Args:
        numbers: int64[n], ascending.
        number: int64.

    Returns:
        0 … n; n where all are below it.
    """
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
    """Find which messages of a column of deltas have the wanted sequence numbers.

    A message is a run of equal numbers. The numbers may go back; as long as they rise, none is searched for.

    Args:
        column: int64[n], the next sequence numbers, one a delta.
        wanted: int64[m], ascending, each once.
        state: int64[STATE_SIZE], the caller's, all 0 at first; changed.
        places: int64[m], the caller's; set to the place of the message with this number, counted from 1, where the
            column has one, and else left as it is. Of several messages of one number the last counts.
    """
    messages, last, highest = state[MESSAGES], state[LAST], state[HIGHEST]
    at = first_not_below(wanted, last)
    for i in range(column.shape[0]):
        number = column[i]
        if number == last and messages > 0:
            continue
        # Numbers mostly rise, and the wanted ones are walked along with them; only a step back needs a search.
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
