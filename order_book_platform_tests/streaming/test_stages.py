"""Guarantees for the author of a stage: its thread, the order of calls, and which items stay alive."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from order_book_platform.streaming import Bound, Stage
from order_book_platform_tests.streaming.streams import Item, consumer, gone, pipeline, same, sink


def test_a_stage_has_one_thread_for_all_it_does() -> None:
    """Work, last word and flush need no lock; each stage, and the source, has another thread."""
    threads: dict[str, set[int]] = {"source": set(), "one": set(), "two": set()}

    def source() -> Iterator[int]:
        for number in range(5):
            threads["source"].add(threading.get_ident())
            yield number

    def work(name: str) -> Any:
        def step(item: int) -> Iterator[int]:
            threads[name].add(threading.get_ident())
            yield item

        return step

    def finish() -> Iterator[int]:
        threads["one"].add(threading.get_ident())
        yield 5

    taken: list[int] = []
    pipeline(source(), [Stage("one", work("one"), finish), Stage("two", work("two")), sink(taken)]).run()
    assert taken == [0, 1, 2, 3, 4, 5]
    assert [len(each) for each in threads.values()] == [1, 1, 1]
    assert len(set.union(*threads.values(), {threading.get_ident()})) == 4


def test_one_item_may_become_many_or_none() -> None:
    """A stage yields what it likes; a plain list will do; the last stage's items go nowhere and are not measured."""
    taken: list[int] = []

    def repeat(item: int) -> list[int]:
        return [item] * item

    def keep(item: int) -> Iterator[object]:
        taken.append(item)
        yield object()

    def measure(item: object) -> int:
        assert isinstance(item, int)
        return 8

    stages = [Stage("repeat", repeat, lambda: [7, 8]), Stage("keep", keep, lambda: iter([object()]))]
    running = pipeline(iter([2, 0, 3]), stages, size_of=measure, rows_of=lambda item: 10 * item)
    running.run()
    assert taken == [2, 2, 3, 3, 3, 7, 8]
    figures = [(each.stage, each.items, each.rows, each.bytes) for each in running.metrics().stages]
    assert figures == [("read", 3, 50, 24), ("repeat", 3, 50, 24), ("keep", 7, 280, 56)]


@settings(max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 25), st.integers(1, 3))
def test_no_more_items_live_than_bounds_say(bounds: list[int], items: int, copies: int) -> None:
    """No more items exist than the queues' bounds and one in each hand, wherever the stream is slow."""
    living: weakref.WeakSet[Item] = weakref.WeakSet()
    most = 0

    def new() -> Item:
        nonlocal most
        item = Item()
        living.add(item)
        most = max(most, len(living))
        return item

    def work(item: Item) -> Iterator[Item]:
        del item
        for _ in range(copies):
            yield new()

    stages = [
        *(Stage(f"{number}", work, inbox=Bound(bound, 10**9)) for number, bound in enumerate(bounds)),
        Stage("last", consumer(id), inbox=Bound(1, 10**9)),
    ]
    taken = pipeline((new() for _ in range(items)), stages)
    taken.run()
    assert taken.metrics().stages[-1].items == items * copies ** len(bounds)
    # In hand: what the source and each stage but the last have made and wait to put, and what a stage works on.
    assert most <= sum(bounds) + 1 + 2 * len(stages)
    assert len(living) == 0


def test_an_item_is_the_stages_alone() -> None:
    """An item that a stage no longer refers to is freed while the stage still works on its results."""
    seen: list[Item | None] = []

    def work(item: Item) -> Iterator[int]:
        weak = weakref.ref(item)
        del item
        seen.append(weak())
        yield 1
        seen.append(weak())

    pipeline((Item() for _ in range(3)), [Stage("work", work), sink([])]).run()
    assert seen == [None] * 6


def test_a_stage_that_waits_holds_nothing() -> None:
    """When an item is through, nobody keeps it for the time until the next one comes."""
    living: weakref.WeakSet[Item] = weakref.WeakSet()
    through = threading.Semaphore(0)

    def new() -> Item:
        item = Item()
        living.add(item)
        return item

    def source() -> Iterator[Item]:
        for _ in range(3):
            yield new()
            assert through.acquire(timeout=60)
            assert gone(living)

    def remake(item: Item) -> Iterator[Item]:
        yield new()

    last = Stage("last", consumer(lambda item: through.release()))
    pipeline(source(), [Stage("same", same), Stage("remake", remake), last]).run()


def test_no_flush_after_the_last_word_has_begun() -> None:
    """Whoever has closed a file is not asked to write to it."""
    flushes: list[str] = []
    stage = Stage("hold", same, finish=lambda: iter([2]), flush=lambda: flushes.append("flushed"))
    taken: list[int] = []
    running = pipeline(iter([1]), [stage, sink(taken)])
    task = running._stages[0]
    task._flush(stage.flush)  # type: ignore[arg-type]
    running.run()
    task._flush(stage.flush)  # type: ignore[arg-type]
    assert taken == [1, 2]
    assert flushes == ["flushed"]


@pytest.mark.parametrize("number", [0, 1])
def test_iterators_of_other_kinds_are_closed_too(number: int) -> None:
    """Iterators with a `close` method are closed at their end, those of the source and of stages."""
    closed: list[int] = []

    class Closing:
        def __init__(self, of: int) -> None:
            self._of = of
            self._left = 2

        def __iter__(self) -> Closing:
            return self

        def __next__(self) -> int:
            if not self._left:
                raise StopIteration
            self._left -= 1
            return self._left

        def close(self) -> None:
            closed.append(self._of)

    taken: list[int] = []
    if number == 0:
        pipeline(Closing(0), [sink(taken)]).run()
    else:
        pipeline(iter([1]), [Stage("open", Closing), sink(taken)]).run()
    assert taken == [1, 0]
    assert closed == [number]
