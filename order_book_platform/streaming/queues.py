"""Queues between stages: one stage puts, one takes; bounded in items and bytes; first in, first out.

The threads of stages offer and poll, which never waits; who finds no room or no item leaves the waiting to the loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from order_book_platform.clock import Clock


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a queue may hold. An item that is larger than `bytes` is let through alone."""

    items: int
    bytes: int

    def admits(self, items: int, size_bytes: int, more_bytes: int) -> bool:
        """Whether one more item of `more_bytes` may join `items` of together `size_bytes`."""
        return items == 0 or (items < self.items and size_bytes + more_bytes <= self.bytes)


class Spill(Protocol):
    """Where a queue puts what memory has no room for. Calls come one at a time, from different threads."""

    def put(self, item: Any) -> None:
        """Write one item behind those that are there."""

    def take(self) -> Any:
        """Read and forget the item that was put first."""


@dataclass(frozen=True, slots=True)
class Spilling:
    """How a queue spills while memory is short.

    Attributes:
        to: where to; who gives it also opens, closes and removes it.
        keep: what stays in memory meanwhile.
        limit_bytes: what may lie in the spill, as items measure in memory.
    """

    to: Spill
    keep: Bound
    limit_bytes: int


@dataclass(slots=True)
class Entry:
    """An item on its way, with what was measured where it was made."""

    item: Any
    rows: int
    bytes: int
    since_ns: int = 0

    def take_out(self) -> Any:
        """The item, which who else knows the entry does not keep alive from now on."""
        item, self.item = self.item, None
        return item


