"""A source, stages and a sink, run to their end, to an error, or until the caller is interrupted."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from order_book_platform.clock import NS_PER_SECOND, Clock, SystemClock, duration_text
from order_book_platform.errors import StallError
from order_book_platform.streaming.pressure import Backpressure, MemoryGuard, MemoryLevel, PressureLevel
from order_book_platform.streaming.queues import Queue, SpillingQueue
from order_book_platform.streaming.stage_metrics import StreamMetrics
from order_book_platform.streaming.stages import Measures, SourceTask, Stage, StageTask
from order_book_platform.streaming.workers import Worker

_LOGGER = logging.getLogger(__name__)

WATCH_S = 0.05
"""How often pressure and stalls are looked for; and, in the caller's thread, memory."""

OBSERVE_EVERY = 4
"""Looks at memory for one call of the observer: five a second."""


class Pipeline:
    """Joins a source and stages by bounded queues; each steps in a thread of its own, in strict order.

    The event loop has a thread, too: the caller's thread waits in `run`, measures memory, calls the observer and
    can be interrupted. A pipeline runs once.

    Args:
        source: what the stream is made of; stepped through and closed in a thread. It yields `Waiting` while it has
            nothing.
        stages: each gets what the one before yields; what the last one yields is ignored.
        size_of: bytes of an item, for bounds and metrics.
        rows_of: rows of an item, for metrics.
        source_name: of the source, as a stage.
        backpressure: how the source is held back; by default with its default thresholds.
        memory: what is gone without while memory is short; by default it is not looked at.
        observe: called with metrics a few times a second by the thread that called `run`.
        stall_after_ns: a step that lasts longer is a stall.
        grace_ns: how long steps in progress get when the stream ends before its end.
        clock: measures times.
    """

    def __init__(
        self,
        source: Iterator[Any],
        stages: Sequence[Stage],
        *,
        size_of: Callable[[Any], int],
        rows_of: Callable[[Any], int],
        source_name: str = "read",
        backpressure: Backpressure | None = None,
        memory: MemoryGuard | None = None,
        observe: Callable[[StreamMetrics], None] | None = None,
        stall_after_ns: int = 60 * NS_PER_SECOND,
        grace_ns: int = 5 * NS_PER_SECOND,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._backpressure = backpressure or Backpressure()
        self._memory = memory
        self._observe = observe
        self._stall_after_ns = stall_after_ns
        self._grace_s = grace_ns / NS_PER_SECOND

        measures = Measures(size_of, rows_of)
        self._queues = [self._queue(stage) for stage in stages]
        self._source = SourceTask(
            source_name, source, self._queues[0], self._is_held, self._leave, measures, self._clock
        )
        self._stages = [
            StageTask(stage, inbox, outbox, measures, self._clock)
            for stage, inbox, outbox in zip(stages, self._queues, [*self._queues[1:], None], strict=True)
        ]
        self._workers = [self._source.worker, *(stage.worker for stage in self._stages)]
        self._spilling = [queue for queue in self._queues if isinstance(queue, SpillingQueue)]
        self._spiller = Worker("spill", self._clock)
        self._workers += [self._spiller] if self._spilling else []

        self._thread = threading.Thread(target=self._serve, name="stream", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._moved = asyncio.Event()
        self._leave_is_wanted = False
        self._errands: set[asyncio.Task[None]] = set()
        self._memory_is_short = False
        self._stopping = False
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._stuck: list[Worker] = []

    def run(self) -> None:
        """Run to the end of the source, and until its last item is through.

        An error of a stage comes out as it is, with a note that names the stage. So does whatever interrupts the
        calling thread: KeyboardInterrupt, or the interrupt of an orchestrator. Either way the other stages are
        stopped between two steps, iterators are closed and threads joined; one whose step does not end within
        the grace is abandoned.

        Raises:
            StallError: a step lasted longer than `stall_after_ns`.
        """
        try:
            for worker in self._workers:
                worker.start()
            self._thread.start()
            self._wait()
        except BaseException as interrupt:
            self._end(interrupt)
            raise
        error, self._error = self._error, None
        error = self._end(error)
        try:
            if error is not None:
                raise error
        finally:
            del error  # it knows this frame, and through it whatever the stages held when it was raised

    def metrics(self) -> StreamMetrics:
        """What the stream tells of itself; at any time, from any thread."""
        now_ns = self._clock.monotonic_ns()
        memory = self._memory
        return StreamMetrics(
            stages=(self._source.metrics(now_ns), *(stage.metrics(now_ns) for stage in self._stages)),
            pressure=self._backpressure.level.name.lower(),
            memory=(MemoryLevel.NONE if memory is None else memory.level).name.lower(),
            transitions={
                **self._backpressure.transitions,
                **({} if memory is None else memory.transitions),
            },
        )

    def _queue(self, stage: Stage) -> Queue:
        if stage.spilling is None:
            return Queue(stage.inbox, self._clock, self._has_moved)
        return SpillingQueue(stage.inbox, self._clock, self._has_moved, stage.spilling)

    # --- in the caller's thread -------------------------------------------------------------------------------------

    def _wait(self) -> None:
        looks = 0
        while not self._ended.wait(WATCH_S):
            looks += 1
            if self._memory is not None:
                self._memory.check(self._clock.monotonic_ns())
            if self._observe is not None and looks % OBSERVE_EVERY == 0:
                self._observe(self.metrics())

    def _end(self, error: BaseException | None) -> BaseException | None:
        """Stop what still runs and wait for it, within the grace; the error that the run ends with, if any."""
        deadline = time.monotonic() + self._grace_s
        self._stopping = True
        for worker in self._workers:
            worker.close()
        if self._loop is not None:
            with suppress(RuntimeError):  # raised by a loop that is closed already
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.is_alive():
            self._thread.join()
        for worker in self._workers:
            if not worker.join(0 if worker in self._stuck else max(0.0, deadline - time.monotonic())):
                _LOGGER.warning("%s: still %s; abandoned", worker.name, worker.doing)
            elif worker.closing_error is not None:
                if error is None:
                    error = worker.closing_error
                    error.add_note(f"while stage {worker.name} of the stream was closed")
                else:
                    error.add_note(f"closing stage {worker.name} failed, too: {worker.closing_error!r}")
        return error

    # --- in other threads -------------------------------------------------------------------------------------------

    def _spill_while(self, queue: SpillingQueue, memory_is_short: bool) -> None:
        self._spiller.progress("writing to the spill")
        queue.spill_while(memory_is_short)

    def _is_held(self) -> bool:
        return self._backpressure.level > PressureLevel.NONE

    def _has_moved(self) -> None:
        """An item was taken from a queue: a source that waits may look at the level again."""
        if self._leave_is_wanted and self._loop is not None:
            self._leave_is_wanted = False
            with suppress(RuntimeError):  # raised by a loop that is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._moved.set)

    # --- in the loop's thread ---------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            asyncio.run(self._drive())
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            self._error = self._error or error
        finally:
            self._ended.set()

    async def _drive(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stopping:
            return
        running = [
            asyncio.create_task(self._guard(self._watch)),
            asyncio.create_task(self._guard(self._source.run, self._source.name)),
            *(asyncio.create_task(self._guard(stage.run, stage.name)) for stage in self._stages[:-1]),
            asyncio.create_task(self._guard(self._run_last, self._stages[-1].name)),
        ]
        await self._stop.wait()
        self._stopping = True
        running += self._errands
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)  # cancelled before it began, a task says so

    async def _run_last(self) -> None:
        await self._stages[-1].run()
        self._judge()  # queues are empty: back to normal, whenever the last look was
        self._stop.set()

    async def _guard(self, work: Callable[[], Awaitable[None]], name: str | None = None) -> None:
        """Do a part of the work; the first error of all ends the stream."""
        try:
            await work()
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            if self._stopping:
                return
            self._stopping = True
            if name is not None:
                error.add_note(f"in stage {name} of the stream")
            self._error = error
            self._stop.set()

    async def _leave(self) -> None:
        """Wait until the source may read on: while paused, and while throttled for a moment."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._backpressure.next_wait_ns() / NS_PER_SECOND
        while True:
            # The level is looked at again whenever an item moves: who sleeps on lets the stages behind run dry.
            self._moved.clear()
            self._leave_is_wanted = True
            level = self._judge()
            is_over = level == PressureLevel.THROTTLE and loop.time() >= until
            if is_over or level == PressureLevel.NONE:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until if level == PressureLevel.THROTTLE else None):
                    await self._moved.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            self._judge()
            self._moved.set()  # a source that is held looks at the level itself, too
            self._pass_on_shortage()
            self._look_for_stalls()

    def _judge(self) -> PressureLevel:
        """Find the level of backpressure; on reaching the last, have the stages flush and caches dropped."""
        before = self._backpressure.level
        fill = sum(queue.fill for queue in self._queues) / len(self._queues)
        level = self._backpressure.update(fill, self._clock.monotonic_ns())
        if level == PressureLevel.FLUSH != before:
            for stage in self._stages:
                self._begin(stage.flush, stage.name)
            if self._memory is not None:
                self._memory.release_soon()
        return level

    def _pass_on_shortage(self) -> None:
        """Tell the queues when memory becomes short, and when it is no longer."""
        memory_is_short = self._memory is not None and self._memory.spilling
        if memory_is_short != self._memory_is_short:
            self._memory_is_short = memory_is_short
            for queue in self._spilling:
                self._begin(partial(self._spiller.run, self._spill_while, queue, memory_is_short), "spill")

    def _begin(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Have something done that nobody waits for; its error ends the stream like any other."""
        task = asyncio.create_task(self._guard(work, name))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _look_for_stalls(self) -> None:
        now_ns = self._clock.monotonic_ns()
        self._stuck = [
            worker for worker in self._workers if worker.busy.running_ns(now_ns) > self._stall_after_ns
        ]
        if not self._stuck:
            return
        worker = max(self._stuck, key=lambda each: each.busy.running_ns(now_ns))
        waiting = [stage.inbox for stage in self._stages if stage.worker is worker]
        behind = "".join(f", {len(queue)} items waiting before it" for queue in waiting)
        raise StallError(
            expected=f"a step within {duration_text(self._stall_after_ns)}",
            found=f"none for {worker.busy.running_ns(now_ns) / NS_PER_SECOND:.1f} s, {worker.doing}{behind}",
            where=f"stage {worker.name} of the stream",
            remedy="Look at what the stage reads from or writes to; run again to go on from the last checkpoint.",
        )
