"""Stalls are found by the clock, named, and started again a few times."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from order_book_platform.clock import NS_PER_SECOND, Clock
from order_book_platform.errors import StallError
from order_book_platform.streaming import (
    Bound,
    MemoryGuard,
    Pipeline,
    SpillPolicy,
    Stage,
    Waiting,
    run_with_restarts,
)
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.streaming.streams import consumer, pipeline, same, sink

MINUTE_NS = 60 * NS_PER_SECOND


def hang(clock: ManualClock, gate: threading.Event) -> None:
    """Let a minute and a second pass, and stay until the gate opens."""
    clock.advance(61 * NS_PER_SECOND)
    gate.wait()


def hanging_source(clock: ManualClock, gate: threading.Event) -> Iterator[int]:
    """Yield nothing: the first step hangs, when no other thread is inside a step."""
    hang(clock, gate)
    yield 1


def test_a_source_that_hangs(gate: threading.Event) -> None:
    """The error names the stage, how long, and what it was at; what comes later is ignored."""
    clock = ManualClock()
    taken: list[int] = []
    with pytest.raises(StallError) as raised:
        pipeline(hanging_source(clock, gate), [sink(taken)], clock=clock, stall_after_ns=MINUTE_NS).run()
    assert raised.value.where == "stage read of the stream"
    assert raised.value.expected == "a step within 1m"
    assert raised.value.found == "none for 61.0 s, reading the next item"
    abandoned = [thread for thread in threading.enumerate() if thread.name == "read (abandoned)"]
    gate.set()
    abandoned[0].join()
    assert taken == []


def test_waiting_for_something_new_is_no_stall() -> None:
    """However long it takes: the source's watch stands still meanwhile, and the time counts as waiting for input."""
    clock = ManualClock()
    taken: list[int] = []
    looked = threading.Event()

    def wait() -> None:
        clock.advance(61 * NS_PER_SECOND)
        looked.clear()
        assert looked.wait(30)  # until stalls have been looked for, twice: once may have been just before
        looked.clear()
        assert looked.wait(30)

    def source() -> Iterator[int | Waiting]:
        yield 1
        yield Waiting(wait)
        yield 2

    running = pipeline(source(), [sink(taken)], clock=clock, stall_after_ns=MINUTE_NS)
    look = running._look_for_stalls

    def watched() -> None:
        look()
        looked.set()

    running._look_for_stalls = watched  # type: ignore[method-assign]
    running.run()
    assert taken == [1, 2]
    read = running.metrics().stages[0]
    assert (read.items, read.blocked_up_ns, read.busy_ns) == (2, 61 * NS_PER_SECOND, 0)


def test_an_error_while_it_waits_ends_the_stream() -> None:
    """An error raised while the source waits ends the stream like an error of a step."""

    def wait() -> None:
        raise ValueError("gone")

    with pytest.raises(ValueError, match="gone"):
        pipeline(iter([Waiting(wait)]), [sink([])]).run()


def test_a_stage_that_hangs_with_input_waiting(gate: threading.Event) -> None:
    """How much waits in front of it is told, so that it is not mistaken for one that has nothing to do."""
    clock = ManualClock()

    def work(item: int) -> Iterator[int]:
        while not running._queues[0].ended:  # from here on the source's thread is idle
            pass
        hang(clock, gate)
        yield item

    running = pipeline(iter([1, 2, 3]), [Stage("work", work)], clock=clock, stall_after_ns=MINUTE_NS)
    with pytest.raises(StallError) as raised:
        running.run()
    assert raised.value.where == "stage work of the stream"
    assert raised.value.found == "none for 61.0 s, working on an item, 2 items waiting before it"


def test_a_last_word_that_hangs(gate: threading.Event) -> None:
    """The end of a stage is watched like its work."""
    clock = ManualClock()

    def finish() -> Iterator[int]:
        hang(clock, gate)
        yield 1

    stages = [Stage("one", same), Stage("write", same, finish=finish)]
    with pytest.raises(StallError, match=r"stage write .* none for 61\.0 s, finishing"):
        pipeline(iter([1]), stages, clock=clock, stall_after_ns=MINUTE_NS).run()


