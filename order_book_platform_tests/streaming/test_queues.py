"""Queues: order, bounds, and the same out of them whether they spill or not."""

from __future__ import annotations

import asyncio
import pickle
import weakref
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.clock import ManualClock, SystemClock
from order_book_platform.streaming.queues import Bound, Entry, Queue, Spilling, SpillingQueue
from order_book_platform.streaming.workers import Worker
from order_book_platform_tests.streaming.streams import Item, Shelf, gone

SIZES = st.lists(st.integers(0, 30), max_size=40)
BOUNDS = st.builds(Bound, items=st.integers(1, 6), bytes=st.integers(1, 60))
TURNS = st.lists(st.integers(0, 3), min_size=1, max_size=20)


def entry(number: int, size_bytes: int = 1) -> Entry:
    """An entry whose item is a number."""
    return Entry(number, 1, size_bytes)


async def passed_through(
    queue: Queue, sizes: list[int], turns: list[int], look: Callable[[int], Awaitable[None]]
) -> list[int]:
    """Items as they come out, while both sides wait some turns of the loop before each; `look` sees each turn."""
    taken: list[int] = []

    async def wait(turn: int) -> None:
        for _ in range(turns[turn % len(turns)]):
            await asyncio.sleep(0)
        await look(turn)

    async def put() -> None:
        for number, size in enumerate(sizes):
            await wait(number)
            await queue.put(entry(number, size))
            await look(number)
        queue.end()

    async def take() -> None:
        while (found := await queue.take()) is not None:
            taken.append(found.item)
            await wait(7 + 3 * len(taken))

    await asyncio.gather(put(), take())
    return taken


@given(SIZES, BOUNDS, TURNS)
def test_order_and_bounds(sizes: list[int], bound: Bound, turns: list[int]) -> None:
    """Items come out as they went in, and no more of them are held than the bound says; one too large is alone."""
    queue = Queue(bound, SystemClock(), asyncio.Event())

    async def look(_: int) -> None:
        assert len(queue) <= bound.items
        assert queue.bytes <= bound.bytes or len(queue) == 1
        assert 0 <= queue.fill <= 1

    assert asyncio.run(passed_through(queue, sizes, turns, look)) == list(range(len(sizes)))
    assert (len(queue), queue.bytes, queue.oldest_since_ns) == (0, 0, None)


@settings(max_examples=60)
@given(SIZES, BOUNDS, BOUNDS, st.integers(1, 100), TURNS, st.lists(st.booleans(), min_size=1))
def test_spilling_changes_nothing(
    sizes: list[int], bound: Bound, keep: Bound, limit_bytes: int, turns: list[int], shortages: list[bool]
) -> None:
    """Spilling never, always, or now and then: the same items in the same order, and memory and spill are bounded."""
    shelf = Shelf()
    worker = Worker("spill", SystemClock())
    queue = SpillingQueue(bound, SystemClock(), asyncio.Event(), Spilling(shelf, keep, limit_bytes), worker)

    async def look(turn: int) -> None:
        held = len(queue) - len(queue._spilled)
        assert held <= max(bound.items, keep.items)
        assert queue.bytes <= max(bound.bytes, keep.bytes) or held == 1
        # What is moved out of memory when spilling begins may come on top of the limit.
        assert queue.spilled_bytes <= max(limit_bytes, bound.bytes + max(sizes))
        await queue.spill_while(shortages[turn % len(shortages)])

    worker.start()
    try:
        assert asyncio.run(passed_through(queue, sizes, turns, look)) == list(range(len(sizes)))
    finally:
        worker.close()
        assert worker.join(60)
    assert (len(queue), queue.bytes, queue.spilled_bytes, len(shelf.pickles)) == (0, 0, 0, 0)


def with_spill(
    test: Callable[[SpillingQueue, Shelf], Awaitable[None]], keep: Bound, limit_bytes: int
) -> None:
    """Run a test on a queue of 4 items and 100 bytes that can spill."""
    shelf, worker = Shelf(), Worker("spill", SystemClock())

    async def run() -> None:
        spilling = Spilling(shelf, keep, limit_bytes)
        await test(SpillingQueue(Bound(4, 100), SystemClock(), asyncio.Event(), spilling, worker), shelf)

    worker.start()
    try:
        asyncio.run(run())
    finally:
        worker.close()
        assert worker.join(60)


