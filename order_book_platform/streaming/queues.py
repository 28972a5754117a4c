"""Queues between stages: one stage puts, one takes; bounded in items and bytes; first in, first out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from order_book_platform.clock import Clock
from order_book_platform.streaming.workers import Worker


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a queue may hold. An item that is larger than `bytes` is let through alone."""

    items: int
    bytes: int

    def admits(self, items: int, size_bytes: int, more_bytes: int) -> bool:
        """Whether one more item of `more_bytes` may join `items` of together `size_bytes`."""
        return items == 0 or (items < self.items and size_bytes + more_bytes <= self.bytes)


class Spill(Protocol):
    """Where a queue puts what memory has no room for. Calls come from one thread, one at a time."""

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
    """Holds items in memory up to a bound; `put` waits for room, `take` for an item.

    Args:
        bound: what it may hold.
        clock: tells how long the oldest item has waited.
        moved: set whenever an item was taken.
    """

    def __init__(self, bound: Bound, clock: Clock, moved: asyncio.Event) -> None:
        self.bytes = 0
        """Of the items in memory."""
        self.spilled_bytes = 0
        self.oldest_since_ns: int | None = None
        self._bound = bound
        self._clock = clock
        self._moved = moved
        self._held: deque[Entry] = deque()
        self._ended = False
        self._put_waits = False
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def fill(self) -> float:
        """How full it is, 0 to 1; 1 while a put waits, whatever the sizes."""
        if self._put_waits:
            return 1.0
        return min(1.0, max(len(self._held) / self._bound.items, self.bytes / self._bound.bytes))

    async def put(self, entry: Entry) -> None:
        """Append an entry as soon as there is room."""
        while not self._admits(entry):
            self._put_waits = True
            self._room.clear()
            await self._room.wait()
        self._put_waits = False
        entry.since_ns = self._clock.monotonic_ns()
        await self._append(entry)
        self._look_again()

    async def take(self) -> Entry | None:
        """The oldest entry, as soon as there is one; none after the last."""
        while not len(self):
            if self._ended:
                return None
            self._filled.clear()
            await self._filled.wait()
        entry = await self._remove()
        self._look_again()
        self._moved.set()
        return entry

    def end(self) -> None:
        """Nothing more will be put."""
        self._ended = True
        self._filled.set()

    async def spill_while(self, memory_is_short: bool) -> None:
        """Spill or not from now on; for queues that can."""

    def _admits(self, entry: Entry) -> bool:
        return self._bound.admits(len(self._held), self.bytes, entry.bytes)

    async def _append(self, entry: Entry) -> None:
        self._held.append(entry)
        self.bytes += entry.bytes

    async def _remove(self) -> Entry:
        entry = self._held.popleft()
        self.bytes -= entry.bytes
        return entry

    def _oldest(self) -> Entry | None:
        return self._held[0] if self._held else None

    def _look_again(self) -> None:
        oldest = self._oldest()
        self.oldest_since_ns = None if oldest is None else oldest.since_ns
        self._filled.set()
        self._room.set()


class SpillingQueue(Queue):
    """A queue that moves what is beyond a low bound to a spill while memory is short, and reads it back in order.

    What is in memory is older than what is in the spill: nothing is appended in memory until the spill is empty.

    Args:
        bound: what it may hold in memory while memory is not short.
        clock: tells how long the oldest item has waited.
        moved: set whenever an item was taken.
        spilling: where to, what is kept in memory, and how much may be spilled.
        worker: makes the spill's calls.
    """

    def __init__(
        self, bound: Bound, clock: Clock, moved: asyncio.Event, spilling: Spilling, worker: Worker
    ) -> None:
        super().__init__(bound, clock, moved)
        self.worker = worker
        self._spilling = spilling
        self._spilled: deque[Entry] = deque()
        """Entries without their items."""
        self._memory_is_short = False

    def __len__(self) -> int:
        return len(self._held) + len(self._spilled)

    @property
    def fill(self) -> float:
        """How full memory or the spill is, whichever is fuller, 0 to 1."""
        return max(super().fill, min(1.0, self.spilled_bytes / self._spilling.limit_bytes))

    async def spill_while(self, memory_is_short: bool) -> None:
        """Spill or not from now on, beginning with what is here; what is in the spill comes back either way."""
        self._memory_is_short = memory_is_short
        self._room.set()
        if memory_is_short:
            await self._spill(self._pop_excess())

    def _admits(self, entry: Entry) -> bool:
        if not self._memory_is_short:
            return not self._spilled and super()._admits(entry)
        return not self._spilled or self.spilled_bytes + entry.bytes <= self._spilling.limit_bytes

    def _keeps(self, entry: Entry) -> bool:
        return not self._spilled and self._spilling.keep.admits(len(self._held), self.bytes, entry.bytes)

    async def _append(self, entry: Entry) -> None:
        if not self._memory_is_short or self._keeps(entry):
            await super()._append(entry)
        else:
            await self._spill([entry])

    async def _spill(self, entries: Iterable[Entry]) -> None:
        items = []
        for entry in entries:
            items.append(entry.take_out())
            self._spilled.append(entry)
            self.spilled_bytes += entry.bytes
        # The worker's calls are made in order: whoever takes from now on reads after this has been written.
        await self.worker.run("writing to the spill", self._write, items)

    def _pop_excess(self) -> Iterable[Entry]:
        """Take the newest entries out of memory until the low bound holds; oldest first."""
        keep, excess = self._spilling.keep, deque[Entry]()
        while not self._spilled and (
            len(self._held) > keep.items or (self.bytes > keep.bytes and len(self._held) > 1)
        ):
            excess.appendleft(self._held.pop())
            self.bytes -= excess[0].bytes
        return excess

    def _write(self, items: list[Any]) -> None:
        for item in items:
            self._spilling.to.put(item)

    async def _remove(self) -> Entry:
        if self._held:
            return await super()._remove()
        entry = self._spilled.popleft()
        self.spilled_bytes -= entry.bytes
        entry.item = await self.worker.run("reading from the spill", self._spilling.to.take)
        return entry

    def _oldest(self) -> Entry | None:
        return super()._oldest() or (self._spilled[0] if self._spilled else None)