def test_a_spill_that_hangs(gate: threading.Event) -> None:
    """A disk that does not answer is found, and not the stage that waits for what is being written."""
    clock = ManualClock()
    spilling_began = threading.Event()

    class Stuck:
        def put(self, item: object) -> None:
            clock.advance(1)
            spilling_began.set()
            while running.metrics().stages[1].items < 2:  # from here on the stage, too, waits for the spill
                pass
            hang(clock, gate)

        def take(self) -> object:
            return 1

    spilling = SpillPolicy(Stuck(), Bound(1, 100), 100)
    stage = Stage("write", consumer(lambda item: spilling_began.wait()), spilling=spilling)
    # Memory is short from when the source has ended: one item with the stage, one in memory, one to be spilled.
    memory = MemoryGuard(1, sample=lambda: int(queue.ended), drop=lambda: None)
    running = pipeline(iter([1, 1, 1]), [stage], memory=memory, clock=clock, stall_after_ns=MINUTE_NS)
    queue = running._queues[0]
    with pytest.raises(StallError) as raised:
        running.run()
    assert raised.value.where == "stage spill of the stream"
    assert raised.value.found == "none for 61.0 s, writing to the spill"


def test_waiting_is_no_stall() -> None:
    """Nobody stalls who has nothing to do, nor who makes slow steps within the limit, however many."""
    clock = ManualClock()
    arrived = threading.Semaphore(0)
    looks: list[int] = []

    def source() -> Iterator[int]:
        for number in range(4):
            clock.advance(MINUTE_NS)
            looked = len(looks)
            while len(looks) == looked:  # stalls are looked for more often than the observer is called
                pass
            yield number
            assert arrived.acquire(timeout=60)

    def use(item: int) -> None:
        arrived.release()

    running = pipeline(
        source(),
        [Stage("one", consumer(use))],
        clock=clock,
        stall_after_ns=3 * MINUTE_NS,
        observe=lambda metrics: looks.append(1),
    )
    running.run()
    assert running.metrics().stages[1].items == 4


# --- restarts -------------------------------------------------------------------------------------------------------


def test_a_stalled_stream_is_started_again(gate: threading.Event, caplog: pytest.LogCaptureFixture) -> None:
    """Two attempts stall, the third goes through; each stall is logged, and the count returned."""
    taken: list[int] = []

    def make(attempt: int) -> Pipeline:
        clock = ManualClock()
        source = hanging_source(clock, gate) if attempt < 2 else iter([attempt])
        return pipeline(source, [sink(taken)], clock=clock, stall_after_ns=MINUTE_NS)

    assert run_with_restarts(make, restarts=3) == 2
    assert taken == [2]
    lines = [each for each in caplog.messages if each.startswith("attempt")]
    assert [line.split(" stalled: ")[0] for line in lines] == ["attempt 1 of 4", "attempt 2 of 4"]


def test_after_the_last_restart_all_attempts_are_named(gate: threading.Event) -> None:
    """The error tells what happened each time, and what to do."""
    made: list[int] = []

    def make(attempt: int) -> Pipeline:
        made.append(attempt)
        clock = ManualClock()
        source, name = hanging_source(clock, gate), f"read {attempt}"
        return pipeline(source, [sink([])], clock=clock, stall_after_ns=MINUTE_NS, source_name=name)

    with pytest.raises(StallError) as raised:
        run_with_restarts(make, restarts=2)
    assert made == [0, 1, 2]
    assert raised.value.expected == "no stall in one of 3 attempts"
    assert re.findall(r"\d: stage read \d of the stream", raised.value.found) == [
        "1: stage read 0 of the stream",
        "2: stage read 1 of the stream",
        "3: stage read 2 of the stream",
    ]
    assert raised.value.remedy
    assert isinstance(raised.value.__cause__, StallError)


def test_other_errors_are_not_tried_again() -> None:
    """Only stalls are tried again: an error in the data would come back."""
    made: list[int] = []
    clock: Clock = ManualClock()

    def fail(item: int) -> None:
        raise ValueError("wrong")

    def make(attempt: int) -> Pipeline:
        made.append(attempt)
        return pipeline(iter([1]), [Stage("work", consumer(fail))], clock=clock)

    with pytest.raises(ValueError, match="wrong"):
        run_with_restarts(make)
    assert made == [0]
