"""A stage that hangs is begun again from the last checkpoint, and fails the run if it always hangs."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from order_book_platform.errors import StallError
from order_book_platform.reconstruct.book_stages import BookStream
from order_book_platform.reconstruct.day.book_writer import BookWriter
from order_book_platform.replay import replay_steps
from order_book_platform_tests.chain import Chain
from order_book_platform_tests.reconstruct.day_runs import KEY, again, files

pytestmark = pytest.mark.usefixtures("small_parts")


def test_a_stage_that_hangs_is_begun_again(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last checkpoint; what wakes up later harms nothing."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY], reconstruct={"checkpoint_events": 1})
    chain.books(KEY)
    wanted = files(chain)
    end, wake, calls = BookWriter.end_part, threading.Event(), []

    def hanging(self: BookWriter) -> None:
        calls.append(self)
        if len(calls) == 4:
            wake.wait(60)
        end(self)

    monkeypatch.setattr(BookWriter, "end_part", hanging)
    result, found = again(chain, streaming={"stall_after": 300_000_000})
    assert found == wanted
    assert result.run.restarts == 1
    assert result.run.resumed_from >= 12_000
    wake.set()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("write"):
            thread.join(10)
    assert files(chain) == wanted


def test_a_stage_that_always_hangs_fails_the_run(
    faulty_lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the stage, after so many attempts; the published books stay."""
    chain = Chain.over(tmp_path, faulty_lake, [KEY])
    chain.books(KEY)
    wanted = files(chain)
    wake = threading.Event()
    monkeypatch.setattr(BookStream, "_decode", lambda *_: wake.wait(60) or iter(()))
    with pytest.raises(StallError, match="stage decode"):
        again(chain, streaming={"stall_after": 100_000_000, "restarts": 1})
    wake.set()
    chain.store.check("reconstructed_books", KEY)
    monkeypatch.undo()
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 4_000)
    assert again(chain)[1] == wanted
