"""Steps hold whole messages and the snapshots due by the last of them, however deltas come in batches."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.datasets.snapshots import SnapshotBatch
from order_book_platform.replay import replay_steps
from order_book_platform.replay.replay_steps import DeltaSteps, Instant, ReplayStep, SnapshotSteps
from order_book_platform.replay.snapshot_scheduler import SnapshotScheduler
from order_book_platform.replay.snapshot_selection import AllButEveryNth, EveryNthSnapshot
from order_book_platform_tests.streams import CENTRE, STEP, cut, delta_batch, snapshot_batch

NONE = np.empty(0, np.int64)
DELTAS = delta_batch([[(True, CENTRE, 1), (True, CENTRE - 1, 1)]] * 6, [10, 20, 30, 40, 50, 60])


def shots(*numbers: int) -> SnapshotBatch:
    """Snapshots with these sequence numbers."""
    return snapshot_batch([(number, ([(CENTRE, 1)], [(CENTRE + 1, 1)])) for number in numbers])


def heads(steps: list[ReplayStep]) -> list[tuple[int, list[int], int, bool]]:
    """Last message, snapshots due, position in the deltas, and whether a part ends."""
    return [
        (
            int(step.deltas.sequence_number[-1]) if step.deltas else -1,
            step.due.used.sequence_number.tolist(),
            step.position.deltas,
            step.ends_part,
        )
        for step in steps
    ]


@pytest.mark.parametrize("every", [1, 2, 6])
def test_parts_end_with_a_message_however_batches_are_cut(
    monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """The message that completes five deltas ends a part, and with it a step."""
    monkeypatch.setattr(replay_steps, "PART_DELTAS", 5)
    steps = DeltaSteps(SnapshotScheduler(iter([shots(20, 45, 70)]), EveryNthSnapshot(1), NONE, STEP))
    found = [step for batch in cut(DELTAS, every) for step in steps.take(batch)]
    ends = [(last, at) for last, _, at, ends_part in heads(found) if ends_part]
    assert ends == [(30, 6), (60, 12)]
    assert [number for _, used, _, _ in heads(found) for number in used] == [20, 45]
    assert list(steps.finish()) == []


def test_steps_end_at_an_instant() -> None:
    """Deltas behind it are not wanted, and are not in the last step."""
    steps = DeltaSteps(
        SnapshotScheduler(iter([]), EveryNthSnapshot(1), NONE, STEP), Instant(sequence_number=35)
    )
    assert not steps.ended()
    assert heads(list(steps.take(DELTAS))) == [(30, [], 6, False)]
    assert steps.ended()


def test_snapshots_alone_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them after the deltas, so many at a time, up to an instant."""
    monkeypatch.setattr(replay_steps, "PART_SNAPSHOTS", 2)
    for until, wanted in (
        (None, [[10, 20], [30, 40], [50]]),
        (Instant(sequence_number=30), [[10, 20], [30]]),
    ):
        scheduler = SnapshotScheduler(iter([shots(10, 20, 30, 40, 50)]), AllButEveryNth(0), NONE, STEP)
        steps = SnapshotSteps(scheduler, until)
        assert steps.ended()
        assert list(steps.take(DELTAS)) == []
        found = list(steps.finish())
        assert [step.due.used.sequence_number.tolist() for step in found] == wanted
        assert [step.ends_part for step in found[:2]] == [True, True]
        assert all(step.deltas is None for step in found)


def test_an_instant_counts_events_up_to_it() -> None:
    """By number or by time, including the event itself."""
    batch = shots(10, 20, 30, 40, 50)
    assert [Instant(sequence_number=n).count(batch) for n in (9, 10, 35, 99)] == [0, 1, 3, 5]
    assert [Instant(at_ns=t).count(batch) for t in (999, 1_000, 3_500, 99_999)] == [0, 1, 3, 5]
