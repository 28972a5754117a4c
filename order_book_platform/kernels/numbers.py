"""Looking up sequence numbers among those of a long column."""

from __future__ import annotations

from numba import types

from order_book_platform.kernels.compiled import kernel

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


@kernel(types.int64(_NUMBERS, _NUMBERS, types.int64, types.int64[::1]))
def place_numbers(column, wanted, before, places):  # type: ignore[no-untyped-def]
    """Find at which places of a column the wanted numbers stand.

    The column is read once and may go back; equal numbers one after another, and numbers that rise, are cheap.

    Args:
        column: int64[n], n > 0.
        wanted: int64[m], ascending, each once.
        before: numbers before the column's first.
        places: int64[m], set to the number's place, counted from 1, where the column has it; else left as it is. Of
            several places the last counts, of equal numbers one after another the first.

    Returns:
        The highest number of the column.
    """
    highest = last = column[0]
    at = first_not_below(wanted, last)
    if at < wanted.shape[0] and wanted[at] == last:
        places[at] = before + 1
    for i in range(1, column.shape[0]):
        number = column[i]
        if number == last:
            continue
        if number < last:
            at = first_not_below(wanted, number)
        while at < wanted.shape[0] and wanted[at] < number:
            at += 1
        if at < wanted.shape[0] and wanted[at] == number:
            places[at] = before + i + 1
        highest = max(highest, number)
        last = number
    return highest