class Queue:
    """Holds items in memory up to a bound.

    Args:
        bound: what it may hold.
        clock: tells how long the oldest item has waited.
        moved: called whenever an item was taken, by the thread that took it.
    """

    def __init__(self, bound: Bound, clock: Clock, moved: Callable[[], None]) -> None:
        self.bytes = 0
        """Of the items in memory."""
        self.spilled_bytes = 0
        self.oldest_since_ns: int | None = None
        self.ended = False
        """Whether what is in it is all there will be."""
        self._bound = bound
        self._clock = clock
        self._moved = moved
        self._held: deque[Entry] = deque()
        self._lock = threading.Lock()
        """Over everything here; never held while something else is waited for."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Event()
        self._filled = asyncio.Event()
        self._put_waits = False
        self._take_waits = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def fill(self) -> float:
        """How full it is, 0 to 1; 1 while a put waits, whatever the sizes."""
        if self._put_waits:
            return 1.0
        return min(1.0, max(len(self._held) / self._bound.items, self.bytes / self._bound.bytes))

    def offer(self, entry: Entry) -> bool:
        """Append an entry, if there is room."""
        entry.since_ns = self._clock.monotonic_ns()
        with self._lock:
            return self._offer_to_memory(entry)

    def poll(self) -> Entry | None:
        """Take the oldest entry, if there is one."""
        with self._lock:
            if not self._held:
                return None
            entry = self._release()
        self._moved()
        return entry

    def end(self) -> None:
        """Nothing more will be offered."""
        self.ended = True
        self._filled.set()

    async def room_for(self, entry: Entry) -> None:
        """Wait until the entry would be admitted; in the loop."""
        while True:
            self._room.clear()
            with self._lock:
                self._loop = asyncio.get_running_loop()
                self._put_waits = not self._admits(entry)
                if not self._put_waits:
                    return
            await self._room.wait()

    async def filled(self) -> None:
        """Wait until there is an entry, or there will be no more; in the loop."""
        self._filled.clear()
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._take_waits = not (len(self) or self.ended)
            if not self._take_waits:
                return
        await self._filled.wait()

    def _admits(self, entry: Entry) -> bool:
        return self._bound.admits(len(self._held), self.bytes, entry.bytes)

    def _offer_to_memory(self, entry: Entry) -> bool:
        if not self._admits(entry):
            return False
        self._held.append(entry)
        self.bytes += entry.bytes
        self._changed()
        return True

    def _release(self) -> Entry:
        entry = self._held.popleft()
        self.bytes -= entry.bytes
        self._changed()
        return entry

    def _changed(self) -> None:
        """Note the oldest, and wake who waits for what may have come about; within the lock."""
        oldest = self._oldest()
        self.oldest_since_ns = None if oldest is None else oldest.since_ns
        if self._put_waits:
            self._wake(self._room)
        if self._take_waits and oldest is not None:
            self._take_waits = False
            self._wake(self._filled)

    def _oldest(self) -> Entry | None:
        return self._held[0] if self._held else None

    def _wake(self, event: asyncio.Event) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # raised by a loop that is closed: nobody waits any more
                self._loop.call_soon_threadsafe(event.set)


class SpillingQueue(Queue):
    """A queue that moves what is beyond a low bound to a spill while memory is short, and reads it back in order.

    What is in memory is older than what is in the spill: nothing is appended in memory until the spill is empty.

    Args:
        bound: what it may hold in memory while memory is not short.
        clock: tells how long the oldest item has waited.
        moved: called whenever an item was taken, by the thread that took it.
        spilling: where to, what is kept in memory, and how much may be spilled.
    """

    def __init__(self, bound: Bound, clock: Clock, moved: Callable[[], None], spilling: Spilling) -> None:
        super().__init__(bound, clock, moved)
        self._spilling = spilling
        self._spilled: deque[Entry] = deque()
        """Entries without their items."""
        self._spill_lock = threading.Lock()
        """Held over what is written or read and its entry: they are in the same order. Taken before the other lock."""
        self._memory_is_short = False

    def __len__(self) -> int:
        return len(self._held) + len(self._spilled)

    @property
    def fill(self) -> float:
        """How full memory or the spill is, whichever is fuller, 0 to 1."""
        return max(super().fill, min(1.0, self.spilled_bytes / self._spilling.limit_bytes))

    def offer(self, entry: Entry) -> bool:
        """Append an entry, if there is room in memory or, while memory is short, in the spill."""
        entry.since_ns = self._clock.monotonic_ns()
        with self._lock:
            if not self._is_for_spill(entry):
                return self._offer_to_memory(entry)
        with self._spill_lock:
            with self._lock:
                item = self._note_spilled(entry)
            self._spilling.to.put(item)
        return True

    def poll(self) -> Entry | None:
        """Take the oldest entry, if there is one, from memory or from the spill."""
        with self._lock:
            if not len(self):
                return None
            entry = self._release() if self._held else None
        if entry is None:
            # Nothing got into memory since, because the spill is not empty and nobody else takes from it.
            with self._spill_lock:
                with self._lock:
                    entry = self._spilled.popleft()
                    self.spilled_bytes -= entry.bytes
                    self._changed()
                entry.item = self._spilling.to.take()
        self._moved()
        return entry

    def spill_while(self, memory_is_short: bool) -> None:
        """Spill or not from now on, beginning with what is here; what is in the spill comes back either way."""
        with self._spill_lock:
            with self._lock:
                self._memory_is_short = memory_is_short
                excess = self._pop_excess() if memory_is_short else deque()
                items = [self._note_spilled(entry) for entry in excess]
                self._changed()
            for item in items:
                self._spilling.to.put(item)

    def _admits(self, entry: Entry) -> bool:
        if not self._memory_is_short:
            return not self._spilled and super()._admits(entry)
        return not self._spilled or self.spilled_bytes + entry.bytes <= self._spilling.limit_bytes

    def _is_for_spill(self, entry: Entry) -> bool:
        keeps = not self._spilled and self._spilling.keep.admits(len(self._held), self.bytes, entry.bytes)
        return self._memory_is_short and not keeps and self._admits(entry)

    def _pop_excess(self) -> deque[Entry]:
        """Take the newest entries out of memory until the low bound holds; oldest first."""
        keep, excess = self._spilling.keep, deque[Entry]()
        while not self._spilled and (
            len(self._held) > keep.items or (self.bytes > keep.bytes and len(self._held) > 1)
        ):
            excess.appendleft(self._held.pop())
            self.bytes -= excess[0].bytes
        return excess

    def _note_spilled(self, entry: Entry) -> Any:
        """Append the entry to those that are spilled; its item, to be written."""
        self._spilled.append(entry)
        self.spilled_bytes += entry.bytes
        self._changed()
        return entry.take_out()

    def _oldest(self) -> Entry | None:
        oldest = super()._oldest()
        return self._spilled[0] if oldest is None and self._spilled else oldest
