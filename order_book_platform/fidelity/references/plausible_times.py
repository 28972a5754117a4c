"""Origin times that cannot be: 0 where the exchange gave none, or another day's. One of them must not spoil a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from order_book_platform.datasets.columns import NARROW_ROWS, NumberedRows
from order_book_platform.model.arrays import BoolArray, Int64Array
from order_book_platform.storage import ParquetRows

T = TypeVar("T", bound=NumberedRows)


def first_time(books: ParquetRows, plausible_ns: tuple[int, int]) -> int:
    """The first origin time of a book that can be, ns; 0 where none can."""
    for batch in books.batches(NARROW_ROWS, columns=["origin_time"]):
        sound = batch.column(0).to_numpy()
        sound = sound[_can_be(sound, plausible_ns)]
        if len(sound):
            return int(sound[0])
    return 0


def held_times(time_ns: Int64Array, plausible_ns: tuple[int, int], before_ns: int) -> Int64Array:
    """The same times; one that cannot be is that of the row before.

    Args:
        time_ns: int64[n], ns.
        plausible_ns: first and last time that can be, ns.
        before_ns: the time before the first row, ns.

    Returns:
        int64[n], ns; the very array where nothing had to be changed.
    """
    sound = _can_be(time_ns, plausible_ns)
    if sound.all():
        return time_ns
    at = np.maximum.accumulate(np.where(sound, np.arange(len(time_ns)), -1))
    held: Int64Array = np.where(at >= 0, time_ns[at], before_ns)
    return held


def hold_times(parts: Iterator[T], plausible_ns: tuple[int, int], before_ns: int) -> Iterator[T]:
    """The same stream with such times, see `held_times`."""
    for part in parts:
        times = held_times(part.time_ns, plausible_ns, before_ns)
        if len(times):
            before_ns = int(times[-1])
        yield part if times is part.time_ns else replace(part, time_ns=times)


def _can_be(time_ns: Int64Array, plausible_ns: tuple[int, int]) -> BoolArray:
    return (time_ns >= plausible_ns[0]) & (time_ns <= plausible_ns[1])
