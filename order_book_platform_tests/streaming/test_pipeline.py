"""Pipelines: order, bounds, errors, interrupts, pressure from both sides, and nothing left behind."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.clock import NS_PER_SECOND
from order_book_platform.observability import StreamMetrics
from order_book_platform.streaming import (
    Backpressure,
    Bound,
    MemoryGuard,
    SpillPolicy,
    Stage,
)
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.streaming.streams import Shelf, consumer, pipeline, same, sink

BOUNDS = st.builds(Bound, items=st.integers(1, 5), bytes=st.integers(1, 100))


class Interrupt(BaseException):
    """An interrupt as an orchestrator raises it in the main thread."""


def failing(error: BaseException, at: int = 3) -> Callable[[Any], Iterator[Any]]:
    """The work of a stage that fails at an item."""

    def work(item: int) -> Iterator[int]:
        if item == at:
            raise error
        yield item

    return work


def counting(closed: list[str]) -> Iterator[int]:
    """Yield numbers until the iterator is closed."""
    try:
        yield from itertools.count()
    finally:
        closed.append("source")


# --- order ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.lists(st.integers(0, 50), max_size=30), st.lists(BOUNDS, min_size=1, max_size=4))
def test_order_for_any_bounds_and_sizes(sizes: list[int], bounds: list[Bound]) -> None:
    """The items and their order do not depend on the bounds of the queues."""

    def with_number(item: int) -> Iterator[tuple[int, int]]:
        yield item, 0
        yield item, 1

    taken: list[tuple[int, int]] = []
    stages = [
        *(Stage(f"hand on {number}", same, inbox=bound) for number, bound in enumerate(bounds)),
        Stage("double", with_number),
    ]
    pipeline(iter(sizes), [*stages, sink(taken)]).run()
    assert taken == [(size, copy) for size in sizes for copy in (0, 1)]


def test_a_slow_reader_holds_nothing_up() -> None:
    """Each item is through to the end before the next one is read: nobody waits for a queue to fill."""
    arrived = threading.Semaphore(0)
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(20):
            yield number
            assert arrived.acquire(timeout=60)

    def use(item: int) -> None:
        taken.append(item)
        arrived.release()

    running = pipeline(source(), [Stage("one", same), Stage("two", same), Stage("last", consumer(use))])
    running.run()
    assert taken == list(range(20))


def test_a_slow_writer_holds_the_source_back(gate: threading.Event) -> None:
    """While the last stage takes its time, the source reads no further than the queues' bounds, and pauses."""
    read: list[int] = []
    taken: list[int] = []
    seen: list[tuple[int, StreamMetrics]] = []

    def source() -> Iterator[int]:
        for number in range(50):
            read.append(number)
            yield 1

    def write(item: int) -> None:
        gate.wait()
        taken.append(item)

    def observe(metrics: StreamMetrics) -> None:
        if metrics.pressure == "pause":
            seen.append((len(read), metrics))
            gate.set()

    inbox = Bound(4, 100)
    running = pipeline(
        source(),
        [Stage("hand on", same, inbox=inbox), Stage("write", consumer(write), inbox=inbox)],
        observe=observe,
    )
    running.run()
    assert len(taken) == 50
    read_then, metrics = seen[0]
    # Both queues full, one item in the writer's hand, and perhaps one in the middle stage's and the source's.
    assert 4 + 4 + 1 <= read_then <= 4 + 4 + 3
    assert [each.queue_items for each in metrics.stages] == [0, 4, 4]
    assert [each.queue_bytes for each in metrics.stages] == [0, 4, 4]
    assert metrics.stages[2].oldest_ns > 0
    assert metrics.stages[2].busy_ns > 0
    assert metrics.stages[0].blocked_down_ns > 0
    assert metrics.stages[1].blocked_down_ns > 0
    ended = running.metrics()
    assert [each.items for each in ended.stages] == [50, 50, 50]
    assert [each.queue_items for each in ended.stages] == [0, 0, 0]
    assert ended.transitions["throttle -> pause"] == ended.transitions["pause -> throttle"] >= 1
    assert ended.pressure == "none"


