"""Origin times that are not plausible: 0 where the exchange gave none, or another day's. One must not spoil a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import TypeVar

import numpy as np

from order_book_platform.clock import NS_PER_DAY, day_start_ns
from order_book_platform.datasets.columns import NARROW_ROWS, NumberedRows
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.storage import ParquetRows

T = TypeVar("T", bound=NumberedRows)


def plausible_times(day: date) -> tuple[int, int]:
    """Return the first and the last plausible time of a UTC day, ns: a day before its start and after its end."""
    start_ns = day_start_ns(day)
    return start_ns - NS_PER_DAY, start_ns + 2 * NS_PER_DAY


def first_time(books: ParquetRows, plausible_ns: tuple[int, int]) -> int:
    """Return the first plausible origin time of a book, ns; 0 where there is none."""
    for batch in books.batches(NARROW_ROWS, columns=["origin_time"]):
        sound = batch.column(0).to_numpy()
        sound = sound[_are_plausible(sound, plausible_ns)]
        if len(sound):
            return int(sound[0])
    return 0


def held_times(time_ns: Int64Array, plausible_ns: tuple[int, int], before_ns: int) -> Int64Array:
    """Replace every time that is not plausible by the time of the row before it.

    Args:
        time_ns: int64[n], ns.
        plausible_ns: First and last plausible time, ns.
        before_ns: Time before the first row, ns.

    Returns:
        int64[n], ns; the same array where nothing had to be changed.
    """
    sound = _are_plausible(time_ns, plausible_ns)
    if sound.all():
        return time_ns
    at = np.maximum.accumulate(np.where(sound, np.arange(len(time_ns)), -1))
    held: Int64Array = np.where(at >= 0, time_ns[at], before_ns)
    return held


def hold_times(parts: Iterator[T], plausible_ns: tuple[int, int], before_ns: int) -> Iterator[T]:
    """Yield the same rows with their times replaced as in `held_times`."""
    for part in parts:
        times = held_times(part.time_ns, plausible_ns, before_ns)
        if len(times):
            before_ns = int(times[-1])
        yield part if times is part.time_ns else replace(part, time_ns=times)


def _are_plausible(time_ns: Int64Array, plausible_ns: tuple[int, int]) -> BoolArray:
    return (time_ns >= plausible_ns[0]) & (time_ns <= plausible_ns[1])
