"""The merge of depth messages by ids alone: what it does at once, and that its memory is bounded."""

from __future__ import annotations

import pytest

from order_book_platform.sources.binance.depth_merge import (
    MOST_WAITING,
    MOST_WAITING_NS,
    RESTART_AFTER_NS,
    DepthGap,
    DepthIds,
    DepthMerge,
)


def ids(
    prev: int,
    final: int,
    connection: int = 1,
    event_ns: int = 0,
    monotonic_ns: int = 0,
    received_ns: int = 0,
) -> DepthIds:
    """The ids of a message whose row is its final id."""
    return DepthIds(prev, final, final, connection, event_ns, monotonic_ns, received_ns)


def fed(
    merge: DepthMerge, *messages: DepthIds, carriers: frozenset[int] = frozenset((1, 2))
) -> tuple[list[int], list[DepthGap]]:
    """Rows taken and gaps of some messages."""
    taken: list[int] = []
    gaps: list[DepthGap] = []
    for message in messages:
        merge.feed(message, carriers, taken, gaps)
    return taken, gaps


def test_what_is_taken_and_what_is_not() -> None:
    """A message is taken if it goes on from the last id, or begins before it and ends behind it."""
    merge = DepthMerge()
    assert fed(merge, ids(5, 10), ids(10, 12), ids(11, 15, 2), ids(12, 15), ids(3, 9, 2)) == (
        [10, 12, 15],
        [],
    )
    assert (merge.taken, merge.duplicates, merge.overlaps) == (3, 2, 1)


def test_an_empty_step_of_ids_is_no_gap() -> None:
    """On futures `U` may leave ids out; only `pu` counts, and it is what the merge is given."""
    assert fed(DepthMerge(), ids(0, 10), ids(10, 50))[0] == [10, 50]


def test_holes_behind_each_other() -> None:
    """Each hole is judged by itself: one that is filled, one that nobody can fill, one that waits."""
    merge = DepthMerge()
    taken, gaps = fed(merge, ids(0, 10), ids(20, 30), ids(40, 50), ids(0, 5, 2), ids(60, 70))
    assert (taken, gaps) == ([10], [])
    taken, gaps = fed(merge, ids(8, 20, 2))
    assert (taken, gaps) == ([20, 30], [])
    taken, gaps = fed(merge, ids(41, 55, 2))
    assert (taken, [(gap.after_id, gap.before_id) for gap in gaps]) == ([50, 55], [(30, 40)])
    assert [message.final for message in merge.waiting] == [70]


@pytest.mark.parametrize("by", ["time", "number"])
def test_a_wait_is_bounded(by: str) -> None:
    """A silent connection holds nothing up for longer than a time, nor for more than a number of messages."""
    merge = DepthMerge()
    fed(merge, ids(0, 10), ids(20, 30))
    if by == "time":
        assert fed(merge, ids(30, 31, monotonic_ns=MOST_WAITING_NS)) == ([], [])
        taken, gaps = fed(merge, ids(31, 32, monotonic_ns=MOST_WAITING_NS + 1))
    else:
        messages = [ids(30 + number, 31 + number) for number in range(MOST_WAITING)]
        taken, gaps = fed(merge, *messages)
    assert [gap.is_final for gap in gaps] == [False]
    assert taken[0] == 30
    assert not merge.waiting


def test_a_restart_is_told_from_a_connection_that_lags() -> None:
    """Only an event time and an arrival far behind the last ones show that old ids are new ones."""
    merge = DepthMerge()
    fed(merge, ids(1000, 1010, event_ns=100, received_ns=200))
    early, late = RESTART_AFTER_NS + 100, RESTART_AFTER_NS + 201
    assert not merge.shows_restart(ids(990, 1000, event_ns=90, received_ns=late))
    assert not merge.shows_restart(ids(0, 5, event_ns=early, received_ns=late))
    assert not merge.shows_restart(ids(0, 5, event_ns=early + 1, received_ns=late - 1))
    assert merge.shows_restart(ids(0, 5, event_ns=early + 1, received_ns=late))
    assert not merge.shows_restart(ids(1010, 1015, event_ns=early + 1, received_ns=late))
    assert not DepthMerge().shows_restart(ids(0, 5, event_ns=10**18, received_ns=10**18))
