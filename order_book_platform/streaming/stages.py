"""One stage at work: a thread that goes from step to step, and a task that waits where the thread would have to.

While there is input and room the thread goes on by itself: handing each step to the loop and back took 1.7 ms an item
while both cores were at work, since who is woken has to wait for one of them (measured, two stages of 5 ms a step).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from order_book_platform.clock import Clock
from order_book_platform.streaming.queues import Bound, Entry, Queue, Spilling
from order_book_platform.streaming.stage_metrics import StageMetrics, Stopwatch
from order_book_platform.streaming.workers import Worker

_END = object()


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a source yields in place of an item while it has none: not a step, so that it cannot be taken for a stall.

    Attributes:
        call: returns when it is worth to ask the source again. Called in the source's thread; a stream that ends
            meanwhile waits for it as long as for a step in progress.
    """

    call: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage does. All its calls come from one thread, one at a time.

    Attributes:
        name: for metrics, messages and the thread.
        work: one item to what comes of it, step by step; the stream may pause or end between two steps.
        finish: the last word, after the last item.
        flush: lets go of what the stage holds back; called between two steps when the stream cannot move on.
        inbox: bound of the queue in front of it.
        spilling: how that queue spills while memory is short; without it, it does not.
    """

    name: str
    work: Callable[[Any], Iterable[Any]]
    finish: Callable[[], Iterable[Any]] | None = None
    flush: Callable[[], None] | None = None
    inbox: Bound = Bound(items=8, bytes=64 * 1024 * 1024)  # noqa: RUF009 - frozen
    spilling: Spilling | None = None


@dataclass(frozen=True, slots=True)
class Measures:
    """How items are measured: in the thread, where they are made."""

    size_of: Callable[[Any], int]
    rows_of: Callable[[Any], int]


class _Need(Enum):
    """Why a stage's thread does not go on."""

    INPUT = "input"
    ROOM = "room behind"
    LEAVE = "leave to read the next item"
    CALL = "another call to be made"
    NOTHING = "nothing: it is done"


class _Task:
    """What the source and the stages share: a thread that steps through iterators, and a queue behind."""

    def __init__(self, name: str, measures: Measures, clock: Clock, outbox: Queue | None) -> None:
        self.name = name
        self.worker = Worker(name, clock, at_end=self._close)
        self._measures = measures
        self._clock = clock
        self._outbox = outbox
        self._iterator: Iterator[Any] | None = None
        self._made: Entry | None = None
        """Wants to be handed on."""
        self._items = self._rows = self._bytes = 0
        self._blocked_up = Stopwatch()
        self._blocked_down = Stopwatch()

    async def run(self) -> None:
        """In the loop: have the thread go on, and wait for what it needs, until it is done."""
        while (need := await self.worker.run(self._go_on)) is not _Need.NOTHING:
            await self._wait_for(need)
        if self._outbox is not None:
            self._outbox.end()

    async def _wait_for(self, need: _Need) -> None:
        if need is _Need.ROOM and self._outbox is not None and self._made is not None:
            self._blocked_down.start(self._clock.monotonic_ns())
            await self._outbox.room_for(self._made)
            self._blocked_down.stop(self._clock.monotonic_ns())

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _go_on(self) -> _Need:
        """Make step after step; what is needed to make the next one."""
        while not self.worker.is_called:
            self.worker.progress("handing on an item")
            if not self._hand_on():
                return _Need.ROOM
            need = self._prepare()
            if need is not None:
                return need
            self._step()
        return _Need.CALL

    def _prepare(self) -> _Need | None:
        """Have an iterator to step through, or say what is needed for that."""
        raise NotImplementedError

    def _over(self) -> None:
        """The iterator has come to its end."""

    def _step(self) -> None:
        item = _END if self._iterator is None else next(self._iterator, _END)
        if item is _END:
            self._close()
            self._over()
        else:
            self._take(item)

    def _take(self, item: Any) -> None:
        """What is made wants to be handed on."""
        if self._outbox is not None:
            self._made = Entry(item, self._measures.rows_of(item), self._measures.size_of(item))

    def _hand_on(self) -> bool:
        if self._made is None or self._outbox is None:
            return True
        if not self._outbox.offer(self._made):
            return False
        self._made = None
        return True

    def _close(self) -> None:
        """Let the iterator go, wherever it is."""
        iterator, self._iterator = self._iterator, None
        close = getattr(iterator, "close", None)
        if close is not None:
            close()

    def _count(self, rows: int, size_bytes: int) -> None:
        self._items += 1
        self._rows += rows
        self._bytes += size_bytes

    # --- in any thread ----------------------------------------------------------------------------------------------

    def _metrics(self, inbox: Queue | None, now_ns: int) -> StageMetrics:
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
    """Reads the source, one item at a time, as fast as pressure and the queue behind let it.

    Args:
        name: of the stage.
        source: stepped through and closed in the stage's thread.
        outbox: the queue behind.
        is_held: whether leave is needed for the next item; asked in the thread.
        leave: waits until the next item may be read; in the loop.
        measures: how items are measured.
        clock: measures times.
    """

    def __init__(
        self,
        name: str,
        source: Iterator[Any],
        outbox: Queue,
        is_held: Callable[[], bool],
        leave: Callable[[], Awaitable[None]],
        measures: Measures,
        clock: Clock,
    ) -> None:
        super().__init__(name, measures, clock, outbox)
        self._iterator = source
        self._is_held = is_held
        self._leave = leave
        self._has_leave = False

    def metrics(self, now_ns: int) -> StageMetrics:
        """What the source tells of itself; from any thread."""
        return self._metrics(None, now_ns)

    async def _wait_for(self, need: _Need) -> None:
        if need is _Need.LEAVE:
            self._blocked_down.start(self._clock.monotonic_ns())
            await self._leave()
            self._blocked_down.stop(self._clock.monotonic_ns())
            self._has_leave = True
        else:
            await super()._wait_for(need)

    def _prepare(self) -> _Need | None:
        if self._iterator is None:
            return _Need.NOTHING
        if self._is_held() and not self._has_leave:
            return _Need.LEAVE
        self._has_leave = False
        self.worker.progress("reading the next item")
        return None

    def _take(self, item: Any) -> None:
        if not isinstance(item, Waiting):
            super()._take(item)
            return
        self._blocked_up.start(self._clock.monotonic_ns())
        self.worker.wait_in(item.call)
        self._blocked_up.stop(self._clock.monotonic_ns())

    def _hand_on(self) -> bool:
        made = self._made
        handed_on = super()._hand_on()
        if made is not None and handed_on:
            self._count(made.rows, made.bytes)
        return handed_on


