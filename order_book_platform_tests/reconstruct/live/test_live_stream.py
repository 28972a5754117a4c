"""The stages of a live capture: a message is complete when all has been read, and quiet goes through to the writer."""

from __future__ import annotations

from typing import Any

import pytest

from order_book_platform.reconstruct.live.live_source import CaughtUp, Quiet
from order_book_platform.reconstruct.live.live_stream import LiveStream
from order_book_platform.replay.live_steps import LiveSteps
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.streaming import MemoryGuard
from order_book_platform_tests.reconstruct.test_checkpoint_format import settings
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch, snapshot_batch


@pytest.fixture
def stream() -> LiveStream:
    """Stages without a source, of which one is called at a time."""
    wanted = settings()
    steps = LiveSteps(wanted, STEP, ReplayPosition(), None)
    nothing: Any = None
    return LiveStream(nothing, steps, nothing, nothing, wanted, MemoryGuard(10**12))


def numbers(steps: list[Any]) -> list[int]:
    """The last message of each step."""
    return [int(step.deltas.sequence_number[-1]) for step in steps]


def test_the_last_message_waits_for_the_word_that_all_is_read(stream: LiveStream) -> None:
    """It may lack rows until then, and if that word never comes it is left for the next run."""
    two = delta_batch([[(True, CENTRE, 1)], [(True, CENTRE, 2)]], [10, 20])
    assert numbers(list(stream._sequence(two))) == [10]
    assert numbers(list(stream._sequence(CaughtUp()))) == [20]
    assert list(stream._sequence(CaughtUp())) == []
    assert list(stream._sequence(delta_batch([[(True, CENTRE, 3)]], [30]))) == []
    assert list(stream._sequence_rest()) == []


def test_snapshots_go_to_the_inbox(stream: LiveStream) -> None:
    """They are due with the message that they belong to."""
    shots = snapshot_batch([(10, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    assert list(stream._sequence(shots)) == []
    list(stream._sequence(delta_batch([[(True, CENTRE, 1)]], [10])))
    (step,) = stream._sequence(CaughtUp())
    assert step.live.inbox.row == 1


def test_quiet_is_handed_on(stream: LiveStream) -> None:
    """From the source to the writer, past the book."""
    quiet = Quiet()
    assert list(stream._sequence(quiet)) == [quiet]
    assert list(stream._apply(quiet)) == [quiet]
