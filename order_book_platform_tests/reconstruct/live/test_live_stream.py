"""A live capture: whole messages once all has been read, what is counted and found, and when rows are synced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from order_book_platform.datasets.frame_schemas import FINDINGS_SCHEMA
from order_book_platform.datasets.reconstructed_books.schema import books_schema
from order_book_platform.reconstruct.live.live_source import CaughtUp, Quiet
from order_book_platform.reconstruct.live.live_stream import LiveReplay, LiveStream, findings_table
from order_book_platform.replay.flag_timeline import FlagChanges
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.replay.replay_steps import LiveState, LiveSteps
from order_book_platform.replay.snapshot_inbox import InboxState
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.storage.log.idempotent_log import IdempotentLog
from order_book_platform.streaming import MemoryGuard
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.reconstruct.test_replay_checkpoints import checkpoint, settings
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch, snapshot_batch


@pytest.fixture
def stream() -> LiveStream:
    """Stages without a source, of which one is called at a time."""
    wanted = settings()
    steps = LiveSteps(wanted, STEP, ReplayPosition(), None)
    nothing: Any = None
    replay, log = LiveReplay(wanted, STEP), SimpleNamespace(next_row=0)
    logs: Any = log
    checkpoints: Any = SimpleNamespace()
    return LiveStream(nothing, steps, replay, logs, logs, checkpoints, wanted, MemoryGuard(10**12))


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


def test_snapshots_and_gaps_are_counted() -> None:
    """A seed, a rejected snapshot, one brought up to date and one that is late; a loss that ids prove."""
    wanted = settings(extend_every=1)
    steps, replay = LiveSteps(wanted, STEP, ReplayPosition(), None), LiveReplay(wanted, STEP)
    sound, crossed = ([(CENTRE, 1)], [(CENTRE + 1, 1)]), ([(CENTRE + 1, 1)], [(CENTRE, 1)])
    shots = snapshot_batch([(10, sound), (20, crossed), (10, sound), (9, sound)])
    steps.inbox.receive(replace(shots, received_time=np.array([1_000, 2_000, 2_900, 2_950])))
    deltas = delta_batch([[(True, CENTRE, 1)]] * 3, [10, 20, 30])
    deltas = replace(deltas, prev_final_update_id=np.array([10, 10, 21]))
    rows = []
    for step in steps.take(deltas):
        rows += [piece.copy() for piece in replay.apply(step)]
    assert dict(replay.counts) == {
        "seeded": 1,
        "extended": 1,
        "brought_up_to_date": 1,
        "rejected": 1,
        "late_snapshot": 1,
        "chain": 1,
    }
    assert len(replay.book.outcomes) == 0
    saved = replay.saved(step)
    assert saved.outcomes == {}
    other = LiveReplay(wanted, STEP, saved, replay.counts)
    assert (other.begin, other.counts) == (step.position, replay.counts)
    assert other.book.messages == replay.book.messages == 3
    assert other.book.gap_flags == replay.book.gap_flags > 0


def test_findings_are_late_snapshots_then_gaps() -> None:
    """A late snapshot lies between its own message and the last one applied."""
    gap = GapCandidate("chain", 20, 40, 2_000, 4_000, 3, "U is 24 where 21 was due")
    late = snapshot_batch([(5, ([(CENTRE, 1)], [(CENTRE + 1, 1)]))])
    none = np.empty(0, np.int64)
    state = LiveState(
        InboxState(),
        (True, 4, 40, 4_000),
        (0, 0),
        none,
        FlagChanges.none(),
        [gap],
        late,
        ["its reason"],
        (20, 2_000),
    )
    first, second = findings_table(state).to_pylist()
    assert (first["cause"], first["from_sequence_number"], first["to_sequence_number"]) == (
        "late_snapshot",
        5,
        20,
    )
    assert (first["from_origin_time"], first["to_origin_time"], first["proven"]) == (500, 2_000, False)
    assert first["detail"] == "its reason"
    assert second == {
        "cause": "chain",
        "from_sequence_number": 20,
        "to_sequence_number": 40,
        "from_origin_time": 2_000,
        "to_origin_time": 4_000,
        "missing_ids": 3,
        "proven": True,
        "detail": "U is 24 where 21 was due",
    }


def test_rows_are_synced_by_count_and_time_and_checkpoints_wait_for_their_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint is saved once the deltas and snapshots that it stands on are on the device."""
    syncs: list[str] = []
    sync = IdempotentLog.sync

    def noted(self: IdempotentLog) -> None:
        syncs.append(self._folder.name)
        sync(self)

    monkeypatch.setattr(IdempotentLog, "sync", noted)
    clock, saved = ManualClock(), list[Any]()
    source: Any = SimpleNamespace(synced=(0, 0))
    wanted = settings(depth=1)
    steps, replay = LiveSteps(wanted, STEP, ReplayPosition(), None), LiveReplay(wanted, STEP)
    checkpoints: Any = SimpleNamespace(save=saved.append, last_events=0)
    with (
        IdempotentLog(tmp_path / "books", books_schema(1)) as books,
        IdempotentLog(tmp_path / "findings", FINDINGS_SCHEMA) as findings,
    ):
        memory = MemoryGuard(10**12)
        stream = LiveStream(source, steps, replay, books, findings, checkpoints, wanted, memory, clock)
        table = stream.tables.table(np.array([[1, 1, 1, 0, 0, 0, 100, 1, 105, 1]]))
        list(stream._write(table))
        assert syncs == []
        clock.advance(10**9)
        list(stream._write(table))
        assert syncs == ["findings", "books"]
        waits = checkpoint()
        list(stream._write(waits))
        assert saved == []
        source.synced = (waits.saved.position.deltas, waits.state.inbox.row)
        list(stream._write(Quiet()))
        assert saved == [waits]
        assert syncs[2:] == ["findings", "books"] * 2
