"""How a stream gives way: to queues that fill, and to memory that runs short. Both come back down."""

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
from order_book_platform.streaming.libraries import let_go_of_pages

_LOGGER = logging.getLogger(__name__)

Level = TypeVar("Level", bound=IntEnum)


class PressureLevel(IntEnum):
    """What full queues make a stream do; each level includes those below."""

    NONE = 0
    THROTTLE = 1
    """The source waits a growing moment before each item."""
    PAUSE = 2
    """The source does not read on."""
    FLUSH = 3
    """The pause has lasted too long: stages that hold something back are asked to let go of it."""


class MemoryLevel(IntEnum):
    """What scarce memory makes a stream do; each level includes those below."""

    NONE = 0
    SMALLER_BATCHES = 1
    DROP_CACHES = 2
    SPILL = 3


class _Ladder(Generic[Level]):
    """A level that moves rung by rung, up and down at thresholds of their own; each move is logged and counted."""

    def __init__(self, what: str, levels: type[Level], everyday: int) -> None:
        self.transitions: Counter[str] = Counter()
        self._what = what
        self._everyday = everyday
        """Log level of a move that nobody need look into; one from or to the highest rung is a warning."""
        self._rungs = list(levels)
        self.level: Level = self._rungs[0]

    def climb(self, value: float, rises: Sequence[float], falls: Sequence[float]) -> None:
        """Go down while `value` is below the current rung's fall, else up while it has reached the next one's rise."""
        while self.level and value < falls[self.level - 1]:
            self._move(self.level - 1, value)
        while self.level < len(rises) and value >= rises[self.level]:
            self._move(self.level + 1, value)

    def _move(self, to: int, value: float) -> None:
        before, self.level = self.level, self._rungs[to]
        move = f"{before.name.lower()} -> {self.level.name.lower()}"
        self.transitions[move] += 1
        severe = max(before, self.level) == len(self._rungs) - 1
        _LOGGER.log(
            logging.WARNING if severe else self._everyday, "%s: %s at %.0f %%", self._what, move, 100 * value
        )


class Backpressure:
    """Decides from the fill of the queues how much the source is held back.

    Full queues alone slow a stream down, since who puts has to wait. This is for what waiting does not help:
    a source that could leave off, and a stage that holds on to more than it needs.

    Args:
        throttle: fill, 0 to 1, from which on the source is slowed down, and below which it is not any more.
        pause: the same for not reading on at all.
        flush_after_ns: a pause that lasts longer makes stages flush.
        longest_wait_ns: where a throttled source's moments stop growing.
    """

    def __init__(
        self,
        throttle: tuple[float, float] = (0.75, 0.5),
        pause: tuple[float, float] = (0.95, 0.6),
        flush_after_ns: int = 10 * NS_PER_SECOND,
        longest_wait_ns: int = NS_PER_SECOND // 10,
    ) -> None:
        # A stream whose last stage is the slowest is held back and let go some three times a second (measured).
        self._ladder = _Ladder("backpressure", PressureLevel, everyday=logging.DEBUG)
        self._rises = (throttle[0], pause[0])
        self._falls = (throttle[1], pause[1], pause[1])
        self._flush_after_ns = flush_after_ns
        self._longest_wait_ns = longest_wait_ns
        self._paused_since_ns: int | None = None
        self._wait_ns = 0

    @property
    def level(self) -> PressureLevel:
        """The level in force."""
        return self._ladder.level

    @property
    def transitions(self) -> Counter[str]:
        """`"none -> throttle"` and so on to how often."""
        return self._ladder.transitions

    def judge(self, fill: float, now_ns: int) -> PressureLevel:
        """Find the level anew.

        Args:
            fill: of all queues together, 0 to 1.
            now_ns: of a clock that does not go back.
        """
        overdue = self._paused_since_ns is not None and now_ns - self._paused_since_ns > self._flush_after_ns
        self._ladder.climb(fill, (*self._rises, 0.0 if overdue else math.inf), self._falls)
        if self.level == PressureLevel.NONE:
            self._wait_ns = 0
        if self.level < PressureLevel.PAUSE:
            self._paused_since_ns = None
        elif self._paused_since_ns is None:
            self._paused_since_ns = now_ns
        return self.level

    def next_wait_ns(self) -> int:
        """How long the source waits before the item it is about to read: 1 ms at first, then twice as long each."""
        if self.level > PressureLevel.NONE:
            self._wait_ns = min(self._longest_wait_ns, 2 * self._wait_ns or NS_PER_SECOND // 1000)
        return self._wait_ns


def resident_bytes() -> int:
    """Memory that this process occupies."""
    return int(psutil.Process().memory_info().rss)


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Of glibc's malloc.h."""
_RETURNED_BYTES = 256 * 1024
"""Blocks of this size and above go back to the system when they are freed; left alone, glibc raises it to 32 MB.

Columns of small batches are below it. With 64 kB each was fetched from the system anew, page by page: at 400 MB a day
had 25 MB less after that, and took 34 s of CPU time instead of 26.
"""


def give_back() -> None:
    """Give back what Python, arrow and the C library keep for later."""
    gc.collect(1)  # all generations would take 0.3 s, and streams make no cycles that live long
    pa.default_memory_pool().release_unused()
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "malloc_trim"):  # glibc has it, others do not
        c_library.malloc_trim(0)


