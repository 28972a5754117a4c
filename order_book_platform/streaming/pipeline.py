"""A pipeline runs a source and its stages to the end, to an error or an interrupt, and again if it stalls."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from order_book_platform.clock import NS_PER_SECOND, Clock, duration_text
from order_book_platform.errors import StallError
from order_book_platform.observability import StreamMetrics
from order_book_platform.streaming.pressure import Backpressure, MemoryGuard, MemoryLevel, PressureLevel
from order_book_platform.streaming.queues import Entry, Queue, SpillingQueue
from order_book_platform.streaming.stages import SourceTask, Stage, StageTask
from order_book_platform.streaming.workers import Worker

_LOGGER = logging.getLogger(__name__)

WATCH_S = 0.05
"""Interval of the checks of pressure and stalls and, in the caller's thread, of memory."""

OBSERVE_EVERY = 4
"""Checks of memory for one call of the observer, which is then called five times a second."""


class Pipeline:
    """Joins a source and stages by bounded queues; each works in a thread of its own, and items keep their order.

    The event loop has a thread, too: the caller's thread waits in `run`, measures memory, calls `observe` with metrics
    a few times a second and can be interrupted. A pipeline runs once.

    The source is stepped through and closed in a thread, and yields `Waiting` while it has no item. Items of the last
    stage are ignored. `size_of` measures the bytes of an item, and `rows_of` counts its rows. Without a `memory` guard
    memory is not measured. A step that lasts longer than `stall_after_ns` is a stall; steps in progress get `grace_ns`
    to end when the stream is stopped.
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
        self._clock = clock = clock or Clock()
        self._backpressure = backpressure or Backpressure()
        self._memory = memory
        self._observe = observe
        self._stall_after_ns = stall_after_ns
        self._grace_s = grace_ns / NS_PER_SECOND

        def measure(item: Any) -> Entry:
            return Entry(item, rows_of(item), size_of(item))

        self._queues = queues = [self._queue(stage) for stage in stages]
        self._source = SourceTask(
            source_name, source, queues[0], measure, clock, self._backpressure, self._wait_for_permission
        )
        self._stages = [
            StageTask(stage, inbox, outbox, measure, clock)
            for stage, inbox, outbox in zip(stages, queues, [*queues[1:], None], strict=True)
        ]
        self._workers = [self._source.worker, *(stage.worker for stage in self._stages)]
        self._spilling = [queue for queue in queues if isinstance(queue, SpillingQueue)]
        self._spiller = Worker("spill", self._clock)
        self._workers += [self._spiller] if self._spilling else []

        self._thread = threading.Thread(target=self._serve, name="stream", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._item_taken = asyncio.Event()
        self._permission_is_awaited = False
        self._background_tasks: set[asyncio.Task[None]] = set()
        self._memory_is_short = False
        self._stopping = False
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._stuck: list[Worker] = []

    def run(self) -> None:
        """Run until the source has ended and its last item has passed all stages.

        An error of a stage is raised as it is, with a note that names the stage. So is whatever interrupts the calling
        thread, such as KeyboardInterrupt or the interrupt of an orchestrator. Either way the other stages are stopped
        between two steps, iterators are closed and threads joined; a thread whose step does not end within the grace
        period is abandoned.

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
        error = self._end(self._error)
        self._error = None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback refers to this frame, which would keep alive what the stages held

    def metrics(self) -> StreamMetrics:
        """Return the metrics of the stream; at any time, from any thread."""
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
            return Queue(stage.inbox, self._clock, self._note_taken)
        return SpillingQueue(stage.inbox, self._clock, self._note_taken, stage.spilling)

    # --- in the caller's thread -------------------------------------------------------------------------------------

    def _wait(self) -> None:
        checks = 0
        while not self._ended.wait(WATCH_S):
            checks += 1
            if self._memory is not None:
                self._memory.check(self._clock.monotonic_ns())
            if self._observe is not None and checks % OBSERVE_EVERY == 0:
                self._observe(self.metrics())

    def _end(self, error: BaseException | None) -> BaseException | None:
        """Stop all threads and wait for them within the grace period; returns the error that the run ends with."""
        deadline = time.monotonic() + self._grace_s
        self._stopping = True
        for worker in self._workers:
            worker.close()
        if self._loop is not None:
            with suppress(RuntimeError):  # raised by a closed loop
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
        self._spiller.begin_step("writing to the spill")
        queue.spill_while(memory_is_short)

    def _note_taken(self) -> None:
        """Note that an entry was taken from a queue: a source that is held checks the level again."""
        if self._permission_is_awaited and self._loop is not None:
            self._permission_is_awaited = False
            with suppress(RuntimeError):  # raised by a closed loop: nobody waits any more
                self._loop.call_soon_threadsafe(self._item_taken.set)

    # --- in the loop's thread ---------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            asyncio.run(self._drive())
        except BaseException as error:  # noqa: BLE001 - whatever it is, `run` raises it and waits no longer
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
        running += self._background_tasks
        for task in running:
            task.cancel()
        # A task that was cancelled before it began raises that.
        await asyncio.gather(*running, return_exceptions=True)

    async def _run_last(self) -> None:
        await self._stages[-1].run()
        self._update_pressure()  # the queues are empty: the level falls without waiting for the next check
        self._stop.set()

    async def _guard(self, work: Callable[[], Awaitable[None]], name: str | None = None) -> None:
        """Await a part of the work; the first error ends the stream."""
        try:
            await work()
        except BaseException as error:  # noqa: BLE001 - a stage may raise anything; it is raised by `run`
            if self._stopping:
                return
            self._stopping = True
            if name is not None:
                error.add_note(f"in stage {name} of the stream")
            self._error = error
            self._stop.set()

    async def _wait_for_permission(self) -> None:
        """Wait while the source is paused, or for a moment if it is throttled."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._backpressure.next_wait_ns() / NS_PER_SECOND
        while True:
            # Checked again whenever an item is taken: a longer sleep would let the stages behind run dry.
            self._item_taken.clear()
            self._permission_is_awaited = True
            level = self._update_pressure()
            is_over = level == PressureLevel.THROTTLE and loop.time() >= until
            if is_over or level == PressureLevel.NONE:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until if level == PressureLevel.THROTTLE else None):
                    await self._item_taken.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            self._update_pressure()
            self._item_taken.set()  # a source that is held checks the level itself, too
            self._update_spilling()
            self._look_for_stalls()

    def _update_pressure(self) -> PressureLevel:
        """Update the level of backpressure; on reaching the last, make stages flush and free memory return."""
        before = self._backpressure.level
        fill = sum(queue.fill for queue in self._queues) / len(self._queues)
        level = self._backpressure.update(fill, self._clock.monotonic_ns())
        if level == PressureLevel.FLUSH != before:
            for stage in self._stages:
                self._start_in_background(stage.flush, stage.name)
            if self._memory is not None:
                self._memory.release_soon()
        return level

    def _update_spilling(self) -> None:
        """Make the queues spill when memory becomes short, and end it when it is no longer."""
        memory_is_short = self._memory is not None and self._memory.spilling
        if memory_is_short != self._memory_is_short:
            self._memory_is_short = memory_is_short
            for queue in self._spilling:
                work = partial(self._spiller.run, self._spill_while, queue, memory_is_short)
                self._start_in_background(work, "spill")

    def _start_in_background(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        """Start work that nobody waits for; its error ends the stream like any other."""
        task = asyncio.create_task(self._guard(work, name))
        self._background_tasks.add(task)
        task.add_done_callback(self._background_tasks.discard)

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


def run_with_restarts(make_pipeline: Callable[[int], Pipeline], restarts: int = 3) -> int:
    """Run a pipeline; if it stalls, run another one, and return how many restarts were needed.

    A stalled step cannot be ended from outside: it may still be at work, and it may wake up later. So each pipeline has
    to write to other files than the one before. `make_pipeline` makes that of an attempt, numbered from 0, which goes
    on from the last checkpoint. Any other error ends the run; a `StallError` of the last attempt names all stalls.
    """
    stalls: list[StallError] = []
    for attempt in range(restarts + 1):
        try:
            make_pipeline(attempt).run()
        except StallError as stall:
            stalls.append(stall)
            _LOGGER.warning("attempt %d of %d stalled: %s", attempt + 1, restarts + 1, stall)
        else:
            return attempt
    last = stalls[-1]
    raise StallError(
        expected=f"no stall in one of {len(stalls)} attempts",
        found="; ".join(f"{number}: {each.where}, {each.found}" for number, each in enumerate(stalls, 1)),
        where=last.where,
        remedy=last.remedy,
    ) from last
