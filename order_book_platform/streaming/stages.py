"""One stage at work: a task that takes items, has a thread step through what comes of them, and hands that on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from order_book_platform.clock import Clock
from order_book_platform.streaming.metrics import StageMetrics, Stopwatch
from order_book_platform.streaming.queues import Bound, Entry, Queue, Spilling
from order_book_platform.streaming.workers import Worker

_END = object()


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


class _Task:
    """What the source and the stages share: a thread that steps through iterators, and a queue behind."""

    def __init__(self, name: str, measures: Measures, clock: Clock, outbox: Queue | None) -> None:
        self.name = name
        self.worker = Worker(name, clock, at_end=self._close)
        self._measures = measures
        self._clock = clock
        self._outbox = outbox
        self._iterator: Iterator[Any] | None = None
        self._items = self._rows = self._bytes = 0
        self._blocked_up = Stopwatch()
        self._blocked_down = Stopwatch()

    async def _give(self, entry: Entry) -> None:
        if self._outbox is not None:
            self._blocked_down.start(self._clock.monotonic_ns())
            await self._outbox.put(entry)
            self._blocked_down.stop(self._clock.monotonic_ns())

    def _end(self) -> None:
        if self._outbox is not None:
            self._outbox.end()

    def _count(self, rows: int, size_bytes: int) -> None:
        self._items += 1
        self._rows += rows
        self._bytes += size_bytes

    def _step(self, begin: Callable[[], Iterable[Any]] | None = None) -> Entry | None:
        """In the thread: the next item of the iterator, or of the new one that `begin` gives; none after its last."""
        if begin is not None:
            self._iterator = iter(begin())
        item = _END if self._iterator is None else next(self._iterator, _END)
        if item is _END:
            self._close()
            return None
        if self._outbox is None:
            return Entry(None, 0, 0)
        return Entry(item, self._measures.rows_of(item), self._measures.size_of(item))

    def _close(self) -> None:
        """In the thread: let the iterator go, wherever it is."""
        iterator, self._iterator = self._iterator, None
        close = getattr(iterator, "close", None)
        if close is not None:
            close()

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
    """Reads the source, one item at a time, as fast as `hold` and the queue behind let it.

    Args:
        name: of the stage.
        source: stepped through and closed in the stage's thread.
        outbox: the queue behind.
        hold: waits until the next item may be read.
        measures: how items are measured.
        clock: measures times.
    """

    def __init__(
        self,
        name: str,
        source: Iterator[Any],
        outbox: Queue,
        hold: Callable[[], Awaitable[None]],
        measures: Measures,
        clock: Clock,
    ) -> None:
        super().__init__(name, measures, clock, outbox)
        self._iterator = source
        self._hold = hold

    async def run(self) -> None:
        """Read to the end."""
        while True:
            self._blocked_down.start(self._clock.monotonic_ns())
            await self._hold()
            self._blocked_down.stop(self._clock.monotonic_ns())
            entry = await self.worker.run("reading the next item", self._step)
            if entry is None:
                break
            await self._give(entry)
            self._count(entry.rows, entry.bytes)
        self._end()

    def metrics(self, now_ns: int) -> StageMetrics:
        """What the source tells of itself; from any thread."""
        return self._metrics(None, now_ns)


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
        self._finishing = False

    async def run(self) -> None:
        """Work until there is no more input, then say the last word."""
        while True:
            self._blocked_up.start(self._clock.monotonic_ns())
            entry = await self.inbox.take()
            self._blocked_up.stop(self._clock.monotonic_ns())
            if entry is None:
                break
            await self._step_through("working on an item", partial(self._work, entry))
            self._count(entry.rows, entry.bytes)
        await self._step_through("finishing", self._finish)
        self._end()

    async def flush(self) -> None:
        """Have the stage let go of what it holds back, if it can and has not begun its last word."""
        if self._stage.flush is not None:
            await self.worker.run("flushing", self._flush, self._stage.flush)

    def metrics(self, now_ns: int) -> StageMetrics:
        """What the stage tells of itself; from any thread."""
        return self._metrics(self.inbox, now_ns)

    async def _step_through(self, doing: str, begin: Callable[[], Iterable[Any]] | None) -> None:
        while True:
            entry = await self.worker.run(doing, self._step, begin)
            begin = None
            if entry is None:
                return
            await self._give(entry)

    def _work(self, entry: Entry) -> Iterable[Any]:
        return self._stage.work(entry.take_out())

    def _finish(self) -> Iterable[Any]:
        self._finishing = True
        return () if self._stage.finish is None else self._stage.finish()

    def _flush(self, flush: Callable[[], None]) -> None:
        if not self._finishing:
            flush()
