"""What a break means, and what a replay makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.assess.gaps.gap_classification import (
    RecoverySnapshots,
    classify,
    disagreement,
    gaps_table,
)
from order_book_platform.model import BookFlag
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.replay.flag_timeline import FlagTimeline, RecoveryPoints
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.settings import GapSettings

S = 10**9
SETTINGS = GapSettings(silence=S, recover_after=5 * S, snapshot_reach=60 * S)
REACH = RecoverySnapshots(np.array([100, 200, 900], np.int64), np.array([1 * S, 20 * S, 500 * S], np.int64))
GAP, CORRUPT, HINDSIGHT = int(BookFlag.GAP), int(BookFlag.CORRUPT), int(BookFlag.HINDSIGHT)


def broken(cause: str, after: int, after_ns: int, pause_ns: int = 2 * S) -> GapCandidate:
    """A break before message `after`."""
    return GapCandidate(cause, after - 10, after, after_ns - pause_ns, after_ns, None, "")


@pytest.mark.parametrize(
    ("item", "wanted"),
    [
        (broken("silence", 150, 10 * S), ("inferred", "small", "flag", False, 200)),
        (broken("silence", 150, 10 * S, 6 * S), ("inferred", "large", "recover", False, 200)),
        (broken("silence", 300, 30 * S, 6 * S), ("inferred", "unrecoverable", "corrupt", False, 900)),
        (broken("silence", 950, 600 * S), ("inferred", "small", "flag", False, None)),
        (broken("chain", 100, 1 * S), ("exact", "large", "recover", True, 100)),
        (broken("chain", 950, 600 * S), ("exact", "unrecoverable", "corrupt", True, None)),
        (broken("unseen_snapshot", 150, 10 * S), ("inferred", "large", "recover", True, 200)),
        (broken("crossed", 150, 10 * S), ("inferred", "small", "flag", False, 200)),
    ],
)
def test_classes(item: GapCandidate, wanted: tuple[object, ...]) -> None:
    """Small gaps are flagged, larger ones recovered, and without a snapshot in reach the book is corrupt."""
    gap = classify(item, REACH, SETTINGS)
    assert (gap.kind, gap.gap_class, gap.action, gap.proven, gap.flagged_until_sequence_number) == wanted
    assert gap.flagged_from_sequence_number == item.after


def test_doubt_unites_overlapping_gaps() -> None:
    """Each bit holds while any gap says so; the last gap without an end holds for ever."""
    gaps = [
        classify(broken("silence", 120, 2 * S), REACH, SETTINGS),  # 120 … 200: GAP
        disagreement((150, 3 * S), (200, 20 * S), 3, 40),  # 151 … 200: HINDSIGHT
        classify(broken("chain", 950, 600 * S), REACH, SETTINGS),  # 950 …: GAP, CORRUPT, proven
    ]
    doubt = FlagTimeline.from_gaps(gaps_table(gaps))
    assert dict(zip(doubt.changes.sequence.tolist(), doubt.changes.bits.tolist(), strict=True)) == {
        120: GAP,
        151: GAP | HINDSIGHT,
        200: 0,
        950: GAP | CORRUPT | PROVEN_LOSS,
    }
    assert doubt.recover_from.tolist() == [950]


def test_only_gaps_that_must_be_recovered_force_a_repair() -> None:
    """A large gap forces the next snapshot, a small one and a disagreement force none."""
    gaps = [
        classify(broken("silence", 120, 2 * S), REACH, SETTINGS),
        classify(broken("chain", 150, 10 * S), REACH, SETTINGS),
        disagreement((210, 30 * S), (900, 500 * S), 1, 40),
    ]
    doubt = FlagTimeline.from_gaps(gaps_table(gaps))
    assert RecoveryPoints(doubt.recover_from).forced(REACH.sequence).tolist() == [False, True, False]


def test_no_gaps_no_doubt() -> None:
    """An empty report gives no edges."""
    doubt = FlagTimeline.from_gaps(gaps_table([]))
    assert len(doubt.changes.sequence) == len(doubt.recover_from) == 0
