"""How a stream gives way to queues that fill and to memory that runs short; both levels fall by themselves."""

from __future__ import annotations

import ctypes
import gc
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Generic, TypeVar

import psutil
import pyarrow as pa

from order_book_platform.clock import NS_PER_SECOND

_LOGGER = logging.getLogger(__name__)

Level = TypeVar("Level", bound=IntEnum)


class PressureLevel(IntEnum):
    """Reaction of a stream to full queues; each level includes those below."""

    NONE = 0
    THROTTLE = 1
    """The source waits a growing moment before each item."""
    PAUSE = 2
    """The source reads nothing."""
    FLUSH = 3
    """The pause has lasted too long: stages are asked to release the items that they hold back."""


class MemoryLevel(IntEnum):
    """Reaction of a stream to scarce memory; each level includes those below."""

    NONE = 0
    SMALLER_BATCHES = 1
    DROP_CACHES = 2
    SPILL = 3


MEMORY_RISES, MEMORY_FALLS = (0.7, 0.8, 0.9), (0.6, 0.7, 0.8)
"""Shares of the memory limit at which each level is reached, and below which it is left."""


class _Pressure(Generic[Level]):
    """A level that rises and falls one step at a time, at separate thresholds.

    Each change is logged and counted by name, such as `"none -> throttle"`. `log_level` is that of an ordinary change;
    a change from or to the highest level is always a warning.
    """

    def __init__(self, name: str, levels: type[Level], log_level: int) -> None:
        self.transitions: Counter[str] = Counter()
        self._name = name
        self._log_level = log_level
        self._levels = list(levels)
        self.level: Level = self._levels[0]

    def _set_level(self, value: float, rises: Sequence[float], falls: Sequence[float]) -> None:
        """Move down while `value` is below the fall of the current level, else up while it reaches the next rise."""
        while self.level and value < falls[self.level - 1]:
            self._move(self.level - 1, value)
        while self.level < len(rises) and value >= rises[self.level]:
            self._move(self.level + 1, value)

    def _move(self, to: int, value: float) -> None:
        before, self.level = self.level, self._levels[to]
        move = f"{before.name.lower()} -> {self.level.name.lower()}"
        self.transitions[move] += 1
        severe = max(before, self.level) == len(self._levels) - 1
        _LOGGER.log(
            logging.WARNING if severe else self._log_level, "%s: %s at %.0f %%", self._name, move, 100 * value
        )


class Backpressure(_Pressure[PressureLevel]):
    """Decides from the fill of the queues how much the source is held back.

    Full queues alone slow a stream down, since a stage that cannot hand on its item has to wait. Backpressure is for
    what waiting does not help: a source that could stop reading, and a stage that holds on to more than it needs.

    `throttle` are the fills, 0 to 1, from which on the source is slowed down and below which it no longer is, `pause`
    those for a source that stops reading. A pause beyond `flush_after_ns` makes the stages flush.
    """

    def __init__(
        self,
        throttle: tuple[float, float] = (0.75, 0.5),
        pause: tuple[float, float] = (0.95, 0.6),
        flush_after_ns: int = 10 * NS_PER_SECOND,
        longest_wait_ns: int = NS_PER_SECOND // 10,
    ) -> None:
        # A stream whose last stage is the slowest changes its level some three times a second (measured): not for INFO.
        super().__init__("backpressure", PressureLevel, logging.DEBUG)
        self._rises = (throttle[0], pause[0])
        self._falls = (throttle[1], pause[1], pause[1])
        self._flush_after_ns = flush_after_ns
        self._longest_wait_ns = longest_wait_ns
        self._paused_since_ns: int | None = None
        self._wait_ns = 0

    def update(self, fill: float, now_ns: int) -> PressureLevel:
        """Set the level from the mean fill of all queues, 0 to 1, at a monotonic time, and return it."""
        overdue = self._paused_since_ns is not None and now_ns - self._paused_since_ns > self._flush_after_ns
        self._set_level(fill, (*self._rises, 0.0 if overdue else math.inf), self._falls)
        if self.level == PressureLevel.NONE:
            self._wait_ns = 0
        if self.level < PressureLevel.PAUSE:
            self._paused_since_ns = None
        elif self._paused_since_ns is None:
            self._paused_since_ns = now_ns
        return self.level

    def next_wait_ns(self) -> int:
        """Return how long the source waits before its next item: 1 ms at first, then twice as long each time."""
        if self.level > PressureLevel.NONE:
            self._wait_ns = min(self._longest_wait_ns, 2 * self._wait_ns or NS_PER_SECOND // 1000)
        return self._wait_ns


def resident_bytes() -> int:
    """Return the resident memory of this process, in bytes."""
    return int(psutil.Process().memory_info().rss)


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Parameters of `mallopt`, from glibc's malloc.h."""
_RETURNED_BYTES = 256 * 1024
"""Blocks of this size and above return to the system when they are freed; by default glibc raises this to 32 MB.

Columns of small batches are smaller than this. With 64 kB each of them was fetched from the system anew, page by page:
at a limit of 400 MB the books of a day took 25 MB less, but 34 s of CPU time instead of 26.
"""


def release_free_memory() -> None:
    """Return to the system what Python, arrow and the C library have freed and keep for later."""
    gc.collect(1)  # a collection of all generations takes 0.3 s, and streams make no long-lived cycles
    pa.default_memory_pool().release_unused()
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "malloc_trim"):  # only glibc has it
        c_library.malloc_trim(0)


