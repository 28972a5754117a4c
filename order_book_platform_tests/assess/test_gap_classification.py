"""What a break means, and what a replay makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from order_book_platform.assess.gap_classification import (
    LONGEST,
    NS_PER_HOUR,
    ClassifiedGap,
    RecoverySnapshots,
    classify,
    disagreement,
    distribution,
    gaps_table,
    reconnects,
)
from order_book_platform.model import BookFlag
from order_book_platform.model.flags import PROVEN_LOSS
from order_book_platform.replay.flag_timeline import FlagTimeline, RecoveryPoints
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.settings import GapSettings
from order_book_platform_tests.assess.test_message_scan import NO_SNAPSHOTS
from order_book_platform_tests.lake import START_NS

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


SECOND = 10**9


def gap(
    at: int, lasted: int, ids: int = 10, cause: str = "silence", missing: int | None = None
) -> ClassifiedGap:
    """A gap that begins and lasts so many ns."""
    found = GapCandidate(cause, 100, 100 + ids, START_NS + at, START_NS + at + lasted, missing, "made up")
    return classify(found, RecoverySnapshots(NO_SNAPSHOTS, NO_SNAPSHOTS), GapSettings())


def test_durations_hours_and_missing_ids() -> None:
    """By hand: three gaps, two of them in the fourth hour, one with 7 missing ids."""
    gaps = [
        gap(0, 2 * SECOND),
        gap(3 * NS_PER_HOUR, 4 * SECOND, cause="chain", missing=7),
        gap(4 * NS_PER_HOUR - 1, 6 * SECOND),
    ]
    found = distribution(gaps)
    assert found["duration_s"] == {"p50": 4, "p95": 5.8, "p99": 5.96, "longest": 6, "total": 12}
    assert found["by_hour"] == [1, 0, 0, 2] + 20 * [0]
    assert found["missing_ids"] == {"gaps": 1, "total": 7, "most": 7}
    assert [each["seconds"] for each in found["longest"]] == [6, 4, 2]
    assert found["longest"][1] | {"detail": ""} == {
        "cause": "chain",
        "class": "unrecoverable",
        "action": "corrupt",
        "from": "2024-01-02T03:00:00.000000000Z",
        "seconds": 4,
        "from_sequence_number": 100,
        "to_sequence_number": 110,
        "detail": "",
    }


def test_no_gaps_have_no_durations() -> None:
    """Nothing instead of a zero that was never measured."""
    found = distribution([])
    assert set(found["duration_s"].values()) == {None}
    assert (sum(found["by_hour"]), found["missing_ids"], found["longest"]) == (0, None, [])


def test_of_many_gaps_the_longest_are_named() -> None:
    """As many as a page can show, the longest first."""
    found = distribution([gap(i * SECOND, i) for i in range(1, 40)])
    assert len(found["longest"]) == LONGEST
    assert found["longest"][0]["seconds"] == 39 / SECOND


@pytest.mark.parametrize(
    ("lasted", "ids", "cause", "counted"),
    [
        (10 * SECOND, 1_000, "silence", True),
        (10 * SECOND, 1_000, "chain", True),
        (10 * SECOND, 499, "silence", False),
        (SECOND, 1_000, "chain", False),
        (10 * SECOND, 1_000, "disagreement", False),
    ],
    ids=["ids went on", "a chain with a pause", "ids stood still", "no pause", "no pause between messages"],
)
def test_a_reconnect_is_a_pause_in_which_ids_went_on(
    lasted: int, ids: int, cause: str, counted: bool
) -> None:
    """With 100 ids a second on average, a pause of 10 s has to bring 500 of them."""
    whole = {"first": (0, START_NS), "last": (360_000, START_NS + NS_PER_HOUR)}
    found = reconnects([gap(0, lasted, ids, cause)], silence_ns=SECOND, **whole)
    assert (found["count"], len(found["at"])) == (counted, counted)
    assert found["kind"] == "inferred"