def drop_caches() -> None:
    """Give back what is kept for later and pages of libraries, and have arrow and the C library keep less from now on.

    At a limit of 400 MB, 27 M deltas came to 396 MB without the pages of libraries, and come to 334 MB with them: from
    then on memory is not short any more.
    """
    pa.default_memory_pool().release_unused()  # the one that is left behind: nobody asks it again
    pa.set_memory_pool(pa.system_memory_pool())
    c_library = ctypes.CDLL(None)
    if hasattr(c_library, "mallopt"):
        c_library.mallopt(_M_MMAP_THRESHOLD, _RETURNED_BYTES)
        c_library.mallopt(_M_ARENA_MAX, 1)
    give_back()
    let_go_of_pages()


class MemoryGuard:
    """Decides from the memory in use what a stream goes without.

    Args:
        limit_bytes: what the process shall not exceed.
        sample: measures it.
        drop: called on reaching `DROP_CACHES`, and again every `drop_every_ns` while that lasts.
        give: the same for `SMALLER_BATCHES`, lest what lies between blocks in use adds up; also called when somebody
            asks for it, whatever the level. Changes nothing for later.
        rises: shares of the limit at which each level is reached.
        falls: shares of the limit below which each level is left.
        drop_every_ns: freed memory goes back to the system only when asked for.
    """

    def __init__(
        self,
        limit_bytes: int,
        sample: Callable[[], int] = resident_bytes,
        drop: Callable[[], None] = drop_caches,
        give: Callable[[], None] = give_back,
        rises: tuple[float, float, float] = (0.7, 0.8, 0.9),
        falls: tuple[float, float, float] = (0.6, 0.7, 0.8),
        drop_every_ns: int = NS_PER_SECOND,
    ) -> None:
        self._ladder = _Ladder("memory", MemoryLevel, everyday=logging.INFO)
        self._limit_bytes = limit_bytes
        self._sample = sample
        self._drop = drop
        self._give = give
        self._rises = rises
        self._falls = falls
        self._drop_every_ns = drop_every_ns
        self._dropped_ns: int | None = None
        self._is_asked_to_give = False

    @property
    def level(self) -> MemoryLevel:
        """The level in force."""
        return self._ladder.level

    @property
    def transitions(self) -> Counter[str]:
        """`"none -> smaller_batches"` and so on to how often."""
        return self._ladder.transitions

    @property
    def batch_share(self) -> float:
        """The share of its usual batch that a source should read: 1, 1/2, 1/4 or 1/8."""
        return 1.0 / (1 << self.level)

    @property
    def spilling(self) -> bool:
        """Whether queues that can spill shall do so."""
        return self.level == MemoryLevel.SPILL

    def give_soon(self) -> None:
        """Have what is kept for later given back at the next check, whatever the level; from any thread."""
        self._is_asked_to_give = True

    def check(self, now_ns: int) -> MemoryLevel:
        """Measure, find the level anew, and give back what is kept or drop caches, if that is due.

        Args:
            now_ns: of a clock that does not go back.
        """
        before = self.level
        self._ladder.climb(self._sample() / self._limit_bytes, self._rises, self._falls)
        asked, self._is_asked_to_give = self._is_asked_to_give, False
        if self.level == MemoryLevel.NONE:
            self._dropped_ns = None
        elif self.level > before == MemoryLevel.SMALLER_BATCHES or self._is_due(now_ns):
            self._dropped_ns, asked = now_ns, False
            (self._drop if self.level >= MemoryLevel.DROP_CACHES else self._give)()
        if asked:
            self._give()
        return self.level

    def _is_due(self, now_ns: int) -> bool:
        return self._dropped_ns is None or now_ns - self._dropped_ns >= self._drop_every_ns
