"""Levels of pressure: up and down at thresholds of their own, each move counted and logged."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.streaming.pressure import (
    Backpressure,
    MemoryGuard,
    MemoryLevel,
    PressureLevel,
    drop_caches,
    resident_bytes,
)

NONE, THROTTLE, PAUSE, FLUSH = PressureLevel
SHARES = st.lists(st.floats(0, 1.2), max_size=30)


@pytest.mark.parametrize(
    ("fills", "levels"),
    [
        ([0.0, 0.74, 0.75, 0.5, 0.49], [NONE, NONE, THROTTLE, THROTTLE, NONE]),
        ([0.8, 0.94, 0.95, 0.6, 0.59], [THROTTLE, THROTTLE, PAUSE, PAUSE, THROTTLE]),
        ([1.0, 0.0, 1.0], [PAUSE, NONE, PAUSE]),
        ([1.0, 0.59, 0.5, 0.74, 0.49, 0.74], [PAUSE, THROTTLE, THROTTLE, THROTTLE, NONE, NONE]),
    ],
)
def test_backpressure_rises_and_falls_apart(fills: list[float], levels: list[PressureLevel]) -> None:
    """Between the threshold of the way up and that of the way down, the level stays what it was."""
    backpressure = Backpressure(throttle=(0.75, 0.5), pause=(0.95, 0.6))
    assert [backpressure.update(fill, 0) for fill in fills] == levels


def test_a_long_pause_becomes_a_flush() -> None:
    """Only a pause without a break counts; after the flush the way down is that of a pause."""
    backpressure = Backpressure(throttle=(0.75, 0.5), pause=(0.95, 0.6), flush_after_ns=100)
    assert backpressure.update(1.0, 0) == PAUSE
    assert backpressure.update(0.7, 100) == PAUSE
    assert backpressure.update(0.55, 101) == THROTTLE
    assert backpressure.update(1.0, 150) == PAUSE
    assert backpressure.update(1.0, 250) == PAUSE
    assert backpressure.update(0.7, 251) == FLUSH
    assert backpressure.update(0.6, 252) == FLUSH
    assert backpressure.update(0.59, 253) == THROTTLE
    assert backpressure.transitions["pause -> flush"] == 1
    assert backpressure.transitions["none -> throttle"] == 1
    assert backpressure.transitions["throttle -> pause"] == 2


def test_a_throttled_source_waits_longer_each_time() -> None:
    """The wait doubles from 1 ms up to the longest; it begins anew after the queues have emptied."""
    backpressure = Backpressure(longest_wait_ns=5_000_000)
    assert backpressure.next_wait_ns() == 0
    backpressure.update(0.8, 0)
    assert [backpressure.next_wait_ns() for _ in range(4)] == [1_000_000, 2_000_000, 4_000_000, 5_000_000]
    backpressure.update(0.1, 0)
    assert backpressure.next_wait_ns() == 0
    backpressure.update(0.8, 0)
    assert backpressure.next_wait_ns() == 1_000_000


def test_each_move_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """One line and one count for each step of the way; what a person may want to look into is a warning."""
    caplog.set_level(logging.DEBUG)
    backpressure = Backpressure(flush_after_ns=0)
    backpressure.update(1.0, 0)
    backpressure.update(1.0, 1)
    backpressure.update(0.0, 2)
    lines = [(line.name, line.levelname, line.getMessage()) for line in caplog.records]
    name = "order_book_platform.streaming.pressure"
    assert lines == [
        (name, "DEBUG", "backpressure: none -> throttle at 100 %"),
        (name, "DEBUG", "backpressure: throttle -> pause at 100 %"),
        (name, "WARNING", "backpressure: pause -> flush at 100 %"),
        (name, "WARNING", "backpressure: flush -> pause at 0 %"),
        (name, "DEBUG", "backpressure: pause -> throttle at 0 %"),
        (name, "DEBUG", "backpressure: throttle -> none at 0 %"),
    ]
    assert backpressure.transitions == {line[2].split(": ")[1].split(" at")[0]: 1 for line in lines}


def test_moves_of_memory_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """They are rare, and each is worth a line."""
    caplog.set_level(logging.INFO)
    memory = guard([0, 900], [])
    memory.check(0)
    memory.check(0)
    assert [(line.levelname, line.getMessage()) for line in caplog.records] == [
        ("INFO", "memory: none -> smaller_batches at 90 %"),
        ("INFO", "memory: smaller_batches -> drop_caches at 90 %"),
        ("WARNING", "memory: drop_caches -> spill at 90 %"),
        ("WARNING", "memory: spill -> drop_caches at 0 %"),
        ("INFO", "memory: drop_caches -> smaller_batches at 0 %"),
        ("INFO", "memory: smaller_batches -> none at 0 %"),
    ]


def guard(used_bytes: list[int], dropped: list[int]) -> MemoryGuard:
    """Make a guard over 1,000 bytes whose measurements come from the list, last value first."""
    return MemoryGuard(
        1000,
        sample=used_bytes.pop,
        drop=lambda: dropped.append(len(used_bytes)),
        drop_every_ns=10,
    )


def test_memory_rises_and_falls_apart() -> None:
    """Smaller batches, dropped caches, spilling; and back, each below its own threshold."""
    used = [699, 700, 650, 799, 800, 899, 900, 850, 800, 799, 700, 699, 600, 599]
    dropped: list[int] = []
    memory = guard(used[::-1], dropped)
    seen = [(int(memory.check(0)), memory.batch_share, memory.spilling) for _ in used]
    small, drop, spill = (1, 0.5, False), (2, 0.25, False), (3, 0.125, True)
    none = (0, 1.0, False)
    assert seen == [
        none,
        small,
        small,
        small,
        drop,
        drop,
        spill,
        spill,
        spill,
        drop,
        drop,
        small,
        small,
        none,
    ]
    assert memory.transitions == {
        "none -> smaller_batches": 1,
        "smaller_batches -> drop_caches": 1,
        "drop_caches -> spill": 1,
        "spill -> drop_caches": 1,
        "drop_caches -> smaller_batches": 1,
        "smaller_batches -> none": 1,
    }
    assert len(dropped) == 1


def test_a_leap_takes_every_measure() -> None:
    """Memory that is suddenly full leads through all levels at once, and caches are dropped on the way."""
    dropped: list[int] = []
    memory = guard([0, 2000], dropped)
    assert memory.check(0) == MemoryLevel.SPILL
    assert len(dropped) == 1
    assert memory.check(0) == MemoryLevel.NONE


def test_caches_are_dropped_again_while_memory_stays_short() -> None:
    """Caches are dropped at intervals while memory is short, and at once when it becomes short again."""
    dropped: list[int] = []
    memory = guard([900, 0, 900, 900, 900, 900], dropped)
    counts = []
    for now_ns in (0, 9, 10, 19, 20, 21):
        memory.check(now_ns)
        counts.append(len(dropped))
    assert counts == [1, 1, 2, 2, 2, 3]


def test_what_is_kept_is_given_back_before_caches_have_to_be_dropped() -> None:
    """Free memory is released at intervals from smaller batches on; a further rise drops caches at once."""
    dropped: list[int] = []
    given: list[int] = []
    used = iter([0, 700, 700, 700, 800, 800, 600, 0])
    memory = MemoryGuard(
        1_000, lambda: next(used), lambda: dropped.append(1), lambda: given.append(1), drop_every_ns=10
    )
    counts = []
    for now_ns in (0, 1, 10, 11, 12, 22, 32, 42):
        memory.check(now_ns)
        counts.append((len(dropped), len(given)))
    assert counts == [(0, 0), (0, 1), (0, 1), (0, 2), (1, 2), (2, 2), (2, 3), (2, 3)]


def test_memory_is_given_back_once_where_somebody_asks_for_it() -> None:
    """A request is served at any level, by a drop if one is due; lasting measures need scarce memory."""
    dropped: list[int] = []
    given: list[int] = []
    samples = iter([900, 0, 0])
    memory = MemoryGuard(
        1_000, lambda: next(samples), lambda: dropped.append(1), release=lambda: given.append(1)
    )
    counts = []
    for now_ns in (0, 1, 2):
        if now_ns != 1:
            memory.release_soon()
        memory.check(now_ns)
        counts.append((len(dropped), len(given)))
    assert counts == [(1, 0), (1, 0), (1, 1)]


@given(SHARES)
def test_levels_do_not_flicker(shares: list[float]) -> None:
    """A level is left upwards only at its rise and downwards only below its fall, for any course of memory."""
    rises, falls = (0.7, 0.8, 0.9), (0.6, 0.7, 0.8)
    measured = iter(shares)
    memory = MemoryGuard(1, sample=lambda: next(measured), drop=lambda: None)  # type: ignore[arg-type,return-value]
    before = 0
    for share in shares:
        level = int(memory.check(0))
        assert level == sum(share >= rise for rise in rises) or level <= before
        assert level == 0 or share >= falls[level - 1]
        assert level >= before or share < falls[before - 1]
        before = level


def test_this_process_can_be_measured_and_trimmed() -> None:
    """The real measure sees this process, and dropping caches is possible while it runs."""
    drop_caches()
    assert 1_000_000 < resident_bytes() < 2**40
