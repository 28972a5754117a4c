"""The replay of a live capture counts what it finds, and its book goes on from a saved state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from order_book_platform.reconstruct.live.live_replay import LiveReplay
from order_book_platform.replay.live_steps import LiveSteps
from order_book_platform.replay.snapshot_scheduler import ReplayPosition
from order_book_platform_tests.reconstruct.test_checkpoint_format import settings
from order_book_platform_tests.streams import CENTRE, STEP, delta_batch, snapshot_batch


def test_snapshots_and_gaps_are_counted() -> None:
    """A seed, a rejected snapshot and one that is late; a loss that ids prove."""
    wanted = settings(extend_every=1)
    steps, replay = LiveSteps(wanted, STEP, ReplayPosition(), None), LiveReplay(wanted, STEP)
    sound, crossed = ([(CENTRE, 1)], [(CENTRE + 1, 1)]), ([(CENTRE + 1, 1)], [(CENTRE, 1)])
    shots = snapshot_batch([(10, sound), (20, crossed), (10, sound)])
    steps.inbox.receive(replace(shots, received_time=np.array([1_000, 2_000, 2_900])))
    deltas = delta_batch([[(True, CENTRE, 1)]] * 3, [10, 20, 30])
    deltas = replace(deltas, prev_final_update_id=np.array([0, 10, 21]))
    rows = []
    for step in steps.take(deltas):
        rows += [piece.copy() for piece in replay.apply(step)]
    assert dict(replay.counts) == {"seeded": 1, "rejected": 1, "late_snapshot": 1, "chain": 1}
    assert len(replay.book.outcomes) == 0
    assert list(replay.last_rows()) == []
    saved = replay.saved(step)
    assert saved.outcomes == {}
    other = LiveReplay(wanted, STEP, saved, replay.counts)
    assert (other.begin, other.counts) == (step.position, replay.counts)
    assert other.book.messages == replay.book.messages == 3
    assert other.book.gap_flags == replay.book.gap_flags > 0