def test_a_pause_holds_the_source_though_there_is_room(gate: threading.Event) -> None:
    """It reads no further until the level has dropped, and then goes on."""
    looks: list[int] = []
    read: list[int] = []
    taken: list[int] = []

    def source() -> Iterator[int]:
        while not gate.is_set():
            read.append(1)
            yield 1
        yield from range(10)

    def write(item: int) -> None:
        gate.wait()
        taken.append(item)

    def observe(metrics: StreamMetrics) -> None:
        if metrics.pressure == "pause":
            looks.append(len(read))
            if len(looks) == 3:
                gate.set()

    stage = Stage("write", consumer(write), inbox=Bound(10**6, 10**9))
    backpressure = Backpressure(throttle=(2e-6, 1e-6), pause=(2e-6, 1e-6))
    pipeline(source(), [stage], backpressure=backpressure, observe=observe).run()
    assert looks[2] - looks[0] <= 1  # the step that was in progress
    assert taken == [1] * len(read) + list(range(10))


def test_all_is_normal_after_the_end(gate: threading.Event) -> None:
    """A source that has ended before the pause does not leave the level there."""

    def observe(metrics: StreamMetrics) -> None:
        if metrics.pressure == "pause":
            gate.set()

    stage = Stage("write", consumer(lambda item: gate.wait()), inbox=Bound(4, 100))
    running = pipeline(iter([1] * 5), [stage], observe=observe)
    running.run()
    assert running.metrics().pressure == "none"


# --- pressure -------------------------------------------------------------------------------------------------------


def test_a_long_pause_makes_stages_flush(gate: threading.Event) -> None:
    """Those that can are asked once, between two steps, memory is given back; the stream goes on, in order."""
    clock = ManualClock()
    taken: list[object] = []
    flushes: list[str] = []
    given: list[str] = []
    memory = MemoryGuard(1_000, sample=lambda: 0, release=lambda: given.append("memory"))

    def write(item: int) -> None:
        assert gate.wait(60)
        taken.append(item)

    def observe(metrics: StreamMetrics) -> None:
        if metrics.pressure == "pause" and not clock.monotonic_ns():
            clock.advance(11 * NS_PER_SECOND)
        if metrics.pressure == "flush" and given:
            gate.set()

    def flush_writer() -> None:
        flushes.append("writer")
        taken.append("flushed")

    stages = [
        Stage("middle", same, flush=lambda: flushes.append("middle"), inbox=Bound(2, 100)),
        Stage("write", consumer(write), flush=flush_writer, inbox=Bound(2, 100)),
    ]
    backpressure = Backpressure(flush_after_ns=10 * NS_PER_SECOND)
    pipeline(
        iter(range(1, 30)), stages, backpressure=backpressure, memory=memory, observe=observe, clock=clock
    ).run()
    assert sorted(flushes) == ["middle", "writer"]
    assert given == ["memory"]
    assert taken == [1, "flushed", *range(2, 30)]
    assert backpressure.transitions["pause -> flush"] == 1
    assert backpressure.level == 0


def test_an_error_while_flushing_is_the_stages_own(gate: threading.Event) -> None:
    """It ends the stream with a note that names the stage."""
    clock = ManualClock()

    def flush() -> None:
        raise OSError("no room")

    def observe(metrics: StreamMetrics) -> None:
        if metrics.pressure == "pause":
            clock.advance(11 * NS_PER_SECOND)
        if metrics.pressure == "flush":
            gate.set()

    stages = [Stage("write", consumer(lambda item: gate.wait()), flush=flush, inbox=Bound(2, 100))]
    with pytest.raises(OSError, match="no room") as raised:
        pipeline(itertools.count(), stages, observe=observe, clock=clock).run()
    assert raised.value.__notes__ == ["in stage write of the stream"]


def test_a_throttled_source_still_gets_there() -> None:
    """With thresholds that always throttle, each item waits for permission, and all come through."""
    taken: list[int] = []
    looked = threading.Event()
    waits: list[int] = []

    class Counted(Backpressure):
        def next_wait_ns(self) -> int:
            waits.append(super().next_wait_ns())
            return waits[-1]

    backpressure = Counted(throttle=(0.0, 0.0), longest_wait_ns=1_000_000)

    def source() -> Iterator[int]:
        yield 0
        assert looked.wait(60)
        yield from range(1, 10)

    def observe(metrics: StreamMetrics) -> None:
        if metrics.pressure == "throttle":
            looked.set()

    stage = Stage("keep", consumer(taken.append), inbox=Bound(1000, 1000))
    pipeline(source(), [stage], backpressure=backpressure, observe=observe).run()
    assert taken == list(range(10))
    assert backpressure.transitions == {"none -> throttle": 1}
    assert set(waits) == {1_000_000}
    assert len(waits) >= 9  # before each of items 2 to 9, and before the end