def drop_caches() -> None:
    """Return freed memory to the system, and make arrow and the C library keep less for the rest of the process."""
    pa.default_memory_pool().release_unused()  # the pool in use so far: after the change nobody asks it again
    pa.set_memory_pool(pa.system_memory_pool())
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "mallopt"):
        c_library.mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)
        c_library.mallopt(_M_ARENA_MAX, 1)
    release_free_memory()


class MemoryGuard(_Pressure[MemoryLevel]):
    """Decides from the memory in use, which `sample` measures in bytes, what a stream goes without.

    `drop` is called on reaching `DROP_CACHES`, and again every `drop_every_ns` while that level lasts; `release`, which
    has no effect on later allocations, likewise at `SMALLER_BATCHES`, because freed memory between blocks in use adds
    up, and after `release_soon`, whatever the level.
    """

    def __init__(
        self,
        limit_bytes: int,
        sample: Callable[[], int] = resident_bytes,
        drop: Callable[[], None] = drop_caches,
        release: Callable[[], None] = release_free_memory,
        drop_every_ns: int = NS_PER_SECOND,
    ) -> None:
        super().__init__("memory", MemoryLevel, logging.INFO)
        self._limit_bytes = limit_bytes
        self._sample = sample
        self._drop = drop
        self._release = release
        self._drop_every_ns = drop_every_ns
        self._dropped_ns: int | None = None
        self._release_requested = False

    @property
    def batch_share(self) -> float:
        """Share of its usual batch that a source should read: 1, 1/2, 1/4 or 1/8."""
        return 1.0 / (1 << self.level)

    @property
    def spilling(self) -> bool:
        """Whether queues that have a spill shall use it."""
        return self.level == MemoryLevel.SPILL

    def release_soon(self) -> None:
        """Have freed memory returned to the system at the next check, whatever the level; from any thread."""
        self._release_requested = True

    def check(self, now_ns: int) -> MemoryLevel:
        """Measure the memory at a monotonic time, set the level and return it; release memory or drop caches if due."""
        before = self.level
        self._set_level(self._sample() / self._limit_bytes, MEMORY_RISES, MEMORY_FALLS)
        requested, self._release_requested = self._release_requested, False
        if self.level == MemoryLevel.NONE:
            self._dropped_ns = None
        elif (
            self.level > before == MemoryLevel.SMALLER_BATCHES
            or self._dropped_ns is None
            or now_ns - self._dropped_ns >= self._drop_every_ns
        ):
            self._dropped_ns, requested = now_ns, False
            (self._drop if self.level >= MemoryLevel.DROP_CACHES else self._release)()
        if requested:
            self._release()
        return self.level
