"""Stopwatches: times add up, and the running one is told apart."""

from __future__ import annotations

from order_book_platform.streaming.stopwatch import Stopwatch


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
