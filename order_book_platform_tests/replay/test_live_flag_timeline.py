"""Flags as messages come against the timeline of the day, which knows how each gap ends."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from order_book_platform.assess.gaps.gap_classification import RecoverySnapshots, classify, gaps_table
from order_book_platform.model import BookFlag
from order_book_platform.replay.flag_timeline import FlagTimeline
from order_book_platform.replay.gap_detector import GapCandidate, MessagePairs
from order_book_platform.replay.live_flag_timeline import LiveFlagTimeline
from order_book_platform.settings import GapSettings

SETTINGS = GapSettings(silence=10, recover_after=25, snapshot_reach=60)
MESSAGES = 30
CORRUPT = int(BookFlag.CORRUPT)


@given(
    st.lists(st.tuples(st.integers(1, MESSAGES - 1), st.sampled_from(["chain", "silence"])), max_size=5),
    st.lists(st.integers(0, 2 * MESSAGES), unique=True, max_size=5),
    st.lists(st.integers(1, MESSAGES), unique=True, max_size=4),
    st.lists(st.sampled_from([10, 10, 20, 40]), min_size=MESSAGES, max_size=MESSAGES),
)
def test_it_is_the_timeline_of_the_day_but_for_the_future(
    places: list[tuple[int, str]], marks: list[int], cuts: list[int], pauses: list[int]
) -> None:
    """At every message the same bits, however the day is cut, without CORRUPT; and that only beyond the reach."""
    number, origin = np.arange(MESSAGES) * 10, np.cumsum(pauses)
    gaps = [
        GapCandidate(cause, *(int(each[i + k]) for each in (number, origin) for k in (-1, 0)), None, "")
        for i, cause in sorted(set(places))
    ]
    shots = np.sort(np.array(marks, np.int64)) * 5
    shot_time = np.interp(shots, number, origin).astype(np.int64)
    day = FlagTimeline.from_gaps(
        gaps_table([classify(item, RecoverySnapshots(shots, shot_time), SETTINGS) for item in gaps])
    )
    running = LiveFlagTimeline(SETTINGS.recover_after, SETTINGS.snapshot_reach)
    sequence, bits, recover_from = [], [], []
    bounds = [0, *sorted(cuts), MESSAGES]
    for start, stop in pairwise(bounds):
        if start == stop:
            continue
        first = max(start, 1)
        pairs = MessagePairs(
            number[first - 1 : stop - 1],
            number[first:stop],
            origin[first - 1 : stop - 1],
            origin[first:stop],
            np.arange(first, stop),
        )
        here = [item for item in gaps if number[start] <= item.after <= number[stop - 1]]
        low = number[start - 1] if start else -1
        used = shots[(shots > low) & (shots <= number[stop - 1])]
        recover_from += running.recover_from(here).tolist()
        changes = running.changes(pairs, here, used)
        assert (np.diff(changes.sequence) >= 0).all()
        sequence += changes.sequence.tolist()
        bits += changes.bits.tolist()
        running = LiveFlagTimeline(
            SETTINGS.recover_after, SETTINGS.snapshot_reach, running.bits, running.deadline_ns
        )
    assert recover_from == day.recover_from.tolist()
    for i, at in enumerate(number.tolist()):
        mine = bits[int(np.searchsorted(sequence, at, "right")) - 1] if sequence and sequence[0] <= at else 0
        wanted = int(np.searchsorted(day.changes.sequence, at, "right")) - 1
        theirs = int(day.changes.bits[wanted]) if wanted >= 0 else 0
        assert mine & ~CORRUPT == theirs & ~CORRUPT
        if mine & CORRUPT:
            assert theirs & CORRUPT
            assert any(origin[i] - item.after_ns > SETTINGS.snapshot_reach for item in gaps)
