"""Queues keep order and bounds, and give the same items whether they spill or not."""

from __future__ import annotations

import asyncio
import pickle
import sys
import threading
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.clock import Clock
from order_book_platform.streaming.queues import Bound, Entry, Queue, SpillingQueue, SpillPolicy
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.streaming.streams import Item, Shelf, gone

SIZES = st.lists(st.integers(0, 30), max_size=40)
BOUNDS = st.builds(Bound, items=st.integers(1, 6), bytes=st.integers(1, 60))
TURNS = st.lists(st.integers(0, 3), min_size=1, max_size=20)


def entry(number: int, size_bytes: int = 1) -> Entry:
    """Make an entry whose item is a number."""
    return Entry(number, 1, size_bytes)


def moved() -> None:
    """Ignore the call that a queue makes for each taken item."""


async def put(queue: Queue, one: Entry) -> None:
    """Offer an entry until it is taken."""
    while not queue.offer(one):
        await queue.wait_for_space(one)


async def take(queue: Queue) -> Entry | None:
    """Poll until there is an entry; none after the last."""
    while True:
        ended = queue.ended
        one = queue.poll()
        if one is not None or ended:
            return one
        await queue.wait_for_entry()


async def passed_through(
    queue: Queue, sizes: list[int], turns: list[int], look: Callable[[int], None]
) -> list[int]:
    """Return the items in order, with some turns of the loop before each put and take; `look` is called each turn."""
    taken: list[int] = []

    async def wait(turn: int) -> None:
        for _ in range(turns[turn % len(turns)]):
            await asyncio.sleep(0)
        look(turn)

    async def put_all() -> None:
        for number, size in enumerate(sizes):
            await wait(number)
            await put(queue, entry(number, size))
            look(number)
        queue.end()

    async def take_all() -> None:
        while (found := await take(queue)) is not None:
            taken.append(found.item)
            await wait(7 + 3 * len(taken))

    await asyncio.gather(put_all(), take_all())
    return taken


@given(SIZES, BOUNDS, TURNS)
def test_order_and_bounds(sizes: list[int], bound: Bound, turns: list[int]) -> None:
    """Items come out as they went in, and no more of them are held than the bound says; one too large is alone."""
    queue = Queue(bound, Clock(), moved)

    def look(_: int) -> None:
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
    queue = SpillingQueue(bound, Clock(), moved, SpillPolicy(shelf, keep, limit_bytes))

    def look(turn: int) -> None:
        held = len(queue) - len(queue._spilled)
        assert held <= max(bound.items, keep.items)
        assert queue.bytes <= max(bound.bytes, keep.bytes) or held == 1
        # What is moved out of memory when spilling begins may come on top of the limit.
        assert queue.spilled_bytes <= max(limit_bytes, bound.bytes + max(sizes))
        queue.spill_while(shortages[turn % len(shortages)])

    assert asyncio.run(passed_through(queue, sizes, turns, look)) == list(range(len(sizes)))
    assert (len(queue), queue.bytes, queue.spilled_bytes, len(shelf.pickles)) == (0, 0, 0, 0)


