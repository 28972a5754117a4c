"""Queues between two stages: one puts, one takes; bounded in items and bytes; first in, first out.

The threads of the stages offer and poll, which never waits. A stage that finds no space or no entry leaves the waiting
to the event loop.
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
    """Number of items and of bytes that a queue may hold; an item with more bytes is let through alone."""

    items: int
    bytes: int

    def admits(self, items: int, size_bytes: int, more_bytes: int) -> bool:
        """Return whether an item of `more_bytes` may join `items` that have `size_bytes` together."""
        return items == 0 or (items < self.items and size_bytes + more_bytes <= self.bytes)


class Spill(Protocol):
    """Storage for items of a queue that memory has no space for; called from several threads, one call at a time."""

    def put(self, item: Any) -> None:
        """Write one item behind those that are there."""

    def take(self) -> Any:
        """Read and remove the oldest item."""


@dataclass(frozen=True, slots=True)
class SpillPolicy:
    """How a queue spills while memory is short: what `keep` does not admit goes `to` a storage.

    Whoever provides it opens, closes and removes it; it gets at most `limit_bytes`, as items measure in memory.
    """

    to: Spill
    keep: Bound
    limit_bytes: int


@dataclass(slots=True)
class Entry:
    """An item in a queue with its rows and bytes, which are measured where the item is made.

    The item is None while it is in the spill or after it has been taken; `since_ns` is the monotonic time at which the
    entry was offered.
    """

    item: Any
    rows: int
    bytes: int
    since_ns: int = 0

    def take_item(self) -> Any:
        """Return the item, which this entry no longer keeps alive."""
        item, self.item = self.item, None
        return item


class Queue:
    """A queue that holds items in memory up to a bound; `on_taken` is called by the thread that took an entry."""

    def __init__(self, bound: Bound, clock: Clock, on_taken: Callable[[], None]) -> None:
        self.bytes = 0
        """Bytes of the items in memory."""
        self.spilled_bytes = 0
        """Bytes of the items in the spill, as they measure in memory."""
        self.oldest_since_ns: int | None = None
        """Monotonic time at which the oldest entry was offered; None for an empty queue."""
        self.ended = False
        """Whether no further entry will be offered."""
        self._bound = bound
        self._clock = clock
        self._on_taken = on_taken
        self._held: deque[Entry] = deque()
        self._lock = threading.Lock()
        """Guards all attributes; it is never held while something else is waited for."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._space_event = asyncio.Event()
        self._entry_event = asyncio.Event()
        self._put_waits = False
        self._take_waits = False

    def __len__(self) -> int:
        return len(self._held)

    @property
    def fill(self) -> float:
        """How full the queue is, 0 to 1; 1 while a put waits, whatever the sizes."""
        if self._put_waits:
            return 1.0
        return min(1.0, max(len(self._held) / self._bound.items, self.bytes / self._bound.bytes))

    def offer(self, entry: Entry) -> bool:
        """Append an entry if there is space for it, and return whether there was."""
        entry.since_ns = self._clock.monotonic_ns()
        with self._lock:
            return self._offer_to_memory(entry)

    def poll(self) -> Entry | None:
        """Take the oldest entry; returns None if there is none."""
        with self._lock:
            if not self._held:
                return None
            entry = self._release()
        self._on_taken()
        return entry

    def end(self) -> None:
        """Note that no further entry will be offered."""
        self.ended = True
        self._entry_event.set()

    async def wait_for_space(self, entry: Entry) -> None:
        """Wait, in the event loop, until the entry would be admitted."""
        while True:
            self._space_event.clear()
            with self._lock:
                self._loop = asyncio.get_running_loop()
                self._put_waits = not self._admits(entry)
                if not self._put_waits:
                    return
            await self._space_event.wait()

    async def wait_for_entry(self) -> None:
        """Wait, in the event loop, until there is an entry or the queue has ended."""
        self._entry_event.clear()
        with self._lock:
            self._loop = asyncio.get_running_loop()
            self._take_waits = not (len(self) or self.ended)
            if not self._take_waits:
                return
        await self._entry_event.wait()

    def _admits(self, entry: Entry) -> bool:
        return self._bound.admits(len(self._held), self.bytes, entry.bytes)

    def _offer_to_memory(self, entry: Entry) -> bool:
        if not self._admits(entry):
            return False
        self._held.append(entry)
        self.bytes += entry.bytes
        self._note_change()
        return True

    def _release(self) -> Entry:
        entry = self._held.popleft()
        self.bytes -= entry.bytes
        self._note_change()
        return entry

    def _note_change(self) -> None:
        """Note the oldest entry and wake the stages that wait for a change; called with the lock held."""
        oldest = self._oldest()
        self.oldest_since_ns = None if oldest is None else oldest.since_ns
        if self._put_waits:
            self._wake(self._space_event)
        if self._take_waits and oldest is not None:
            self._take_waits = False
            self._wake(self._entry_event)

    def _oldest(self) -> Entry | None:
        return self._held[0] if self._held else None

    def _wake(self, event: asyncio.Event) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # raised by a closed loop: nobody waits any more
                self._loop.call_soon_threadsafe(event.set)


