"""Checkpoints of a live capture: state there and back, and which of them may be used."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.reconstruct.live.live_checkpoints import LiveCheckpoint, LiveCheckpoints
from order_book_platform.reconstruct.live.live_replay import LiveReplay
from order_book_platform.replay.live_steps import LiveSteps
from order_book_platform.replay.snapshot_inbox import joined_snapshots
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform_tests.reconstruct.test_checkpoint_format import settings
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch, snapshot_batch


def checkpoint(rows: int = 5, findings: int = 2) -> LiveCheckpoint:
    """The state after two messages, with snapshots that wait and snapshots that are ahead."""
    steps, replay = LiveSteps(settings(), STEP, ReplayPosition(), None), LiveReplay(settings(), STEP)
    shots = snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number in (20, 90, 95)])
    steps.inbox.receive(replace(shots, received_time=np.array([0, 0, 10**9])))
    deltas = delta_batch([[(True, CENTRE, 1)], [(False, CENTRE + 1, 1)]], [10, 20])
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
    for name in ("row", "clock_ns", "deltas_clock_ns", "last_sequence", "late"):
        assert getattr(found.state.inbox, name) == getattr(left.state.inbox, name)
    for one, other in (
        (found.state.inbox.ahead, left.state.inbox.ahead),
        (joined_snapshots(found.state.inbox.waiting), joined_snapshots(left.state.inbox.waiting)),
    ):
        assert len(one) == 1
        for each in fields(SnapshotBatch):
            np.testing.assert_array_equal(getattr(one, each.name), getattr(other, each.name))
    assert len(found.state.flag_changes.sequence) == len(found.state.gaps) == 0


def test_rows_that_are_gone_pass_a_checkpoint_over(tmp_path: Path) -> None:
    """The newest whose rows and findings are in the logs is used; the others are counted."""
    checkpoints = LiveCheckpoints(tmp_path / "checkpoints", "a")
    for rows, findings in ((5, 1), (8, 2), (9, 3)):
        checkpoints.save(checkpoint(rows, findings))
    assert checkpoints.written == 3
    found = LiveCheckpoints(tmp_path / "checkpoints", "a")
    used = found.newest(9, 2)
    assert used is not None
    assert (used.rows, used.findings, found.refused) == (8, 2, 1)
    assert found.newest(4, 9) is None


def test_another_identity_begins_anew(tmp_path: Path) -> None:
    """Checkpoints of other settings or code are not refused, but not used either."""
    LiveCheckpoints(tmp_path / "checkpoints", "a").save(checkpoint())
    other = LiveCheckpoints(tmp_path / "checkpoints", "b")
    assert other.newest(10, 10) is None
    assert other.refused == 0