def test_spilling_begins_with_what_is_there() -> None:
    """Memory is given back though nobody puts, as when the source is paused."""

    async def test(queue: SpillingQueue, shelf: Shelf) -> None:
        for number in range(4):
            await queue.put(entry(number))
        await queue.spill_while(True)
        assert [pickle.loads(each) for each in shelf.pickles] == [1, 2, 3]
        assert (len(queue), queue.bytes, queue.spilled_bytes, queue.fill) == (4, 1, 3, 0.25)

    with_spill(test, keep=Bound(1, 100), limit_bytes=1000)


async def must_wait(queue: Queue, one: Entry) -> asyncio.Task[None]:
    """A put that is waiting for room."""
    task = asyncio.create_task(queue.put(one))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    assert queue.fill == 1.0
    return task


def test_spilling_takes_what_is_beyond_the_low_bound() -> None:
    """The newest items go, a put that waited is let in; back to normal, nothing is put until the spill is empty."""

    async def test(queue: SpillingQueue, shelf: Shelf) -> None:
        for number in range(4):
            await queue.put(entry(number))
        put = await must_wait(queue, entry(4))
        await queue.spill_while(True)
        await put
        assert [pickle.loads(each) for each in shelf.pickles] == [1, 2, 3, 4]
        assert (len(queue), queue.bytes, queue.spilled_bytes) == (5, 1, 4)
        await queue.spill_while(False)
        put = await must_wait(queue, entry(5))
        taken = [await queue.take() for _ in range(5)]
        await put
        taken.append(await queue.take())
        assert [each.item for each in taken if each] == [0, 1, 2, 3, 4, 5]
        assert shelf.most == 4

    with_spill(test, keep=Bound(1, 100), limit_bytes=1000)


def test_the_spill_is_bounded() -> None:
    """A put waits once the spill has its limit, and goes on when one was taken back."""

    async def test(queue: SpillingQueue, shelf: Shelf) -> None:
        await queue.spill_while(True)
        for number in range(3):
            await queue.put(entry(number, 50))
        assert (queue.bytes, queue.spilled_bytes, queue.fill) == (50, 100, 1.0)
        put = await must_wait(queue, entry(3, 50))
        first, second = await queue.take(), await queue.take()
        await put
        assert first is not None
        assert second is not None
        assert (first.item, second.item, second.bytes) == (0, 1, 50)
        assert shelf.most == 2

    with_spill(test, keep=Bound(1, 100), limit_bytes=100)


def test_errors_of_a_spill_come_out() -> None:
    """A full disk is met by who puts."""

    async def test(queue: SpillingQueue, shelf: Shelf) -> None:
        shelf.put = fail  # type: ignore[method-assign]
        await queue.spill_while(True)
        await queue.put(entry(0))
        with pytest.raises(OSError, match="disk full"):
            await queue.put(entry(1))

    def fail(item: object) -> None:
        raise OSError("disk full")

    with_spill(test, keep=Bound(1, 100), limit_bytes=100)


def test_age_and_fill() -> None:
    """The oldest item's time of arrival is told; the fullest of items and bytes counts."""
    clock = ManualClock()
    moved = asyncio.Event()

    async def test() -> None:
        queue = Queue(Bound(4, 100), clock, moved)
        clock.advance(5)
        await queue.put(entry(0, 60))
        clock.advance(5)
        await queue.put(entry(1, 1))
        assert (queue.oldest_since_ns, queue.fill, moved.is_set()) == (5, 0.61, False)
        await queue.take()
        assert (queue.oldest_since_ns, queue.fill, moved.is_set()) == (10, 0.25, True)
        queue.end()
        assert await queue.take() is not None
        assert await queue.take() is None

    asyncio.run(test())


def test_what_is_spilled_is_not_in_memory() -> None:
    """Neither the queue nor who still knows the entry keeps the item."""
    living: weakref.WeakSet[Item] = weakref.WeakSet()

    async def test(queue: SpillingQueue, shelf: Shelf) -> None:
        await queue.spill_while(True)
        entries = [Entry(Item(), 1, 1) for _ in range(4)]
        living.update(each.item for each in entries)
        for each in entries:
            await queue.put(each)
        first = await queue.take()
        assert first is entries[0]
        first.take_out()
        assert gone(living)

    with_spill(test, keep=Bound(1, 100), limit_bytes=100)