def test_short_memory_spills_and_comes_back(gate: threading.Event) -> None:
    """While memory is short a queue lets the source run ahead on disk; with memory back, order is what it was."""
    used_bytes = 1000
    dropped: list[None] = []
    shares: set[float] = set()
    shelf = Shelf()
    taken: list[int] = []
    full: list[StreamMetrics] = []
    memory = MemoryGuard(1000, sample=lambda: used_bytes, drop=lambda: dropped.append(None))

    def source() -> Iterator[int]:
        for _ in range(40):
            shares.add(memory.batch_share)
            yield 1

    def write(item: int) -> None:
        gate.wait()
        taken.append(item)

    def observe(metrics: StreamMetrics) -> None:
        nonlocal used_bytes
        if metrics.stages[1].spilled_bytes >= 15:
            full.append(metrics)
            used_bytes = 0 if len(full) == 2 else used_bytes
        if metrics.memory == "none" and dropped:
            gate.set()

    stage = Stage(
        "write", consumer(write), inbox=Bound(4, 100), spilling=SpillPolicy(shelf, Bound(1, 100), 20)
    )
    running = pipeline(source(), [stage], memory=memory, observe=observe, clock=ManualClock())
    running.run()
    assert taken == [1] * 40
    # In memory is no more than shall be, in the spill no more than may be.
    assert (full[1].memory, full[1].stages[1].queue_bytes) == ("spill", 1)
    assert 16 <= full[1].stages[1].queue_items <= 1 + 20
    assert 15 <= shelf.most <= 20
    assert not shelf.pickles
    assert dropped == [None]
    assert 0.125 in shares
    assert running.metrics().transitions["drop_caches -> spill"] == 1
    assert running.metrics().memory == "none"


def test_times_come_from_the_clock() -> None:
    """The duration of a step counts for its stage, and can be read while the step lasts."""
    clock = ManualClock()
    seen: list[int] = []

    def source() -> Iterator[int]:
        for number in range(3):
            clock.advance(7)
            seen.append(running.metrics().stages[0].busy_ns)
            yield number

    running = pipeline(source(), [sink([])], clock=clock)
    running.run()
    assert seen == [7, 14, 21]
    assert running.metrics().stages[0].busy_ns == 21


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("place", range(3))
def test_an_error_of_a_stage_ends_the_stream_as_itself(error: BaseException, place: int) -> None:
    """First, middle or last: the same object comes out, a note names the stage, and the source is closed."""
    error.__notes__ = []
    closed: list[str] = []
    stages = [Stage(f"stage {number}", failing(error) if number == place else same) for number in range(3)]
    with pytest.raises(type(error)) as raised:
        pipeline(counting(closed), stages).run()
    assert raised.value is error
    assert error.__notes__ == [f"in stage stage {place} of the stream"]
    assert closed == ["source"]


def test_an_error_of_the_source_or_of_a_last_word() -> None:
    """They are stages like the others."""

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("unreadable")

    def last_word() -> Iterator[int]:
        yield 7
        raise OSError("unwritable")

    taken: list[int] = []
    with pytest.raises(OSError, match="unreadable") as raised:
        pipeline(broken(), [Stage("one", same), sink(taken)], source_name="tail").run()
    assert raised.value.__notes__ == ["in stage tail of the stream"]
    with pytest.raises(OSError, match="unwritable") as raised:
        pipeline(iter([1]), [Stage("one", same, finish=last_word), sink(taken)]).run()
    assert raised.value.__notes__ == ["in stage one of the stream"]