class StageTask(_Task):
    """Works off what is in the queue in front of a stage.

    Args:
        stage: what to do.
        inbox: the queue in front.
        outbox: the queue behind; what the last stage yields is ignored.
        measures: how items are measured.
        clock: measures times.
    """

    def __init__(
        self, stage: Stage, inbox: Queue, outbox: Queue | None, measures: Measures, clock: Clock
    ) -> None:
        super().__init__(stage.name, measures, clock, outbox)
        self.inbox = inbox
        self._stage = stage
        self._working_on: Entry | None = None
        self._finishing = False

    async def flush(self) -> None:
        """Have the stage let go of what it holds back, if it can and has not begun its last word."""
        if self._stage.flush is not None:
            await self.worker.run(self._flush, self._stage.flush)

    def metrics(self, now_ns: int) -> StageMetrics:
        """What the stage tells of itself; from any thread."""
        return self._metrics(self.inbox, now_ns)

    async def _wait_for(self, need: _Need) -> None:
        if need is _Need.INPUT:
            self._blocked_up.start(self._clock.monotonic_ns())
            await self.inbox.filled()
            self._blocked_up.stop(self._clock.monotonic_ns())
        else:
            await super()._wait_for(need)

    def _prepare(self) -> _Need | None:
        if self._iterator is not None:
            self.worker.progress("finishing" if self._finishing else "working on an item")
            return None
        if self._finishing:
            return _Need.NOTHING
        self.worker.progress("taking the next item")
        ended = self.inbox.ended  # looked at first: what came before the end is in the queue then
        entry = self.inbox.poll()
        if entry is not None:
            self.worker.progress("working on an item")
            self._working_on = entry
            self._iterator = iter(self._stage.work(entry.take_out()))
        elif not ended:
            return _Need.INPUT
        else:
            self.worker.progress("finishing")
            self._finishing = True
            self._iterator = iter(() if self._stage.finish is None else self._stage.finish())
        return None

    def _over(self) -> None:
        if self._working_on is not None:
            self._count(self._working_on.rows, self._working_on.bytes)
            self._working_on = None

    def _flush(self, flush: Callable[[], None]) -> None:
        self.worker.progress("flushing")
        if not self._finishing:
            flush()
