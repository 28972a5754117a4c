"""Checkpoints of days and live captures: state there and back, identity, when one is due, and which may be used."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.reconstruct import replay_checkpoints
from order_book_platform.reconstruct.live.live_stream import LiveReplay
from order_book_platform.reconstruct.replay_checkpoints import (
    LiveCheckpoint,
    LiveCheckpoints,
    ReplayCheckpoints,
    SavedReplay,
    identity,
)
from order_book_platform.replay.book import Book
from order_book_platform.replay.replay_steps import LiveSteps
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform.settings import Settings
from order_book_platform.storage.checkpoints import Checkpoint, Checkpoints
from order_book_platform_tests.manual_clock import ManualClock
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch, snapshot_batch


def settings(**reconstruct: Any) -> Settings:
    """Settings without any data."""
    return Settings(
        lake_root=Path("lake"),
        data_root=Path("data"),
        first_day=date(2024, 1, 1),
        instruments=({"symbol": "TEST:ABC"},),  # type: ignore[arg-type]
        reconstruct=reconstruct,  # type: ignore[arg-type]
    )


def test_a_saved_replay_comes_back() -> None:
    """Position, book, outcomes and sizes are those that were packed; arrays of others are left alone."""
    book = Book(STEP, depth=2)
    list(book.feed(delta_batch([[(True, CENTRE, 1)]], [10])))
    outcomes = {"used": np.arange(4).reshape(2, 2)}
    saved = SavedReplay(
        ReplayPosition(7, 3, 1, 10),
        book.saved(),
        outcomes,
        np.array([[1, 2]], np.uint64),
        np.array([True, False]),
    )
    arrays = {**saved.arrays(), "recover_from": np.arange(3)}
    found = SavedReplay.of(Checkpoint({"position": asdict(saved.position)}, arrays, outcomes))
    assert found.position == saved.position
    assert found.book.keys() == saved.book.keys()
    for name, array in saved.book.items():
        np.testing.assert_array_equal(found.book[name], array)
    np.testing.assert_array_equal(found.outcomes["used"], outcomes["used"])
    assert (found.sizes.tolist(), found.shown_sizes.tolist()) == ([[1, 2]], [True, False])
    assert found.nbytes == saved.nbytes


def test_a_checkpoint_is_due_after_events_or_time(tmp_path: Path) -> None:
    """Counted from the last one that was due."""
    clock = ManualClock()
    timer = ReplayCheckpoints(
        Checkpoints(tmp_path), "a", settings(checkpoint_events=100, checkpoint_interval="10s"), clock
    )
    timer.last_events = 50
    assert [timer.due(events) for events in (149, 150, 151, 249)] == [False, True, False, False]
    clock.advance(10 * 10**9)
    assert [timer.due(events) for events in (249, 250)] == [True, False]


def test_no_checkpoint_is_due_without_events(tmp_path: Path) -> None:
    """The setting 0 takes none, however long it takes."""
    clock = ManualClock()
    timer = ReplayCheckpoints(Checkpoints(tmp_path), "a", settings(checkpoint_events=0), clock)
    clock.advance(10**15)
    assert not timer.due(10**9)


def test_identity_names_what_shapes_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, inputs, name, code and libraries change it; when checkpoints are taken does not."""
    plain = identity(settings(), "a", {"raw_deltas": "1"})
    assert (
        identity(settings(checkpoint_events=5, checkpoint_interval="1s"), "a", {"raw_deltas": "1"}) == plain
    )
    others = [
        identity(settings(depth=3), "a", {"raw_deltas": "1"}),
        identity(settings(), "b", {"raw_deltas": "1"}),
        identity(settings(), "a", {"raw_deltas": "2"}),
    ]
    monkeypatch.setattr(replay_checkpoints, "code_version", lambda _: "another")
    others.append(identity(settings(), "a", {"raw_deltas": "1"}))
    monkeypatch.setattr(replay_checkpoints, "version", lambda _: "0")
    others.append(identity(settings(), "a", {"raw_deltas": "1"}))
    assert len({plain, *others}) == 6


def checkpoint(rows: int = 5, findings: int = 2) -> LiveCheckpoint:
    """The state after two messages, with snapshots that wait and snapshots that are ahead."""
    steps, replay = LiveSteps(settings(), STEP, ReplayPosition(), None), LiveReplay(settings(), STEP)
    shots = snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number in (20, 90, 95)])
    steps.inbox.receive(replace(shots, received_time=np.array([0, 0, 10**9])))
    deltas = delta_batch([[(True, CENTRE, 1)], [(False, CENTRE + 1, 1)]], [10, 20])
    deltas = replace(deltas, prev_final_update_id=np.array([0, 10]))
    for step in steps.take(deltas):
        list(replay.apply(step))
    assert step.live is not None
    return LiveCheckpoint(replay.saved(step), step.live, rows, findings, dict(replay.counts))


def test_the_state_comes_back() -> None:
    """All but the findings of the step before, which have been written."""
    left = checkpoint()
    found = LiveCheckpoint.unpacked(left.packed("a"))
    assert (found.rows, found.findings, found.counts) == (5, 2, {"seeded": 1})
    assert found.saved.position == left.saved.position
    assert (found.state.detector, found.state.timeline) == (left.state.detector, left.state.timeline)
    assert found.state.message_before == left.state.detector[2:]
    for name in ("row", "clock_ns", "deltas_clock_ns", "late"):
        assert getattr(found.state.inbox, name) == getattr(left.state.inbox, name)
    for one, other in (
        (found.state.inbox.ahead, left.state.inbox.ahead),
        (SnapshotBatch.concat(found.state.inbox.waiting), SnapshotBatch.concat(left.state.inbox.waiting)),
    ):
        assert len(one) == 1
        for each in fields(SnapshotBatch):
            np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name))
    for name in ("number", "forgotten"):
        assert getattr(found.state.inbox.recent, name) == getattr(left.state.inbox.recent, name)
    np.testing.assert_array_equal(found.state.inbox.recent.changes, left.state.inbox.recent.changes)
    assert found.state.inbox.recent.changes.shape == (5, 2)
    assert len(found.state.flag_changes.sequence) == len(found.state.gaps) == 0


def test_rows_that_are_gone_pass_a_checkpoint_over(tmp_path: Path) -> None:
    """The newest whose rows and findings are in the logs is used; the others are counted."""
    checkpoints = LiveCheckpoints(Checkpoints(tmp_path / "checkpoints"), "a", settings())
    for rows, findings in ((5, 1), (8, 2), (9, 3)):
        checkpoints.save(checkpoint(rows, findings))
    assert checkpoints.written == 3
    found = LiveCheckpoints(Checkpoints(tmp_path / "checkpoints"), "a", settings())
    used = found.newest(9, 2)
    assert used is not None
    assert (used.rows, used.findings, found.refused) == (8, 2, 1)
    assert found.newest(4, 9) is None


def test_another_identity_begins_anew(tmp_path: Path) -> None:
    """Checkpoints of other settings or code are not refused, but not used either."""
    LiveCheckpoints(Checkpoints(tmp_path / "checkpoints"), "a", settings()).save(checkpoint())
    other = LiveCheckpoints(Checkpoints(tmp_path / "checkpoints"), "b", settings())
    assert other.newest(10, 10) is None
    assert other.refused == 0
