"""Stages at work: each has a thread that goes from step to step, and an asyncio task that waits in its place.

While there is input and space the thread goes on by itself. Handing each step to the event loop and back took 1.7 ms an
item while both cores were at work, since a thread that is woken has to wait for a core (measured with two stages of
5 ms a step).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from order_book_platform.clock import Clock
from order_book_platform.observability import StageMetrics
from order_book_platform.streaming.pressure import Backpressure, PressureLevel
from order_book_platform.streaming.queues import Bound, Entry, Queue, SpillPolicy
from order_book_platform.streaming.workers import Stopwatch, Worker

_END = object()


@dataclass(frozen=True, slots=True)
class Waiting:
    """An item that a source yields while it has nothing to read; waiting is not a step and never a stall.

    Its `call` returns when the source may have something new. It is called in the source's thread; a stream that ends
    meanwhile waits for it as long as for a step in progress.
    """

    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Stage:
    """The functions of a stage, all called from one thread, one at a time; its name stands in metrics and messages.

    `work` turns one item into any number of items, and the stream may pause or end after each of them; `finish` gives
    the last items. `flush` releases what the stage holds back; it is called between two steps when the stream cannot
    move on. `inbox` bounds the queue in front of the stage, which spills only with a policy for it.
    """

    name: str
    work: Callable[[Any], Iterable[Any]]
    finish: Callable[[], Iterable[Any]] | None = None
    flush: Callable[[], None] | None = None
    inbox: Bound = Bound(items=8, bytes=64 * 1024 * 1024)  # noqa: RUF009 - frozen
    spilling: SpillPolicy | None = None


class _Need(Enum):
    """Event that a stage's thread waits for when it returns to its task."""

    INPUT = auto()
    SPACE = auto()
    PERMISSION = auto()
    """Permission to read the next item, which backpressure withholds."""
    OTHER_CALL = auto()
    """The thread has another call to make, such as a flush."""
    NOTHING = auto()
    """The stage is done."""


class _Task:
    """Common part of the source and the stages: a thread that steps through iterators, and the queue behind it.

    The source has no inbox, and the last stage no outbox: its items are ignored. `measure` makes the queue entry of an
    item.
    """

    def __init__(
        self,
        name: str,
        inbox: Queue | None,
        outbox: Queue | None,
        measure: Callable[[Any], Entry],
        clock: Clock,
    ) -> None:
        self.name = name
        self.worker = Worker(name, clock, at_end=self._close)
        self._inbox = inbox
        self._outbox = outbox
        self._measure = measure
        self._clock = clock
        self._iterator: Iterator[Any] | None = None
        self._produced: Entry | None = None
        """Entry that is yet to be put into the outbox."""
        self._items = self._rows = self._bytes = 0
        self._blocked_up = Stopwatch()
        self._blocked_down = Stopwatch()

    # --- in the event loop ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Let the thread work, and wait for whatever it needs, until the stage is done."""
        while (need := await self.worker.run(self._work)) is not _Need.NOTHING:
            await self._wait_for(need)
        if self._outbox is not None:
            self._outbox.end()

    async def _wait_for(self, need: _Need) -> None:
        if need is _Need.SPACE and self._outbox is not None and self._produced is not None:
            await self._timed(self._blocked_down, self._outbox.wait_for_space(self._produced))

    async def _timed(self, stopwatch: Stopwatch, wait: Awaitable[None]) -> None:
        stopwatch.start(self._clock.monotonic_ns())
        await wait
        stopwatch.stop(self._clock.monotonic_ns())

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _work(self) -> _Need:
        """Make step after step, and return what is needed before the next one."""
        while not self.worker.should_return:
            self.worker.begin_step("handing on an item")
            if not self._hand_on():
                return _Need.SPACE
            need = self._prepare()
            if need is not None:
                return need
            self._step()
        return _Need.OTHER_CALL

    def _prepare(self) -> _Need | None:
        """Make sure that there is an iterator to step through, or return what is needed for that."""
        raise NotImplementedError

    def _finish_iterator(self) -> None:
        """Note that the iterator has come to its end."""

    def _step(self) -> None:
        item = _END if self._iterator is None else next(self._iterator, _END)
        if item is _END:
            self._close()
            self._finish_iterator()
        else:
            self._take(item)

    def _take(self, item: Any) -> None:
        """Keep an item that the iterator has produced, to be handed on."""
        if self._outbox is not None:
            self._produced = self._measure(item)

    def _hand_on(self) -> bool:
        """Put the produced item into the outbox; returns false if there is no space."""
        if self._produced is None or self._outbox is None:
            return True
        if not self._outbox.offer(self._produced):
            return False
        self._produced = None
        return True

    def _close(self) -> None:
        """Drop the iterator and close it, wherever it is."""
        iterator, self._iterator = self._iterator, None
        close = getattr(iterator, "close", None)
        if close is not None:
            close()

    def _count(self, entry: Entry) -> None:
        self._items += 1
        self._rows += entry.rows
        self._bytes += entry.bytes

    # --- in any thread ----------------------------------------------------------------------------------------------

    def metrics(self, now_ns: int) -> StageMetrics:
        """Return the metrics of the stage at a monotonic time; from any thread."""
        inbox = self._inbox
        oldest_ns = None if inbox is None else inbox.oldest_since_ns
        return StageMetrics(
            stage=self.name,
            items=self._items,
            rows=self._rows,
            bytes=self._bytes,
            busy_ns=self.worker.busy.read_ns(now_ns),
            queue_items=0 if inbox is None else len(inbox),
            queue_bytes=0 if inbox is None else inbox.bytes,
            spilled_bytes=0 if inbox is None else inbox.spilled_bytes,
            oldest_ns=0 if oldest_ns is None else now_ns - oldest_ns,
            blocked_up_ns=self._blocked_up.read_ns(now_ns),
            blocked_down_ns=self._blocked_down.read_ns(now_ns),
        )