def test_an_error_of_a_measure_is_that_of_the_stage_whose_item_it_is() -> None:
    """Sizes are taken where items are made."""
    with pytest.raises(ZeroDivisionError) as raised:
        pipeline(iter([1, 0]), [Stage("one", same)], size_of=lambda item: 1 // item).run()
    assert raised.value.__notes__ == ["in stage read of the stream"]


def test_a_stop_iteration_that_escapes_is_not_taken_for_an_end() -> None:
    """Python's own trap: it ends the stream with an error, as it would end a generator."""

    def work(item: int) -> Iterator[int]:
        return iter([next(iter(()))])

    with pytest.raises(RuntimeError, match="StopIteration"):
        pipeline(iter([1]), [Stage("one", work)]).run()


def test_an_error_while_closing_does_not_hide_the_first() -> None:
    """It is a note on what led there; without anything before, it is the error."""

    class Source:
        def __init__(self, last: int) -> None:
            self._numbers = iter(range(last))

        def __iter__(self) -> Source:
            return self

        def __next__(self) -> int:
            return next(self._numbers)

        def close(self) -> None:
            raise OSError("cannot close")

    stages = [Stage("one", failing(ValueError("first"), at=0), inbox=Bound(1, 100))]
    with pytest.raises(ValueError, match="first") as raised:
        pipeline(Source(10**9), stages).run()
    assert raised.value.__notes__ == [
        "in stage one of the stream",
        "closing stage read failed, too: OSError('cannot close')",
    ]
    with pytest.raises(OSError, match="cannot close"):
        pipeline(Source(0), stages).run()


def test_a_pipeline_runs_once() -> None:
    """A second run is refused instead of being silently empty."""
    taken: list[int] = []
    running = pipeline(iter([1]), [sink(taken)])
    running.run()
    with pytest.raises(RuntimeError, match="threads can only be started once"):
        running.run()
    assert taken == [1]


# --- interrupts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, Interrupt])
def test_an_interrupt_ends_the_stream_between_two_steps(interrupt: type[BaseException]) -> None:
    """Steps in progress end, iterators are closed in their threads, and the interrupt goes on to the caller."""
    closed: list[str] = []
    inside = threading.Event()
    source_closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread().name)
            source_closed.set()

    def work(item: int) -> Iterator[int]:
        inside.set()
        try:
            assert source_closed.wait(60)  # a step that lasts until the stream is being closed
            yield item
            raise AssertionError
        finally:
            closed.append(threading.current_thread().name)

    def observe(metrics: StreamMetrics) -> None:
        if inside.is_set():
            raise interrupt

    with pytest.raises(interrupt):
        pipeline(source(), [Stage("work", work)], observe=observe, grace_ns=60 * NS_PER_SECOND).run()
    assert closed == ["read", "work"]


def test_an_interrupt_before_anything_has_begun() -> None:
    """A stream that is stopped at once leaves no task or thread behind, and closes its source."""
    closed: list[str] = []
    source = counting(closed)
    next(source)
    running = pipeline(source, [Stage("one", same)])
    running._stop.set()
    running.run()
    assert closed == ["source"]
    assert [each.items for each in running.metrics().stages] == [0, 0]


def test_ctrl_c_is_heard_while_the_stream_runs() -> None:
    """A signal reaches the waiting main thread, whichever thread the system chose for it."""
    closed: list[str] = []

    def work(item: int) -> Iterator[int]:
        if item == 5:
            os.kill(os.getpid(), signal.SIGINT)
        yield item

    # Where tests run in the background of a shell, Python found the signal ignored and left it so.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            pipeline(counting(closed), [Stage("work", work)]).run()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert closed == ["source"]


def test_a_step_that_does_not_end_is_abandoned(
    gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """The interrupt is not held up by it; what it yields when it wakes up goes nowhere, and it is closed then."""
    taken: list[int] = []
    inside = threading.Event()
    woken = threading.Event()

    def work(item: int) -> Iterator[int]:
        inside.set()
        try:
            gate.wait()
            yield item
        finally:
            woken.set()

    def observe(metrics: StreamMetrics) -> None:
        if inside.is_set():
            raise KeyboardInterrupt

    running = pipeline(iter([1, 2]), [Stage("work", work), sink(taken)], observe=observe, grace_ns=1)
    with pytest.raises(KeyboardInterrupt):
        running.run()
    assert "work (abandoned)" in [thread.name for thread in threading.enumerate()]
    assert "work: still working on an item; abandoned" in caplog.messages
    gate.set()
    assert woken.wait(60)
    assert taken == []


def test_inside_a_running_loop() -> None:
    """The caller may have an event loop of its own, as in a notebook, which is not touched."""
    taken: list[int] = []

    async def cell() -> None:
        pipeline(iter([1, 2, 3]), [Stage("one", same), sink(taken)]).run()
        await asyncio.sleep(0)

    asyncio.run(cell())
    assert taken == [1, 2, 3]


def test_outside_the_main_thread() -> None:
    """A thread of the caller's may run a stream as well."""
    taken: list[int] = []
    thread = threading.Thread(target=pipeline(iter([1, 2, 3]), [sink(taken)]).run)
    thread.start()
    thread.join()
    assert taken == [1, 2, 3]
