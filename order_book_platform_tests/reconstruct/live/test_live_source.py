"""Two logs read as one stream: what is read at once, and when all of it has been."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from order_book_platform.datasets.raw_deltas import DeltaBatch
from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.model import FixedPoint
from order_book_platform.reconstruct.live import live_source
from order_book_platform.reconstruct.live.live_source import CaughtUp, LiveSource, Quiet
from order_book_platform.replay.snapshot_inbox import InboxState
from order_book_platform.streaming import Waiting
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.reconstruct.captures import Capture
from order_book_platform_tests.streams import CENTRE, delta_batch, snapshot_batch

MESSAGE_ROWS = 4


def message(number: int) -> DeltaBatch:
    """Rows of one message, arriving at its number."""
    batch = delta_batch([[(True, CENTRE - level, 1) for level in range(MESSAGE_ROWS)]], [number])
    return replace(batch, received_time=np.full(MESSAGE_ROWS, number))


def snapshots(number: int) -> SnapshotBatch:
    """One, of a message and arriving with it."""
    batch = snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    return replace(batch, received_time=np.array([number]))


def kinds(source: LiveSource, meanwhile: Callable[[], None] = lambda: None) -> list[str | int]:
    """What a source gives up to its end, waiting where it asks to: rows, or what it says.

    Args:
        source: to be read.
        meanwhile: called between two items.
    """
    found: list[str | int] = []
    for item in source.read():
        assert len(found) < 100
        meanwhile()
        match item:
            case pa.Table():
                found.append(item.num_rows)
            case CaughtUp():
                found.append("caught up")
            case Quiet():
                found.append("quiet")
            case Waiting():
                found.append("waits")
                item.call()
    return found


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Capture]:
    """Two logs without a row."""
    capture = Capture(tmp_path, "SIMULATED:BTC-USDT-PERP", FixedPoint())
    yield capture
    capture.close()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_the_last_message_is_complete_wherever_a_pass_ends(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Also where the last frame fills what is read at once, so that the next pass finds nothing."""
    monkeypatch.setattr(live_source, "READ_ROWS", 2 * MESSAGE_ROWS)
    for number in range(1, count + 1):
        capture.append(message(number))
    found = kinds(LiveSource(capture.folder, 0, InboxState(), lambda: False))
    assert sum(rows for rows in found if isinstance(rows, int)) == count * MESSAGE_ROWS
    assert found[-2:] == ["caught up", "waits"]
    assert found.count("caught up") == 1


def test_the_word_to_stop_is_heard_while_more_and_more_is_appended(capture: Capture) -> None:
    """What was there when `wait` said so is still read; what comes later is not."""
    numbers = iter(range(1, 1_000))
    told: list[None] = []
    capture.append(message(next(numbers)))

    def wait() -> bool:
        told.append(None)
        capture.append(message(next(numbers)))
        capture.append(message(next(numbers)))
        return False

    def go_on() -> None:
        if told:
            capture.append(message(next(numbers)))

    found = kinds(LiveSource(capture.folder, 0, InboxState(), wait), go_on)
    assert found == [MESSAGE_ROWS, "caught up", "waits", 2 * MESSAGE_ROWS, "caught up"]


def test_what_was_there_ends_within_a_row_group(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that was sealed meanwhile has rows of later messages in the same group."""
    monkeypatch.setattr(live_source, "READ_ROWS", MESSAGE_ROWS)
    later = iter([4, 5])

    def wait() -> bool:
        capture.append(message(2))
        capture.deltas.rotate()
        capture.append(message(3))
        return False

    def seal() -> None:
        if capture.deltas.next_row >= 3 * MESSAGE_ROWS:
            for number in later:
                capture.append(message(number))
            capture.deltas.rotate()

    capture.append(message(1))
    found = kinds(LiveSource(capture.folder, 0, InboxState(), wait), seal)
    assert found[-3:] == [MESSAGE_ROWS, MESSAGE_ROWS, "caught up"]
    assert sum(rows for rows in found if isinstance(rows, int)) == 3 * MESSAGE_ROWS


def test_who_wants_to_stop_is_asked_for_each_pass(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source ends behind what has been read, and does not say that this is all."""
    monkeypatch.setattr(live_source, "READ_ROWS", MESSAGE_ROWS)
    for number in range(1, 11):
        capture.append(message(number))
    asked: list[None] = []

    def stopped() -> bool:
        asked.append(None)
        return len(asked) > 3

    source = LiveSource(capture.folder, 0, InboxState(), lambda: True, stopped)
    assert kinds(source) == [MESSAGE_ROWS] * 3


def test_a_quiet_second_is_told_each_time(capture: Capture) -> None:
    """Not while deltas come; and what was synced meanwhile is known by then, of both logs."""
    clock, seconds = ManualClock(), iter([0.5, 0.4, 0.2, 0.9, 0.2, 0.0])
    capture.append(message(1))
    capture.append(snapshots(1))

    def wait() -> bool:
        clock.advance(int(1e9 * next(seconds)))
        if clock.monotonic_ns() == int(1.1e9):
            capture.sync()
        return clock.monotonic_ns() < int(2.2e9)

    source = LiveSource(capture.folder, 0, InboxState(), wait, clock=clock)
    synced = []
    found = kinds(source, lambda: synced.append(source.synced))
    waits = ["waits"] * 3
    assert found == [1, MESSAGE_ROWS, "caught up", *waits, "quiet", *waits[:2]]
    assert synced[found.index("quiet")] == (MESSAGE_ROWS, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="open files come from /proc")
def test_both_logs_are_let_go_of(capture: Capture) -> None:
    """By a stream that ends before its source, too."""
    capture.append(snapshots(1))
    capture.append(message(1))
    gc.collect()  # files that other tests have left open must not be closed meanwhile
    before = open_files()
    source = LiveSource(capture.folder, 0, InboxState(), lambda: True)
    reading = source.read()
    source_holds = [open_files() - before for _ in zip(range(3), reading, strict=False)]
    assert source_holds[-1] == 2
    reading.close()  # type: ignore[attr-defined]
    assert open_files() == before


def open_files() -> int:
    """Of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))