class SourceTask(_Task):
    """Reads the source, one item at a time, as fast as backpressure and the next queue allow.

    While backpressure holds the source, each item needs permission, which is awaited in the event loop.
    """

    def __init__(
        self,
        name: str,
        source: Iterator[Any],
        outbox: Queue,
        measure: Callable[[Any], Entry],
        clock: Clock,
        backpressure: Backpressure,
        permission: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(name, None, outbox, measure, clock)
        self._iterator = source
        self._backpressure = backpressure
        self._permission = permission
        self._has_permission = False

    async def _wait_for(self, need: _Need) -> None:
        if need is _Need.PERMISSION:
            await self._timed(self._blocked_down, self._permission())
            self._has_permission = True
        else:
            await super()._wait_for(need)

    def _prepare(self) -> _Need | None:
        if self._iterator is None:
            return _Need.NOTHING
        if self._backpressure.level > PressureLevel.NONE and not self._has_permission:
            return _Need.PERMISSION
        self._has_permission = False
        self.worker.begin_step("reading the next item")
        return None

    def _take(self, item: Any) -> None:
        if not isinstance(item, Waiting):
            super()._take(item)
            return
        self._blocked_up.start(self._clock.monotonic_ns())
        self.worker.wait_in(item.call)
        self._blocked_up.stop(self._clock.monotonic_ns())

    def _hand_on(self) -> bool:
        entry = self._produced
        handed_on = super()._hand_on()
        if entry is not None and handed_on:
            self._count(entry)
        return handed_on


class StageTask(_Task):
    """Works off the queue in front of a stage."""

    def __init__(
        self,
        stage: Stage,
        inbox: Queue,
        outbox: Queue | None,
        measure: Callable[[Any], Entry],
        clock: Clock,
    ) -> None:
        super().__init__(stage.name, inbox, outbox, measure, clock)
        self.inbox = inbox
        self._stage = stage
        self._working_on: Entry | None = None
        self._finishing = False

    async def flush(self) -> None:
        """Let the stage release what it holds back, if it can and is not giving its last items yet."""
        if self._stage.flush is not None:
            await self.worker.run(self._flush, self._stage.flush)

    async def _wait_for(self, need: _Need) -> None:
        if need is _Need.INPUT:
            await self._timed(self._blocked_up, self.inbox.wait_for_entry())
        else:
            await super()._wait_for(need)

    def _prepare(self) -> _Need | None:
        if self._iterator is not None:
            self.worker.begin_step("finishing" if self._finishing else "working on an item")
            return None
        if self._finishing:
            return _Need.NOTHING
        self.worker.begin_step("taking the next item")
        # Read before polling: once it is true, all remaining entries are in the queue.
        ended = self.inbox.ended
        entry = self.inbox.poll()
        if entry is not None:
            self.worker.begin_step("working on an item")
            self._working_on = entry
            self._iterator = iter(self._stage.work(entry.take_item()))
        elif not ended:
            return _Need.INPUT
        else:
            self.worker.begin_step("finishing")
            self._finishing = True
            self._iterator = iter(() if self._stage.finish is None else self._stage.finish())
        return None

    def _finish_iterator(self) -> None:
        if self._working_on is not None:
            self._count(self._working_on)
            self._working_on = None

    def _flush(self, flush: Callable[[], None]) -> None:
        self.worker.begin_step("flushing")
        if not self._finishing:
            flush()
