"""Origin times that cannot be: 0 where the exchange gave none, or another day's. One of them must not spoil a day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

import numpy as np

from order_book_platform.fidelity.rows import ArrayRows
from order_book_platform.model.batches import BoolArray, Int64Array

T = TypeVar("T", bound=ArrayRows)


def held_times(
    time_ns: Int64Array, plausible_ns: tuple[int, int], before_ns: int | None = None
) -> Int64Array:
    """The same times; one that cannot be is that of the row before.

    Args:
        time_ns: int64[n], ns.
        plausible_ns: first and last time that can be, ns.
        before_ns: the time before the first row, ns; None: there is none, and the first that can be stands for it, or
            0 where none can be.

    Returns:
        int64[n], ns; the very array where nothing had to be changed.
    """
    sound = _can_be(time_ns, plausible_ns)
    if sound.all():
        return time_ns
    if before_ns is None:
        before_ns = int(time_ns[sound.argmax()]) if sound.any() else 0
    at = np.maximum.accumulate(np.where(sound, np.arange(len(time_ns)), -1))
    held: Int64Array = np.where(at >= 0, time_ns[at], before_ns)
    return held


def hold_times(parts: Iterator[T], plausible_ns: tuple[int, int]) -> Iterator[T]:
    """The same stream with such times, see `held_times`; what comes before the first that can be is held back."""
    before_ns: int | None = None
    waiting: list[T] = []
    for part in parts:
        if before_ns is None and not _can_be(part.time_ns, plausible_ns).any():
            waiting.append(part)
            continue
        times = held_times(part.time_ns, plausible_ns, before_ns)
        if before_ns is None:
            yield from _all_at(waiting, int(times[0]))
            waiting = []
        if len(times):
            before_ns = int(times[-1])
        yield part if times is part.time_ns else replace(part, time_ns=times)
    yield from _all_at(waiting, 0)


def _all_at(parts: list[T], time_ns: int) -> Iterator[T]:
    """The same rows, all at one time."""
    for part in parts:
        yield replace(part, time_ns=np.full(len(part), time_ns))


def _can_be(time_ns: Int64Array, plausible_ns: tuple[int, int]) -> BoolArray:
    return (time_ns >= plausible_ns[0]) & (time_ns <= plausible_ns[1])