@settings(max_examples=8)
@given(BOUNDS, BOUNDS, st.integers(1, 100), st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_threads_may_put_take_and_toggle_at_once(
    bound: Bound, keep: Bound, limit_bytes: int, sizes: list[int]
) -> None:
    """One that puts, one that takes, one that turns spilling on and off: still the same items in the same order."""
    queue = SpillingQueue(bound, Clock(), moved, SpillPolicy(Shelf(), keep, limit_bytes))
    numbers = range(5 * len(sizes))
    taken: list[int] = []
    done = threading.Event()

    def put_all() -> None:
        for number in numbers:
            one = entry(number, sizes[number % len(sizes)])
            while not queue.offer(one):
                pass

    def take_all() -> None:
        while len(taken) < len(numbers):
            one = queue.poll()
            if one is not None:
                taken.append(one.item)
        done.set()

    def toggle() -> None:
        while not done.is_set():
            queue.spill_while(True)
            queue.spill_while(False)

    threads = [threading.Thread(target=each) for each in (put_all, take_all, toggle)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads take turns after every few lines
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert taken == list(numbers)
    assert (len(queue), queue.bytes, queue.spilled_bytes) == (0, 0, 0)


def spilling_queue(keep: Bound, limit_bytes: int) -> tuple[SpillingQueue, Shelf]:
    """Make a queue of 4 items and 100 bytes that can spill, and its spill."""
    shelf = Shelf()
    return SpillingQueue(Bound(4, 100), Clock(), moved, SpillPolicy(shelf, keep, limit_bytes)), shelf


async def must_wait(queue: Queue, one: Entry) -> asyncio.Task[None]:
    """Start a put that waits for space."""
    task = asyncio.create_task(put(queue, one))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    assert queue.fill == 1.0
    return task


def test_spilling_begins_with_what_is_there() -> None:
    """Memory is given back though nobody puts, as when the source is paused."""
    queue, shelf = spilling_queue(keep=Bound(1, 100), limit_bytes=1000)
    for number in range(4):
        assert queue.offer(entry(number))
    queue.spill_while(True)
    assert [pickle.loads(each) for each in shelf.pickles] == [1, 2, 3]
    assert (len(queue), queue.bytes, queue.spilled_bytes, queue.fill) == (4, 1, 3, 0.25)


def test_spilling_and_back() -> None:
    """A put that waited is let in; back to normal, nothing is put until the spill is empty."""

    async def test() -> None:
        queue, shelf = spilling_queue(keep=Bound(1, 100), limit_bytes=1000)
        for number in range(4):
            assert queue.offer(entry(number))
        waiting = await must_wait(queue, entry(4))
        queue.spill_while(True)
        await waiting
        assert [pickle.loads(each) for each in shelf.pickles] == [1, 2, 3, 4]
        assert (len(queue), queue.bytes, queue.spilled_bytes) == (5, 1, 4)
        queue.spill_while(False)
        waiting = await must_wait(queue, entry(5))
        taken = [await take(queue) for _ in range(5)]
        await waiting
        taken.append(queue.poll())
        assert [each.item for each in taken if each] == [0, 1, 2, 3, 4, 5]
        assert shelf.most == 4

    asyncio.run(test())


def test_a_put_that_waits_for_space_may_spill() -> None:
    """Though there is nothing to be moved out of memory, a put that waits is let in when memory becomes short."""

    async def test() -> None:
        shelf = Shelf()
        queue = SpillingQueue(Bound(1, 100), Clock(), moved, SpillPolicy(shelf, Bound(1, 100), 100))
        assert queue.offer(entry(0))
        waiting = await must_wait(queue, entry(1))
        queue.spill_while(True)
        await waiting
        assert (queue.bytes, queue.spilled_bytes, len(shelf.pickles)) == (1, 1, 1)

    asyncio.run(test())


def test_the_spill_is_bounded() -> None:
    """A put waits once the spill has its limit, and goes on when one was taken back."""

    async def test() -> None:
        queue, shelf = spilling_queue(keep=Bound(1, 100), limit_bytes=100)
        queue.spill_while(True)
        for number in range(3):
            assert queue.offer(entry(number, 50))
        assert (queue.bytes, queue.spilled_bytes, queue.fill) == (50, 100, 1.0)
        waiting = await must_wait(queue, entry(3, 50))
        first, second = queue.poll(), queue.poll()
        await waiting
        assert first is not None
        assert second is not None
        assert (first.item, second.item, second.bytes) == (0, 1, 50)
        assert shelf.most == 2

    asyncio.run(test())


def test_errors_of_a_spill_come_out() -> None:
    """A full disk is met by who puts."""

    def fail(item: object) -> None:
        raise OSError("disk full")

    queue, shelf = spilling_queue(keep=Bound(1, 100), limit_bytes=100)
    shelf.put = fail  # type: ignore[method-assign]
    queue.spill_while(True)
    assert queue.offer(entry(0))
    with pytest.raises(OSError, match="disk full"):
        queue.offer(entry(1))


def test_what_is_spilled_is_not_in_memory() -> None:
    """Neither the queue nor who still knows the entry keeps the item."""
    living: weakref.WeakSet[Item] = weakref.WeakSet()
    queue, _ = spilling_queue(keep=Bound(1, 100), limit_bytes=100)
    queue.spill_while(True)
    entries = [Entry(Item(), 1, 1) for _ in range(4)]
    living.update(each.item for each in entries)
    for each in entries:
        assert queue.offer(each)
    first = queue.poll()
    assert first is entries[0]
    first.take_item()
    assert gone(living)


def test_age_and_fill() -> None:
    """The oldest item's time of arrival is told; the fullest of items and bytes counts; each taking is told."""
    clock = ManualClock()
    told: list[None] = []
    queue = Queue(Bound(4, 100), clock, lambda: told.append(None))
    clock.advance(5)
    assert queue.offer(entry(0, 60))
    clock.advance(5)
    assert queue.offer(entry(1, 1))
    assert (queue.oldest_since_ns, queue.fill, len(told)) == (5, 0.61, 0)
    assert queue.poll() is not None
    assert (queue.oldest_since_ns, queue.fill, len(told)) == (10, 0.25, 1)
    assert queue.poll() is not None
    assert queue.poll() is None
    assert len(told) == 2
    assert not queue.ended
    queue.end()
    assert queue.ended
