"""How gaps are spread over a day, and which of them are reconnects."""

from __future__ import annotations

import pytest

from order_book_platform.assess.gaps.gap_classification import ClassifiedGap, RecoverySnapshots, classify
from order_book_platform.assess.gaps.gap_distribution import LONGEST, NS_PER_HOUR, distribution, reconnects
from order_book_platform.replay.gap_detector import GapCandidate
from order_book_platform.settings import GapSettings
from order_book_platform_tests.assess.gaps.test_message_scan import NO_SNAPSHOTS
from order_book_platform_tests.lake import START_NS

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
