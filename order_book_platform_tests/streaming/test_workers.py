"""Worker threads: calls in order, errors to callers, ends that nobody waits for; stopwatches; items read ahead."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Iterator

import pytest

from order_book_platform.clock import Clock
from order_book_platform.streaming import read_ahead
from order_book_platform.streaming.workers import Stopwatch, Worker
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.streaming.streams import Item, gone


def test_calls_are_made_in_order_in_one_thread() -> None:
    """Calls are made in the order of the requests, in a thread that is not the loop's."""
    calls: list[tuple[int, str]] = []
    worker = Worker("a worker", Clock())

    def call(number: int) -> int:
        calls.append((number, threading.current_thread().name))
        return 10 * number

    async def ask() -> list[int]:
        return await asyncio.gather(*(worker.run(call, number) for number in range(5)))

    worker.start()
    assert asyncio.run(ask()) == [0, 10, 20, 30, 40]
    worker.close()
    assert worker.join(60)
    assert calls == [(number, "a worker") for number in range(5)]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_errors_come_out_as_they_are(error: BaseException) -> None:
    """An error in the thread is raised where the call was requested, and the next call is made."""
    worker = Worker("a worker", Clock())

    def fail() -> None:
        raise error

    async def ask() -> int:
        with pytest.raises(type(error)) as raised:
            await worker.run(fail)
        assert raised.value is error
        return await worker.run(int, "7")

    worker.start()
    assert asyncio.run(ask()) == 7
    worker.close()
    assert worker.join(60)


def test_time_is_measured_inside_calls_only() -> None:
    """The clock moves inside a call and outside of one; the first counts."""
    clock = ManualClock()
    worker = Worker("a worker", clock)

    async def ask() -> None:
        await worker.run(clock.advance, 7)
        clock.advance(1000)
        await worker.run(clock.advance, 5)

    worker.start()
    asyncio.run(ask())
    worker.close()
    assert worker.join(60)
    assert worker.busy.read_ns(clock.monotonic_ns()) == 12


def test_a_long_call_tells_of_its_progress(gate: threading.Event) -> None:
    """Between two steps the time of the last one is over; it hears of others that wait, and of being closed."""
    clock = ManualClock()
    worker = Worker("a worker", clock)
    asked = threading.Event()
    seen: list[object] = []

    def call() -> None:
        for step in ("one", "two"):
            worker.begin_step(step)
            clock.advance(7)
            now_ns = clock.monotonic_ns()
            seen.append((worker.doing, worker.busy.running_ns(now_ns), worker.busy.read_ns(now_ns)))
        seen.append(worker.should_return)
        gate.wait()
        seen.append(worker.should_return)

    async def ask() -> None:
        calls = [asyncio.create_task(worker.run(each)) for each in (call, asked.set)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*calls)

    worker.start()
    asyncio.run(ask())
    assert seen[:2] == [("one", 7, 7), ("two", 7, 14)]
    assert seen[3] is True
    assert not worker.should_return
    worker.close()
    assert worker.should_return
    assert worker.join(60)


def test_an_idle_worker_holds_nothing() -> None:
    """The result of a call is not kept until the next call."""
    living: weakref.WeakSet[Item] = weakref.WeakSet()
    worker = Worker("a worker", Clock())

    async def ask() -> None:
        living.add(await worker.run(Item))

    worker.start()
    asyncio.run(ask())
    assert gone(living)
    worker.close()
    assert worker.join(60)


def test_the_last_act_comes_after_the_call_in_progress_and_before_those_not_begun(
    gate: threading.Event,
) -> None:
    """Closing lets a call end, drops what was not begun, and keeps what the last act raises."""
    done: list[str] = []
    inside = threading.Event()

    def last() -> None:
        done.append("last act")
        raise OSError("cannot close")

    worker = Worker("a worker", Clock(), at_end=last)

    def call() -> None:
        inside.set()
        gate.wait()
        done.append("call in progress")

    async def ask() -> None:
        tasks = [
            asyncio.create_task(worker.run(call)),
            asyncio.create_task(worker.run(done.append, "never")),
        ]
        while not inside.is_set():
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    worker.start()
    asyncio.run(ask())
    worker.close()
    gate.set()
    assert worker.join(60)
    assert done == ["call in progress", "last act"]
    assert isinstance(worker.closing_error, OSError)


def test_a_call_that_hangs_is_abandoned(gate: threading.Event) -> None:
    """Waiting ends without the thread; its loop is gone, so what it returns much later goes nowhere."""
    inside = threading.Event()
    ended = threading.Event()
    worker = Worker("a worker", Clock(), at_end=ended.set)

    def call() -> None:
        inside.set()
        gate.wait()

    async def ask() -> None:
        task = asyncio.create_task(worker.run(call))
        while not inside.is_set():
            await asyncio.sleep(0)
        task.cancel()

    worker.start()
    asyncio.run(ask())
    worker.close()
    assert not worker.join(0)
    assert "a worker (abandoned)" in [thread.name for thread in threading.enumerate()]
    gate.set()
    assert ended.wait(60)


def test_a_stopwatch_adds_up() -> None:
    """Times are added; the running one counts before it is stopped, and is told apart."""
    watch = Stopwatch()
    assert (watch.read_ns(5), watch.running_ns(5)) == (0, 0)
    watch.start(10)
    assert (watch.read_ns(13), watch.running_ns(13)) == (3, 3)
    watch.stop(14)
    assert (watch.read_ns(99), watch.running_ns(99)) == (4, 0)
    watch.start(100)
    assert (watch.read_ns(101), watch.running_ns(101)) == (5, 1)
    watch.lap(103)
    assert (watch.read_ns(105), watch.running_ns(105)) == (9, 2)


def threads() -> list[str]:
    """List the prefetch threads that still run."""
    return [thread.name for thread in threading.enumerate() if thread.name == "read ahead"]


@pytest.mark.parametrize("most", [1, 3])
def test_the_same_items_and_never_too_many(most: int) -> None:
    """Made while those before are worked on: one in the making, so many waiting, one in hand."""
    made = 0
    enough = threading.Semaphore(0)

    def numbers() -> Iterator[int]:
        nonlocal made
        for number in range(50):
            made += 1
            enough.release()
            yield number

    found = []
    for taken, number in enumerate(read_ahead(numbers(), most), 1):
        found.append(number)
        if taken == 1:
            for _ in range(most + 2):
                assert enough.acquire(timeout=10)
        assert made <= taken + most + 1
    assert found == list(range(50))
    assert not threads()


def test_an_error_comes_where_the_item_would_have() -> None:
    """After all items before it, as it was raised."""

    def numbers() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    reading = read_ahead(numbers())
    assert [next(reading), next(reading)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(reading)
    assert not threads()


def test_who_leaves_early_closes_the_iterator() -> None:
    """A consumer that stops early waits until the iterator has been closed in its own thread."""
    closed_in = []

    def numbers() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed_in.append(threading.current_thread().name)

    reading = read_ahead(numbers())
    assert next(reading) == 1
    reading.close()  # type: ignore[attr-defined]
    assert closed_in == ["read ahead"]
    assert not threads()