class SpillingQueue(Queue):
    """A queue that moves entries beyond a low bound to a spill while memory is short, and reads them back in order.

    The entries in memory are older than those in the spill: nothing is appended in memory until the spill is empty.
    """

    def __init__(
        self, bound: Bound, clock: Clock, on_taken: Callable[[], None], spilling: SpillPolicy
    ) -> None:
        super().__init__(bound, clock, on_taken)
        self._spilling = spilling
        self._spilled: deque[Entry] = deque()
        """Entries whose items are in the spill."""
        self._spill_lock = threading.Lock()
        """Held while an item is written or read together with its entry, so that both are in the same order. It is
        always taken before the other lock."""
        self._memory_is_short = False

    def __len__(self) -> int:
        return len(self._held) + len(self._spilled)

    @property
    def fill(self) -> float:
        """How full memory or the spill is, whichever is fuller, 0 to 1."""
        return max(super().fill, min(1.0, self.spilled_bytes / self._spilling.limit_bytes))

    def offer(self, entry: Entry) -> bool:
        """Append an entry if there is space in memory or, while memory is short, in the spill."""
        entry.since_ns = self._clock.monotonic_ns()
        with self._lock:
            keep = self._spilling.keep
            keeps = not self._spilled and keep.admits(len(self._held), self.bytes, entry.bytes)
            if not self._memory_is_short or keeps or not self._admits(entry):
                return self._offer_to_memory(entry)
        with self._spill_lock:
            with self._lock:
                item = self._note_spilled(entry)
            self._spilling.to.put(item)
        return True

    def poll(self) -> Entry | None:
        """Take the oldest entry, from memory or from the spill; returns None if there is none."""
        with self._lock:
            if not len(self):
                return None
            entry = self._release() if self._held else None
        if entry is None:
            # Memory is still empty: nothing is appended there while the spill has entries, which only this call takes.
            with self._spill_lock:
                with self._lock:
                    entry = self._spilled.popleft()
                    self.spilled_bytes -= entry.bytes
                    self._note_change()
                entry.item = self._spilling.to.take()
        self._on_taken()
        return entry

    def spill_while(self, memory_is_short: bool) -> None:
        """Begin to spill, with the entries in memory first, or end it; spilled entries come back either way."""
        with self._spill_lock:
            with self._lock:
                self._memory_is_short = memory_is_short
                excess = self._pop_excess() if memory_is_short else deque()
                items = [self._note_spilled(entry) for entry in excess]
                self._note_change()
            for item in items:
                self._spilling.to.put(item)

    def _admits(self, entry: Entry) -> bool:
        if not self._memory_is_short:
            return not self._spilled and super()._admits(entry)
        return not self._spilled or self.spilled_bytes + entry.bytes <= self._spilling.limit_bytes

    def _pop_excess(self) -> deque[Entry]:
        """Remove the newest entries from memory until the low bound holds, and return them, oldest first."""
        keep, excess = self._spilling.keep, deque[Entry]()
        while not self._spilled and (
            len(self._held) > keep.items or (self.bytes > keep.bytes and len(self._held) > 1)
        ):
            excess.appendleft(self._held.pop())
            self.bytes -= excess[0].bytes
        return excess

    def _note_spilled(self, entry: Entry) -> Any:
        """Append an entry to the spilled ones, and return its item, which is to be written."""
        self._spilled.append(entry)
        self.spilled_bytes += entry.bytes
        self._note_change()
        return entry.take_item()

    def _oldest(self) -> Entry | None:
        oldest = super()._oldest()
        return self._spilled[0] if oldest is None and self._spilled else oldest
